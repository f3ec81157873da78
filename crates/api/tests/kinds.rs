//! The table of kinds keeps its own rules, and those of Cluster API.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use api::{
    crd::crd,
    kinds::{Component, KINDS},
};
use serde_json::Value;

fn crds() -> Vec<Value> {
    KINDS.iter().map(|kind| serde_json::to_value(crd(kind).unwrap()).unwrap()).collect()
}

#[test]
fn each_kind_is_stored_in_exactly_one_served_version() {
    for kind in KINDS {
        let stored: Vec<_> = kind.versions.iter().filter(|version| version.storage).collect();
        assert_eq!(stored.len(), 1, "{}", kind.kind);
        assert!(stored[0].served, "{}", kind.kind);
    }
}

#[test]
fn names_follow_the_rule_that_core_computes_them_by() {
    for kind in KINDS {
        assert_eq!(kind.plural, format!("{}s", kind.kind.to_lowercase()));
    }
}

#[test]
fn contract_labels_name_served_versions_only() {
    for (kind, crd) in KINDS.iter().zip(crds()) {
        let labels = crd["metadata"]["labels"].as_object().unwrap();
        let label = labels.get("cluster.x-k8s.io/v1beta2").and_then(Value::as_str);
        assert_eq!(label, kind.contract.then_some("v1beta2"), "{}", kind.kind);
        // v1beta1 is not served yet.
        assert!(!labels.contains_key("cluster.x-k8s.io/v1beta1"), "{}", kind.kind);
    }
}

#[test]
fn the_stand_alone_installation_carries_the_two_kinds_outside_the_contract() {
    let standalone: Vec<_> = KINDS.iter().filter(|kind| kind.standalone()).map(|kind| kind.kind).collect();
    assert_eq!(standalone, ["Cluster", "JoinTokenRequest"]);
    assert!(
        KINDS.iter().filter(|kind| kind.standalone()).all(|kind| kind.component == Component::ControlPlane)
    );
}

#[test]
fn every_field_of_ours_is_explained() {
    fn unexplained(schema: &Value, path: &str, depth: usize, found: &mut Vec<String>) {
        let Some(fields) = schema["properties"].as_object() else {
            if schema["items"].is_object() {
                unexplained(&schema["items"], &format!("{path}[]"), depth, found);
            }
            return;
        };
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            if field["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            // Deeper lie Kubernetes' own types.
            if depth < 4 && !path.ends_with(".metadata") {
                unexplained(field, &path, depth + 1, found);
            }
        }
    }
    let mut found = Vec::new();
    for (kind, crd) in KINDS.iter().zip(crds()) {
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for part in ["spec", "status"] {
            unexplained(&schema["properties"][part], &format!("{} {part}", kind.kind), 0, &mut found);
        }
    }
    let allowed =
        |path: &String| path.contains(".persistentVolumeClaim.") || path.contains(".jobSpecTemplate.");
    found.retain(|path| !allowed(path));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_crd_fits_into_the_annotation_that_kubectl_apply_writes() {
    for crd in crds() {
        let size = crd.to_string().len();
        assert!(size < 262_144, "{} has {size} bytes", crd["metadata"]["name"]);
    }
}
