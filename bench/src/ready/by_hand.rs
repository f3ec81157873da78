//! The objects of a hosted control plane, frozen as the manager had just made them, and applied by hand.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Map, Value};
use testbed::control_plane::apply;

use super::bed::Bed;
use super::moments::{self, Moments};
use crate::scale::Storage;

/// In the order in which a person would apply them.
const KINDS: [&str; 4] = ["secrets", "configmaps", "services", "statefulsets"];
/// Pods end within seconds; volumes are removed after them.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is applied.
pub struct Frozen {
    name: String,
    storage: Storage,
    objects: Vec<Value>,
}

impl Frozen {
    /// Reads the objects of a control plane. They are applied under the same names when it is gone: certificates and
    /// configuration carry them.
    pub fn of(bed: &Bed, name: &str, storage: Storage) -> Result<Self> {
        let mut objects = Vec::new();
        for kind in KINDS {
            let label = if kind == "secrets" { "cluster.x-k8s.io/cluster-name" } else { "cluster" };
            let text =
                bed.kubectl(&["get", kind, "--selector", &format!("{label}={name}"), "--output", "json"])?;
            let list: Value = serde_json::from_str(&text)?;
            objects.extend(list["items"].as_array().into_iter().flatten().map(freeze));
        }
        Ok(Self { name: name.to_owned(), storage, objects })
    }
}

/// Without what a server adds; an address that was given stays, since certificates and configuration hold it.
fn freeze(object: &Value) -> Value {
    let mut object = object.clone();
    let kept = ["name", "namespace", "labels", "annotations"];
    if let Some(metadata) = object["metadata"].as_object() {
        let metadata: Map<String, Value> = metadata
            .iter()
            .filter(|(key, _)| kept.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        object["metadata"] = Value::Object(metadata);
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

/// Applies them, waits until the control plane is ready, and removes them.
pub async fn run(bed: &Bed, frozen: &Frozen) -> Result<Moments> {
    let start = Instant::now();
    let applied = async { apply(&bed.admin, &frozen.objects).await };
    let followed = moments::follow(&bed.admin, &frozen.name, frozen.storage, false, start);
    let ((), moments) = tokio::try_join!(applied, followed)?;
    remove(bed, &frozen.name).await?;
    Ok(moments)
}

/// Removes everything of this name, and waits until the last pod and claim is gone.
pub async fn remove(bed: &Bed, name: &str) -> Result<()> {
    let selector = format!("cluster={name}");
    let secrets = format!("cluster.x-k8s.io/cluster-name={name}");
    bed.kubectl(&["delete", "statefulsets,services,configmaps", "--selector", &selector, "--wait=false"])?;
    bed.kubectl(&["delete", "secrets", "--selector", &secrets, "--wait=false"])?;
    bed.kubectl(&["delete", "persistentvolumeclaims", "--selector", &selector, "--wait=false"])?;
    let start = Instant::now();
    let all = "pods,persistentvolumeclaims,statefulsets,services";
    while !bed.kubectl(&["get", all, "--selector", &selector, "--output", "name"])?.trim().is_empty() {
        if start.elapsed() > PATIENCE {
            bail!("objects of {name} are still there after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frozen_object_keeps_its_address_and_forgets_its_owner() {
        let live = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "uid": "1", "ownerReferences": [{"uid": "2"}], "labels": {"app": "k0smotron"}},
            "spec": {"clusterIP": "10.0.0.7"}, "status": {"loadBalancer": {}},
        });
        let frozen = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "labels": {"app": "k0smotron"}}, "spec": {"clusterIP": "10.0.0.7"},
        });
        assert_eq!(freeze(&live), frozen);
    }
}
