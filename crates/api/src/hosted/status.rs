//! Status of the hosted kinds (hosted chapter, sections 14 and 15).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::VersionCount;

/// What is observed of a `k0smotron.io` Cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostedClusterStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Number of control plane pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Number of those that are Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Number of those that run the wanted revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// Label selector of the control plane pods, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Version of k0s that runs; during an upgrade the lowest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Address under which workers and users reach the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_address: Option<String>,
    /// Former external addresses, newest first, at most three; certificates stay valid for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_external_addresses: Vec<String>,
    /// Host and port of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<HostedEndpoint>,
    /// The etcd cluster, for storage `etcd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<EtcdStatus>,
    /// Certificates and when they end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// The part of the k0s configuration that was applied in the running cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_config: Option<DynamicConfigStatus>,
    /// A change of volume sizes under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_resize: Option<VolumeResizeStatus>,
    /// The pod template in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateStatus>,
    /// Conditions of the control plane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What only readers of the older version need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<HostedDeprecated>,
}

/// What only readers of older versions need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostedDeprecated {
    /// For readers of v1beta1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1beta1: Option<HostedDeprecatedV1Beta1>,
}

/// What only readers of v1beta1 need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostedDeprecatedV1Beta1 {
    /// Whether all replicas are Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The state in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciliation_status: Option<String>,
}

/// Host and port of the API of a hosted control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostedEndpoint {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: i32,
    /// The node whose address it is, with Service type `NodePort`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// The etcd cluster of a hosted control plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdStatus {
    /// Number of members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<EtcdMemberStatus>,
    /// Since when fewer members are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrinking_since: Option<Time>,
}

/// A member of the etcd cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EtcdMemberStatus {
    /// Its name, which is its pod's.
    pub name: String,
    /// Its id in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it is a learner: it receives the data and has no vote yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learner: Option<bool>,
    /// Whether its pod is Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
}

/// A certificate and when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The Secret that holds it.
    pub secret: String,
    /// When it ends.
    pub not_after: Time,
    /// Whether it is an authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<bool>,
}

/// The part of the k0s configuration that was applied in the running cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicConfigStatus {
    /// Digest of what was applied.
    pub digest: String,
    /// uid of the namespace `kube-system` of the cluster it was applied in.
    #[serde(rename = "childUID", default, skip_serializing_if = "Option::is_none")]
    pub child_uid: Option<String>,
}

/// A change of volume sizes under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeResizeStatus {
    /// The claim template that grows.
    pub claim: String,
    /// The step it is at.
    pub step: String,
}

/// The pod template in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateStatus {
    /// Its layout: `go`, or a number.
    pub layout: String,
    /// Digest of what it was made from.
    pub inputs: String,
}

/// What is observed of a K0smotronControlPlane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0smotronControlPlaneStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Steps of the first provisioning that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ControlPlaneInitialization>,
    /// Always true: no Machine belongs to this control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_managed_control_plane: Option<bool>,
    /// Lowest version that runs, in the notation of `spec.version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Versions that run, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionCount>,
    /// Label selector of the control plane pods, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Number of control plane pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Number of those that are Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Number of those that run the wanted revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to_date_replicas: Option<i32>,
    /// Number of those that serve requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// Conditions of the control plane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Steps of the first provisioning of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ControlPlaneInitialization {
    /// The API has answered and its endpoint is known. Stays true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_initialized: Option<bool>,
}
