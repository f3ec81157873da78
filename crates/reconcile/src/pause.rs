//! Paused objects: observed, never written but for the `Paused` condition (cluster-api-contract 1.8).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::effect::{Condition, Is};

/// Present with any value, also an empty one: the object is paused.
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";
const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
const CLUSTER_GROUP: &str = "cluster.x-k8s.io";

/// The name of the Cluster API Cluster of an object: its owner of that kind, else its label.
/// The group of an owner counts, never its version.
pub fn cluster_name(meta: &ObjectMeta) -> Option<String> {
    let owner = meta.owner_references.iter().flatten().find(|owner| {
        owner.kind == "Cluster"
            && owner.api_version.split_once('/').is_some_and(|(group, _)| group == CLUSTER_GROUP)
    });
    let label = || meta.labels.as_ref()?.get(CLUSTER_NAME_LABEL).cloned();
    owner.map(|owner| owner.name.clone()).or_else(label)
}

/// Why an object is paused.
pub(crate) fn why_paused(meta: &ObjectMeta, cluster: Option<&str>, cluster_paused: bool) -> Option<String> {
    if meta.annotations.as_ref().is_some_and(|all| all.contains_key(PAUSED_ANNOTATION)) {
        return Some(format!("annotation {PAUSED_ANNOTATION} is set"));
    }
    cluster_paused.then(|| format!("spec.paused of Cluster {} is set", cluster.unwrap_or_default()))
}

/// The condition that tells it.
pub(crate) fn condition(why: Option<String>) -> Condition {
    match why {
        Some(why) => Condition::new("Paused", Is::True, "Paused", why),
        None => Condition::new("Paused", Is::False, "NotPaused", ""),
    }
}
