//! The objects a control plane declares.

use anyhow::Context as _;
use api::defaults::KineSource;
use api::hosted::{HostedCluster, StorageType};
use cluster_api::cluster::ApiEndpoint;
use kube::ResourceExt;
use kube::api::DynamicObject;
use reconcile::ObjectId;
use serde_json::{Value, json};

use super::observe::{ClusterFacts, InfrastructureFacts, Observed};
use super::{GROUP, KIND, network};

/// Why `clusterctl move` must not take the Cluster away: its data would stay behind.
const DATA_STAYS: &str =
    "the data of this control plane is in volumes of this cluster, which clusterctl does not move";

/// The `k0smotron.io` Cluster (H-44).
pub fn hosted(seen: &Observed, cluster: &ClusterFacts) -> anyhow::Result<DynamicObject> {
    let mut spec = seen.spec.clone();
    spec.k0s_config = network::merged(spec.k0s_config.as_ref(), cluster.network.as_ref());
    let mut object = HostedCluster::new(&cluster.name, spec);
    object.metadata.namespace = Some(seen.namespace.clone());
    object.labels_mut().insert(cluster_api::names::LABEL_CLUSTER_NAME.into(), cluster.name.clone());
    if let Some(filter) = &seen.watch_filter {
        object.labels_mut().insert(cluster_api::names::LABEL_WATCH_FILTER.into(), filter.clone());
    }
    if keeps_data_here(seen) {
        object.annotations_mut().insert(cluster_api::names::ANNOTATION_BLOCK_MOVE.into(), DATA_STAYS.into());
    }
    let mut value = serde_json::to_value(&object).context("cannot serialise a k0smotron.io Cluster")?;
    // A plain owner, not the controller: core looks for controllers of its own kinds only.
    value["metadata"]["ownerReferences"] = json!([{
        "apiVersion": format!("{GROUP}/v1beta2"), "kind": KIND, "name": seen.name, "uid": seen.uid,
    }]);
    serde_json::from_value(value).context("cannot make a k0smotron.io Cluster")
}

fn keeps_data_here(seen: &Observed) -> bool {
    match seen.spec.storage_type() {
        StorageType::Etcd | StorageType::Nats => true,
        StorageType::Kine => matches!(seen.spec.kine_source(), KineSource::Sqlite),
    }
}

/// The coordinates of the `k0smotron.io` Cluster.
pub fn hosted_id(seen: &Observed, cluster: &str) -> ObjectId {
    ObjectId::of::<HostedCluster>(&seen.namespace, cluster)
}

/// On a Cluster: which child it is, by the uid of the child's namespace `kube-system`.
const CLUSTER_ID: &str = "k0sproject.io/cluster-id";

/// Endpoint and identity of the child on the Cluster, which is named by its uid too, so that a Cluster that is gone
/// is not made again.
pub fn cluster_part(
    seen: &Observed,
    cluster: &ClusterFacts,
    endpoint: &ApiEndpoint,
    child_uid: Option<&str>,
) -> anyhow::Result<DynamicObject> {
    let mut object = partial(json!({
        "apiVersion": format!("{}/{}", cluster_api::GROUP, cluster_api::VERSION),
        "kind": "Cluster",
        "metadata": { "name": cluster.name, "namespace": seen.namespace, "uid": cluster.uid },
        "spec": { "controlPlaneEndpoint": endpoint },
    }))?;
    if let Some(uid) = child_uid {
        object.annotations_mut().insert(CLUSTER_ID.into(), format!("kube-system:{uid}"));
    }
    Ok(object)
}

/// The endpoint on the infrastructure object.
pub fn infrastructure_endpoint(
    seen: &Observed,
    infrastructure: &InfrastructureFacts,
    endpoint: &ApiEndpoint,
) -> anyhow::Result<DynamicObject> {
    infrastructure_part(seen, infrastructure, "spec", &json!({ "controlPlaneEndpoint": endpoint }))
}

/// The word that an infrastructure object in our charge is provisioned.
pub fn infrastructure_provisioned(
    seen: &Observed,
    infrastructure: &InfrastructureFacts,
) -> anyhow::Result<DynamicObject> {
    infrastructure_part(seen, infrastructure, "status", &json!({ "initialization": { "provisioned": true } }))
}

fn infrastructure_part(
    seen: &Observed,
    infrastructure: &InfrastructureFacts,
    part: &str,
    body: &Value,
) -> anyhow::Result<DynamicObject> {
    let reference = &infrastructure.reference;
    partial(json!({
        "apiVersion": format!("{}/{}", reference.api_group, infrastructure.version),
        "kind": reference.kind,
        "metadata": { "name": reference.name, "namespace": seen.namespace, "uid": infrastructure.uid },
        (part): body,
    }))
}

fn partial(value: Value) -> anyhow::Result<DynamicObject> {
    serde_json::from_value(value).context("cannot make a part of an object")
}
