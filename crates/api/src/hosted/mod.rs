//! Control planes that run as pods: K0smotronControlPlane, its template, and the `k0smotron.io` Cluster. All
//! three share one spec.

mod customise;
mod exposure;
mod persistence;
mod spec;
mod status;
mod storage;

pub use customise::*;
pub use exposure::*;
pub use persistence::*;
pub use spec::*;
pub use status::*;
pub use storage::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::TemplateMetadata;

cluster_api::kind! {
    /// A control plane in pods, stand-alone: kind `Cluster` of `k0smotron.io`, short `kmc`.
    HostedCluster { group: "k0smotron.io", version: "v1beta2", kind: "Cluster", plural: "clusters", spec: HostedControlPlaneSpec, status: HostedClusterStatus }
}

cluster_api::kind! {
    /// A control plane in pods, for a Cluster of Cluster API.
    K0smotronControlPlane { group: "controlplane.cluster.x-k8s.io", version: "v1beta2", kind: "K0smotronControlPlane", plural: "k0smotroncontrolplanes", spec: HostedControlPlaneSpec, status: K0smotronControlPlaneStatus }
}

cluster_api::kind! {
    /// What the K0smotronControlPlanes of a ClusterClass look like.
    K0smotronControlPlaneTemplate { group: "controlplane.cluster.x-k8s.io", version: "v1beta2", kind: "K0smotronControlPlaneTemplate", plural: "k0smotroncontrolplanetemplates", spec: K0smotronControlPlaneTemplateSpec }
}

/// Spec of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct K0smotronControlPlaneTemplateSpec {
    /// What each K0smotronControlPlane looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<K0smotronControlPlaneTemplateResource>,
}

/// What each K0smotronControlPlane made from a template looks like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct K0smotronControlPlaneTemplateResource {
    /// Labels and annotations of the K0smotronControlPlanes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Their spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<HostedControlPlaneSpec>,
}
