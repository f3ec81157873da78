//! The kinds of Cluster API as a story needs them: served, and without the webhooks that only its manager answers.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::tools::{self, Files};
use crate::yaml;

/// Core's CustomResourceDefinitions with conversion by webhook taken out, so that only the storage version is
/// served: without conversion another version would show the stored one's fields under the wrong names.
pub fn crds() -> Result<Vec<Value>> {
    let root = tools::files(Files::ClusterApi)?.join("core/config/crd");
    let labels = labels(&root)?;
    let mut crds = yaml::read_dir(&root.join("bases"))?;
    for crd in &mut crds {
        let spec = crd["spec"].as_object_mut().context("a CustomResourceDefinition without spec")?;
        spec.remove("conversion");
        let versions = spec.get_mut("versions").and_then(Value::as_array_mut).context("spec.versions")?;
        for version in versions {
            version["served"] = version["storage"].clone();
        }
        for (name, value) in &labels {
            crd["metadata"]["labels"][name] = json!(value);
        }
    }
    Ok(crds)
}

/// The labels that kustomize would put on: contract versions are read from them.
fn labels(root: &std::path::Path) -> Result<Vec<(String, Value)>> {
    let kustomization = yaml::read(&root.join("kustomization.yaml"))?;
    let kustomization = kustomization.first().context("an empty kustomization.yaml")?;
    let old = kustomization["commonLabels"].as_object();
    let new = kustomization["labels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["pairs"].as_object());
    Ok(old.into_iter().chain(new).flatten().map(|(name, value)| (name.clone(), value.clone())).collect())
}
