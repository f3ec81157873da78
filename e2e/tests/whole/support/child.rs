//! The way into a child cluster, from the box.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Day;

/// A client of a child, with the kubeconfig that its users get.
pub async fn child(day: &Day, name: &str) -> Result<Client> {
    let secrets: Api<Secret> = Api::namespaced(day.client.clone(), "default");
    let secret = secrets.get(&format!("{name}-kubeconfig")).await?;
    let text = secret
        .data
        .as_ref()
        .and_then(|data| data.get("value"))
        .context("no value in the kubeconfig Secret")?;
    let kubeconfig = Kubeconfig::from_yaml(std::str::from_utf8(&text.0)?)?;
    Ok(Client::try_from(child_config(day, kubeconfig).await?)?)
}

/// A kubeconfig's settings. The name of a Service means nothing outside of pods: its address is taken instead.
pub async fn child_config(day: &Day, mut kubeconfig: Kubeconfig) -> Result<Config> {
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        let server = cluster.server.clone().context("a cluster without server")?;
        let (host, port) =
            server.trim_start_matches("https://").rsplit_once(':').context("a server without port")?;
        let Some((service, namespace)) = host.strip_suffix(".svc").and_then(|name| name.split_once('.'))
        else {
            continue;
        };
        let services: Api<Service> = Api::namespaced(day.client.clone(), namespace);
        let address = services.get(service).await?.spec.and_then(|spec| spec.cluster_ip);
        cluster.server = Some(format!("https://{}:{port}", address.context("a Service without address")?));
        cluster.tls_server_name = Some(host.to_owned());
    }
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
