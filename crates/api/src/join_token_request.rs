//! JoinTokenRequest: a token with which a node joins a hosted control plane (hosted chapter, section 16).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cel;

cluster_api::kind! {
    /// A token with which a node joins a hosted control plane.
    JoinTokenRequest { group: "k0smotron.io", version: "v1beta2", kind: "JoinTokenRequest", plural: "jointokenrequests", spec: JoinTokenRequestSpec, status: JoinTokenRequestStatus }
}

/// What is wanted of a token. Fixed once the token is issued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::join_token_request_spec)]
pub struct JoinTokenRequestSpec {
    /// Name of the `k0smotron.io` Cluster in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
    /// How long the token is valid, e.g. `1h30m`. Default `0s`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "0s"))]
    pub expiry: Option<String>,
    /// What the token is for: a `worker` (default) or a `controller`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "worker"))]
    pub role: Option<JoinRole>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JoinRole {
    /// A worker node.
    #[default]
    #[serde(alias = "")]
    Worker,
    /// A controller.
    Controller,
}

/// What is observed of a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenRequestStatus {
    /// Id of the token: the part before the dot.
    #[serde(rename = "tokenID", default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// When the token ends (RFC 3339), or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What only readers of older versions need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<JoinTokenRequestDeprecated>,
}

/// What only readers of older versions need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenRequestDeprecated {
    /// For readers of v1beta1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1beta1: Option<JoinTokenRequestDeprecatedV1Beta1>,
}

/// What only readers of v1beta1 need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenRequestDeprecatedV1Beta1 {
    /// The state in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciliation_status: Option<String>,
    /// uid of the Cluster.
    #[serde(rename = "clusterUID", default, skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
}
