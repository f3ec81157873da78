//! The way to a child's API.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use reconcile::Key;

/// The way to a child's API.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// The server that the kubeconfig names.
    AsWritten,
    /// A Service of this management cluster, for control planes that run in it (H-22): the address of the
    /// outside may not be reachable from inside.
    Service {
        /// `<service>.<namespace>.svc`
        host: String,
        /// Its API port.
        port: u16,
    },
}

/// Finds the Service of a hosted control plane by its labels; its name depends on the exposure and, for long
/// cluster names, on what made it.
pub(crate) async fn of_hosted(management: &Client, cluster: &Key) -> anyhow::Result<Way> {
    let labels = format!(
        "app=k0smotron,cluster={},component=cluster,app.kubernetes.io/component=control-plane",
        cluster.name
    );
    let api: Api<Service> = Api::namespaced(management.clone(), &cluster.namespace);
    let found = api.list(&ListParams::default().labels(&labels)).await;
    let found =
        found.with_context(|| format!("cannot list the Services of hosted control plane {cluster}"))?;
    let ways = found.items.iter().filter_map(|service| {
        let ports = service.spec.as_ref()?.ports.as_ref()?;
        let api = ports.iter().find(|port| port.name.as_deref() == Some("api"))?;
        let port = u16::try_from(api.port).ok()?;
        Some((service.name_any(), port))
    });
    // During a change of the exposure there are two for a while; both lead to the same pods.
    Ok(ways.min().map_or(Way::AsWritten, |(name, port)| Way::Service {
        host: format!("{name}.{}.svc", cluster.namespace),
        port,
    }))
}
