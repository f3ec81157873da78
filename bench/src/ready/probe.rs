//! `/readyz` of a control plane, asked as its administrator: the moment at which k0s is done.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};
use testbed::access::Access;
use testbed::authority::Pair;

use super::bed::NAMESPACE;

/// Small against the seconds that are measured, and little work for who is asked.
const BETWEEN: Duration = Duration::from_millis(50);
/// An API server that comes up may take a connection and not answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The default of `spec.service.apiPort`.
const PORT: u16 = 30443;

/// Waits until it answers 200.
pub async fn until_ready(client: &Client, name: &str) -> Result<()> {
    let child = loop {
        match child(client, name).await? {
            Some(child) => break child,
            None => tokio::time::sleep(BETWEEN).await,
        }
    };
    loop {
        let asked = http::Request::get("/readyz").body(Vec::new())?;
        if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, child.request_text(asked)).await {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// A client, once the pod's address and the authority are there. Not through the Service: that leads to a pod only
/// when the kubelet's own probe has found it Ready.
async fn child(client: &Client, name: &str) -> Result<Option<Client>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = pods.get_opt(&format!("kmc-{name}-0")).await?;
    let address = pod.and_then(|pod| pod.status?.pod_ip);
    let authority = secrets.get_opt(&format!("{name}-ca")).await?.and_then(|secret| secret.data);
    let (Some(address), Some(authority)) = (address, authority) else { return Ok(None) };
    let part = |key: &str| authority.get(key).with_context(|| format!("Secret {name}-ca has no {key}"));
    let (certificate, key) = (&part("tls.crt")?.0, &part("tls.key")?.0);
    let leaf = pki::cluster_admin("bench", &["system:masters".to_owned()], 1);
    let admin = pki::Authority::parse(certificate, Some(key))?.issue(&leaf, now())?;
    let access = Access {
        server: format!("https://{address}:{PORT}"),
        authority: String::from_utf8(certificate.clone())?,
        user: Pair {
            certificate: admin.certificate,
            key: admin.key.expose_str().context("a key that is no text")?.to_owned(),
        },
    };
    let mut config = access.config().await?;
    // The time is measured, not the name in its certificate.
    config.accept_invalid_certs = true;
    Ok(Some(Client::try_from(config)?))
}

#[allow(clippy::disallowed_methods)] // a certificate for now
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
