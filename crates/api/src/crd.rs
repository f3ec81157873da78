//! CustomResourceDefinitions, made from the table of kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use crate::{
    kinds::{Column, KINDS, Kind, KindVersion},
    schema,
};

/// The CRDs of all kinds.
pub fn crds() -> serde_json::Result<Vec<CustomResourceDefinition>> {
    KINDS.iter().map(crd).collect()
}

/// The CRD of a kind.
///
/// Fails only if the table holds something that is no CRD, which a test of this crate rules out.
pub fn crd(kind: &Kind) -> serde_json::Result<CustomResourceDefinition> {
    let singular = kind.kind.to_lowercase();
    let mut names = json!({
        "kind": kind.kind,
        "listKind": format!("{}List", kind.kind),
        "plural": kind.plural,
        "singular": singular,
        "categories": if kind.contract { json!(["cluster-api", "k0smotron"]) } else { json!(["k0smotron"]) },
    });
    if !kind.short_names.is_empty() {
        names["shortNames"] = json!(kind.short_names);
    }
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name(), "labels": labels(kind)},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced",
            "versions": kind.versions.iter().map(|version| crd_version(kind, version)).collect::<Vec<_>>(),
        },
    }))
}

/// Contract labels: for each contract, the served version that fulfils it. Ours have the contract's own name.
fn labels(kind: &Kind) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert(cluster_api::names::LABEL_PROVIDER.to_owned(), "k0sproject-k0smotron".into());
    if kind.contract {
        for version in kind.versions.iter().filter(|version| version.served) {
            let label = format!("{}{}", cluster_api::names::LABEL_CONTRACT_PREFIX, version.name);
            labels.insert(label, version.name.into());
        }
    }
    labels
}

fn crd_version(kind: &Kind, version: &KindVersion) -> Value {
    let mut crd_version = json!({
        "name": version.name,
        "served": version.served,
        "storage": version.storage,
        "schema": {"openAPIV3Schema": root(kind, version)},
        "additionalPrinterColumns": version.columns.iter().map(column).collect::<Vec<_>>(),
    });
    if version.deprecated {
        crd_version["deprecated"] = true.into();
        crd_version["deprecationWarning"] =
            format!("{}/{} {} is deprecated; use v1beta2", kind.group, version.name, kind.kind).into();
    }
    let mut subresources = Map::new();
    if kind.status {
        subresources.insert("status".to_owned(), json!({}));
    }
    if kind.scale {
        subresources.insert(
            "scale".to_owned(),
            json!({
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            }),
        );
    }
    if !subresources.is_empty() {
        crd_version["subresources"] = subresources.into();
    }
    crd_version
}

fn column(column: &Column) -> Value {
    let mut printed = json!({"name": column.name, "type": column.type_, "jsonPath": column.path});
    if column.priority != 0 {
        printed["priority"] = column.priority.into();
    }
    printed
}

/// The schema of the whole object.
fn root(kind: &Kind, version: &KindVersion) -> Value {
    let mut spec = (version.spec)();
    if kind.template {
        schema::without_transitions(&mut spec);
    }
    if let Some(default) = version.spec_default {
        spec["default"] = default();
    }
    let mut properties = json!({
        "apiVersion": {"type": "string", "description": "The version of the schema of this object."},
        "kind": {"type": "string", "description": "The kind of this object."},
        "metadata": {"type": "object"},
        "spec": spec,
    });
    if let Some(status) = version.status {
        properties["status"] = status();
        if let Some(default) = version.status_default {
            properties["status"]["default"] = default();
        }
    }
    let mut root = json!({"type": "object", "description": kind.description, "properties": properties});
    if !kind.rules.is_empty() {
        root["x-kubernetes-validations"] = kind
            .rules
            .iter()
            .map(|(rule, message)| json!({"rule": rule, "message": message, "optionalOldSelf": true}))
            .collect();
    }
    root
}

/// The text of a CRD's file.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, YamlError> {
    let body = serde_saphyr::to_string(crd)?;
    Ok(format!(
        "# Generated from crates/api; do not edit. UPDATE_CRDS=1 cargo test -p api --test crds\n---\n{body}"
    ))
}

/// A CRD that cannot be written as YAML.
pub type YamlError = serde_saphyr::ser::Error;
