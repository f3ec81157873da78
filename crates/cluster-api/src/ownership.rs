//! Whose Cluster, whose Machine, and whether anybody may act (contract 1.3 and 1.8).
//!
//! Owners are compared by group and kind, never by version: core writes owner references in whatever version
//! it speaks.

use kube::{
    ResourceExt,
    core::{ObjectMeta, Resource},
};

use crate::{
    GROUP,
    cluster::Cluster,
    names::{ANNOTATION_PAUSED, LABEL_CLUSTER_NAME},
};

/// An owner: what an owner reference says, without the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Its name, in the namespace of the owned.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// The first owner of that kind of core.
fn core_owner<'a>(metadata: &'a ObjectMeta, kind: &str) -> Option<Owner<'a>> {
    metadata.owner_references.iter().flatten().find_map(|owner| {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        (group == GROUP && owner.kind == kind).then_some(Owner { name: &owner.name, uid: &owner.uid })
    })
}

/// The Cluster that owns a control plane or an infrastructure cluster. `None`: core has not set it yet; wait.
pub fn cluster_owner(metadata: &ObjectMeta) -> Option<Owner<'_>> {
    core_owner(metadata, "Cluster")
}

/// The Machine that owns a bootstrap config or an infrastructure machine.
pub fn machine_owner(metadata: &ObjectMeta) -> Option<Owner<'_>> {
    core_owner(metadata, "Machine")
}

/// The MachinePool that owns a bootstrap config.
pub fn machine_pool_owner(metadata: &ObjectMeta) -> Option<Owner<'_>> {
    core_owner(metadata, "MachinePool")
}

/// The Cluster named by an object's label. Configs and infrastructure machines find their Cluster through the
/// label of their Machine.
pub fn cluster_name_label(metadata: &ObjectMeta) -> Option<&str> {
    metadata.labels.as_ref()?.get(LABEL_CLUSTER_NAME).map(String::as_str).filter(|name| !name.is_empty())
}

/// Why an object is paused, in words for its `Paused` condition; `None` if it is not.
pub fn pause_cause(cluster: Option<&Cluster>, object: &ObjectMeta) -> Option<String> {
    if let Some(cluster) = cluster.filter(|cluster| cluster.paused()) {
        return Some(format!("Cluster {} has spec.paused: true", cluster.name_any()));
    }
    let annotated = object.annotations.as_ref().is_some_and(|all| all.contains_key(ANNOTATION_PAUSED));
    annotated.then(|| format!("the object has the annotation {ANNOTATION_PAUSED}"))
}

/// Whether nobody may act on an object: its Cluster is paused, or it carries the annotation, with any value.
pub fn is_paused(cluster: Option<&Cluster>, object: &ObjectMeta) -> bool {
    pause_cause(cluster, object).is_some()
}

/// Whether that object is owned by exactly this Cluster.
pub fn is_owned_by_cluster(metadata: &ObjectMeta, cluster: &Cluster) -> bool {
    cluster_owner(metadata).is_some_and(|owner| Some(owner.uid) == cluster.meta().uid.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(text: &str) -> ObjectMeta {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_owner_is_found_by_group_and_kind_whatever_its_version() {
        let owned = metadata(
            r#"{"ownerReferences": [
                {"apiVersion": "other.io/v1", "kind": "Cluster", "name": "wrong", "uid": "1"},
                {"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "name": "right", "uid": "2"}]}"#,
        );
        assert_eq!(cluster_owner(&owned), Some(Owner { name: "right", uid: "2" }));
        assert_eq!(machine_owner(&owned), None);
    }

    #[test]
    fn a_paused_annotation_with_an_empty_value_pauses() {
        let object = metadata(r#"{"annotations": {"cluster.x-k8s.io/paused": ""}}"#);
        assert!(is_paused(None, &object));
        assert!(!is_paused(Some(&Cluster::default()), &ObjectMeta::default()));
    }

    #[test]
    fn a_paused_cluster_pauses_its_objects_and_says_so() {
        let mut cluster = Cluster::new("one", crate::ClusterSpec::default());
        cluster.spec.paused = Some(true);
        let cause = pause_cause(Some(&cluster), &ObjectMeta::default());
        assert_eq!(cause.as_deref(), Some("Cluster one has spec.paused: true"));
    }
}
