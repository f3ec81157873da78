//! Applying objects read from files.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

/// Established within milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Server-side applies objects of any kinds that are served already, in order.
pub async fn apply(client: &Client, objects: &[Value]) -> Result<()> {
    for value in objects {
        let object: DynamicObject =
            serde_json::from_value(value.clone()).context("not a Kubernetes object")?;
        let types =
            object.types.clone().unwrap_or(TypeMeta { api_version: String::new(), kind: String::new() });
        let what = format!("{} {}", types.kind, object.name_any());
        let kind = GroupVersionKind::try_from(&types).with_context(|| what.clone())?;
        let (resource, capabilities) = pinned_kind(client, &kind).await.with_context(|| what.clone())?;
        let api: Api<DynamicObject> = match (capabilities.scope, object.namespace()) {
            (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(client.clone(), &namespace, &resource)
            }
            (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("testbed").force();
        api.patch(&object.name_any(), &params, &Patch::Apply(&object))
            .await
            .with_context(|| format!("apply {what}"))?;
    }
    Ok(())
}

/// Server-side applies those of the objects that are CustomResourceDefinitions and waits until they are served.
pub async fn apply_crds(client: &Client, objects: &[Value]) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("testbed").force();
    let mut names = Vec::new();
    for crd in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        let name = crd["metadata"]["name"].as_str().context("a CustomResourceDefinition without a name")?;
        api.patch(name, &params, &Patch::Apply(crd)).await.with_context(|| format!("apply {name}"))?;
        names.push(name);
    }
    let start = Instant::now();
    for name in names {
        loop {
            let crd = api.get_status(name).await?;
            let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
            {
                break;
            }
            if start.elapsed() > PATIENCE {
                bail!("{name} is not Established after {PATIENCE:?}: {conditions:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}
