//! From a kubeconfig to a client.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};

use crate::answers::Bounded;
use crate::kubeconfig::{self, KubeconfigError};
use crate::way::Way;

/// How long a request may take (H-62); connecting is a part of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A client of its own for one child.
pub(crate) async fn client(kubeconfig: &[u8], way: &Way) -> Result<Client, KubeconfigError> {
    let mut config: Config = kubeconfig::config(kubeconfig).await?;
    if let Way::Service { host, port } = way {
        let url = format!("https://{host}:{port}");
        config.cluster_url =
            url.parse().map_err(|_| KubeconfigError::Unusable(format!("{url} is no URL")))?;
        config.tls_server_name = None;
    }
    config.connect_timeout = Some(PATIENCE);
    let builder = ClientBuilder::try_from(config);
    let builder = builder
        .map_err(|_| KubeconfigError::Unusable("its certificates or keys cannot be used".to_owned()))?;
    Ok(builder.with_layer(&Bounded).build())
}
