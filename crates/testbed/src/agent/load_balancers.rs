//! An address for each Service of type LoadBalancer; kube-proxy does the rest.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::react::each;
use crate::cluster::network::LOAD_BALANCER_SUBNET;

pub async fn assign(client: Client) -> Result<()> {
    each(Api::all(client.clone()), async |service| address(&client, &service).await).await
}

async fn address(client: &Client, service: &Service) -> Result<()> {
    let spec = service.spec.as_ref().context("a Service without spec")?;
    // With a class it is another implementation's.
    if spec.type_.as_deref() != Some("LoadBalancer")
        || spec.load_balancer_class.is_some()
        || has(service).is_some()
    {
        return Ok(());
    }
    let all: Api<Service> = Api::all(client.clone());
    let taken: BTreeSet<String> = all.list(&ListParams::default()).await?.iter().filter_map(has).collect();
    let base = LOAD_BALANCER_SUBNET.trim_end_matches("0/24");
    let free = || (1..255).map(|last| format!("{base}{last}")).find(|address| !taken.contains(address));
    let wished = spec.load_balancer_ip.clone().filter(|wish| wish.starts_with(base) && !taken.contains(wish));
    let address = wished.or_else(free).context("all load balancer addresses are taken")?;
    let namespace = service.namespace().context("a Service without namespace")?;
    let api: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    api.patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

fn has(service: &Service) -> Option<String> {
    service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.ip.clone()
}
