//! RemoteCluster and its template: the infrastructure of a cluster whose hosts exist already (remote-machine
//! chapter, sections 1.4 and 2).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

cluster_api::kind! {
    /// The infrastructure of a cluster whose hosts exist already.
    RemoteCluster { group: "infrastructure.cluster.x-k8s.io", version: "v1beta2", kind: "RemoteCluster", plural: "remoteclusters", spec: RemoteClusterSpec, status: RemoteClusterStatus }
}

cluster_api::kind! {
    /// What the RemoteClusters of a ClusterClass look like.
    RemoteClusterTemplate { group: "infrastructure.cluster.x-k8s.io", version: "v1beta2", kind: "RemoteClusterTemplate", plural: "remoteclustertemplates", spec: RemoteClusterTemplateSpec }
}

/// The infrastructure of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterSpec {
    /// Where the API of the cluster answers. Copied to the Cluster if that has no endpoint. Needed for control
    /// planes on machines; hosted control planes bring their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<ControlPlaneEndpoint>,
}

/// Host and port of an API. Empty means not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct ControlPlaneEndpoint {
    /// Host name or IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub host: Option<String>,
    /// Port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// What is observed of a RemoteCluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Steps that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ClusterInitialization>,
    /// Failure domains of the pools that this cluster uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub failure_domains: Vec<FailureDomain>,
    /// Conditions of the cluster's infrastructure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Steps of a cluster's infrastructure that are done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterInitialization {
    /// Machines may be made. Stays true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// A failure domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureDomain {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Whether control plane machines may be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<bool>,
    /// Free attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// Spec of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteClusterTemplateSpec {
    /// What each RemoteCluster looks like.
    pub template: RemoteClusterTemplateResource,
}

/// What each RemoteCluster made from a template looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteClusterTemplateResource {
    /// Labels and annotations of the RemoteClusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1))]
    pub metadata: Option<crate::shared::LabelsAndAnnotations>,
    /// Their spec.
    pub spec: RemoteClusterSpec,
}
