//! Core's Cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

use crate::{GROUP, VERSION, conditions, reference::ContractVersionedObjectReference};

crate::kind! {
    /// A Cluster of Cluster API.
    Cluster { group: GROUP, version: VERSION, kind: "Cluster", plural: "clusters", spec: ClusterSpec, status: ClusterStatus }
}

/// What is wanted of a Cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSpec {
    /// Nobody acts on the Cluster or its objects while this is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Address ranges and service domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_network: Option<ClusterNetwork>,
    /// Where the API of the cluster answers. May be present and empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<ApiEndpoint>,
    /// The control plane object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_ref: Option<ContractVersionedObjectReference>,
    /// The infrastructure cluster object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure_ref: Option<ContractVersionedObjectReference>,
    /// Present when the Cluster is made from a ClusterClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
}

/// A managed topology: only what we look at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// The wanted Kubernetes version of the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Address ranges and service domain of a Cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterNetwork {
    /// The port the API servers should bind to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server_port: Option<i32>,
    /// Ranges of service addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<NetworkRanges>,
    /// Ranges of pod addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<NetworkRanges>,
    /// The DNS domain of services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_domain: Option<String>,
}

/// A list of CIDR blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkRanges {
    /// The blocks; two of different families mean dual stack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cidr_blocks: Vec<String>,
}

/// Host and port of an API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiEndpoint {
    /// DNS name or IP address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Port; 0 is unset.
    #[serde(skip_serializing_if = "is_zero")]
    pub port: i32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(port: &i32) -> bool {
    *port == 0
}

impl ApiEndpoint {
    /// Whether both parts are set: core calls anything less "no endpoint".
    pub fn is_set(&self) -> bool {
        !self.host.is_empty() && self.port > 0
    }
}

/// `host:port`, with IPv6 addresses in brackets.
impl std::fmt::Display for ApiEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') && !self.host.starts_with('[') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What is observed of a Cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// Conditions of the Cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Steps of the first provisioning that are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ClusterInitialization>,
    /// One word for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The generation that core has seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Steps of the first provisioning of a Cluster. Once true they stay so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInitialization {
    /// The infrastructure cluster reported that it is provisioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure_provisioned: Option<bool>,
    /// The control plane reported that its API accepts requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_initialized: Option<bool>,
}

impl Cluster {
    /// The endpoint, if it is complete.
    pub fn endpoint(&self) -> Option<&ApiEndpoint> {
        self.spec.control_plane_endpoint.as_ref().filter(|endpoint| endpoint.is_set())
    }

    /// Whether machines may be made: the infrastructure is provisioned, by the flag or by the condition.
    pub fn infrastructure_provisioned(&self) -> bool {
        self.initialization().and_then(|done| done.infrastructure_provisioned) == Some(true)
            || self.condition_is_true(conditions::INFRASTRUCTURE_READY)
    }

    /// Whether nodes may join: the control plane accepts requests.
    pub fn control_plane_initialized(&self) -> bool {
        self.initialization().and_then(|done| done.control_plane_initialized) == Some(true)
            || self.condition_is_true(conditions::CONTROL_PLANE_INITIALIZED)
    }

    /// Whether `spec.paused` is set.
    pub fn paused(&self) -> bool {
        self.spec.paused == Some(true)
    }

    /// Whether the Cluster is made from a class.
    pub fn has_topology(&self) -> bool {
        self.spec.topology.is_some()
    }

    fn initialization(&self) -> Option<&ClusterInitialization> {
        self.status.as_ref()?.initialization.as_ref()
    }

    fn condition_is_true(&self, type_: &str) -> bool {
        self.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, type_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(text: &str) -> Cluster {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_empty_endpoint_is_no_endpoint() {
        let cluster = cluster(r#"{"spec": {"controlPlaneEndpoint": {}}}"#);
        assert_eq!(cluster.endpoint(), None);
    }

    #[test]
    fn an_ipv6_endpoint_is_printed_with_brackets() {
        let endpoint = ApiEndpoint { host: "fd00::1".to_owned(), port: 6443 };
        assert_eq!(endpoint.to_string(), "[fd00::1]:6443");
    }

    #[test]
    fn infrastructure_counts_as_provisioned_by_flag_or_by_condition() {
        let flag = cluster(r#"{"status": {"initialization": {"infrastructureProvisioned": true}}}"#);
        let condition = cluster(
            r#"{"status": {"conditions": [{"type": "InfrastructureReady", "status": "True", "reason": "Ready",
                "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}"#,
        );
        assert!(flag.infrastructure_provisioned());
        assert!(condition.infrastructure_provisioned());
        assert!(!Cluster::default().infrastructure_provisioned());
    }

    #[test]
    fn an_object_without_spec_can_be_read() {
        let cluster = cluster(
            r#"{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "c"}}"#,
        );
        assert_eq!(cluster.metadata.name.as_deref(), Some("c"));
    }

    #[test]
    fn an_object_is_written_with_its_kind() {
        let value = serde_json::to_value(Cluster::new("c", ClusterSpec::default())).unwrap();
        assert_eq!(value["apiVersion"], "cluster.x-k8s.io/v1beta2");
        assert_eq!(value["kind"], "Cluster");
    }
}
