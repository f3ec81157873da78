//! Changes of generated pods and objects, and how they reach running pods.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FreeForm, shared::LabelsAndAnnotations};

/// Collecting metrics of the control plane in a sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether the sidecars run.
    pub enabled: bool,
    /// Image of Prometheus. Default `quay.io/k0sproject/prometheus:v2.44.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "quay.io/k0sproject/prometheus:v2.44.0"))]
    pub prometheus_image: Option<String>,
    /// Image of the proxy in front of it. Default `nginx:1.19.10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "nginx:1.19.10"))]
    pub proxy_image: Option<String>,
}

/// A change of generated objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Patch {
    /// Which objects are changed.
    pub target: PatchTarget,
    /// The change.
    pub patch: PatchContent,
}

/// Which objects a patch changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchTarget {
    /// Kind of the object, e.g. `StatefulSet`.
    pub kind: String,
    /// Value of its label `app.kubernetes.io/component`, e.g. `control-plane` or `etcd`.
    pub component: String,
}

/// What a patch does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchContent {
    /// `json` (RFC 6902), `merge` (RFC 7386) or `strategic`.
    #[serde(rename = "type")]
    pub type_: PatchType,
    /// The patch, in YAML or JSON.
    pub content: String,
}

/// Notation of a patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PatchType {
    /// RFC 6902.
    #[default]
    Json,
    /// Kubernetes' strategic merge patch.
    Strategic,
    /// RFC 7386.
    Merge,
}

/// A part of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<LabelsAndAnnotations>,
    /// A partial PodSpec, merged strategically: containers by name, tolerations appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<FreeForm>,
}

/// PodDisruptionBudgets of control plane and etcd pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodDisruptionBudget {
    /// Whether there are any. Default: where there is more than one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// NetworkPolicies of control plane and etcd pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether there are any. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Who may reach the API. Default: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_from: Option<Vec<NetworkPolicyPeer>>,
}

/// How changes reach the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Whether a single replica gets a second one while it is restarted. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surge: Option<bool>,
    /// Seconds after which a pod that does not become Ready on a new revision stops the rollout. Default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub progress_deadline_seconds: Option<i32>,
    /// When pods may be restarted for other reasons than repair. Default: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<RolloutWindow>,
}

/// When pods may be restarted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutWindow {
    /// When the window opens, in cron notation (UTC).
    #[schemars(length(min = 1))]
    pub schedule: String,
    /// For how many minutes it stays open.
    #[schemars(range(min = 1))]
    pub duration_minutes: i32,
}
