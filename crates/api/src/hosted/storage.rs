//! Where a hosted control plane keeps its state.

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PodTemplate;
use crate::{Sensitive, cel, decode};

/// Where the state is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Storage {
    /// `etcd` (default): members in pods of their own. `kine`: an SQL database, or sqlite on the data volume.
    /// `nats`: NATS in the control plane pods. Fixed at creation.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "etcd"))]
    pub type_: Option<StorageType>,
    /// Settings of etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = {"image": "quay.io/k0sproject/etcd:v3.7.1", "persistence": {}}))]
    pub etcd: Option<EtcdStorage>,
    /// Settings of kine. Without a data source: sqlite on the data volume, one replica only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kine: Option<KineStorage>,
    /// Settings of NATS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsStorage>,
}

/// Kind of storage. An empty string, as older objects have it, means `etcd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    /// etcd in pods of its own.
    #[default]
    #[serde(alias = "")]
    Etcd,
    /// kine: SQL, or sqlite on the data volume.
    Kine,
    /// NATS in the control plane pods.
    Nats,
}

/// Settings of etcd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::etcd)]
pub struct EtcdStorage {
    /// Image of etcd, with its tag; it needs `sh`, `etcd` and `etcdctl`. A change restarts the members one at a
    /// time. Default `quay.io/k0sproject/etcd:v3.7.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "quay.io/k0sproject/etcd:v3.7.1"))]
    pub image: Option<String>,
    /// Further arguments of etcd.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The volume of each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<VolumeRequest>,
    /// Whether the claims are deleted together with this object. Default false: they stay.
    #[serde(rename = "autoDeletePVCs", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub auto_delete_pvcs: Option<bool>,
    /// Regular defragmentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defrag_job: Option<DefragJob>,
    /// Resources of the container `etcd`.
    #[serde(default, deserialize_with = "decode::quantities", skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Number of members: 1, 3, 5 or 7. Default: 1 for one control plane replica, else the next odd number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub replicas: Option<i32>,
    /// Seconds for which a smaller number of members must have been wanted before one is removed. Default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub scale_down_delay_seconds: Option<i32>,
    /// A part of a pod, merged into the etcd pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// A volume that is asked for by size and class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::volume_request)]
pub struct VolumeRequest {
    /// Storage class. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Size. It may grow, never shrink. Default `1Gi`.
    #[serde(default, deserialize_with = "decode::quantity", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "1Gi"))]
    pub size: Option<Quantity>,
}

/// Regular defragmentation of etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefragJob {
    /// Whether it is on. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub enabled: Option<bool>,
    /// When it runs, in cron notation. Default `0 12 * * *`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "0 12 * * *"))]
    pub schedule: Option<String>,
    /// A member is defragmented when this holds for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "dbQuotaUsage > 0.8 || dbSize - dbSizeInUse > 200*1024*1024"))]
    pub rule: Option<String>,
    /// Image of etcd-defrag. Default `ghcr.io/ahrtr/etcd-defrag:v0.16.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "ghcr.io/ahrtr/etcd-defrag:v0.16.0"))]
    pub image: Option<String>,
}

/// Settings of kine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KineStorage {
    /// Address of the database, with user and password. Prefer `dataSourceSecretName`: whoever may read this
    /// object reads the password.
    #[serde(rename = "dataSourceURL", default, skip_serializing_if = "Option::is_none")]
    pub data_source_url: Option<Sensitive>,
    /// Secret of the same namespace with the address of the database in key `K0SMOTRON_KINE_DATASOURCE_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_source_secret_name: Option<String>,
}

/// Settings of NATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NatsStorage {
    /// The volume of each replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<VolumeRequest>,
}
