//! How a hosted control plane is reached: Service, Ingress, Gateway.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{cel, decode, schema};

/// The Service in front of the control plane pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::service)]
pub struct ServiceSpec {
    /// Type of the Service. Default `ClusterIP`: reachable from this cluster only.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "ClusterIP"))]
    pub type_: Option<ServiceType>,
    /// Port of the API. With type `NodePort` it is the node port too. Default 30443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 30443), transform = schema::no_format)]
    pub api_port: Option<i64>,
    /// Port of konnectivity, through which the control plane reaches nodes and pods. With type `NodePort` it is
    /// the node port too. Default 30132.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 30132), transform = schema::no_format)]
    pub konnectivity_port: Option<i64>,
    /// Labels of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Service, e.g. those that steer a load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Class of the load balancer, for type `LoadBalancer`. Kubernetes fixes it at creation of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub load_balancer_class: Option<String>,
    /// `Local` keeps the client's address and sends traffic only to nodes that run a pod. Kubernetes' default is
    /// `Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// Address ranges from which a load balancer takes connections. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_source_ranges: Vec<String>,
    /// Whether the Service has one or two address families. Default: Kubernetes' choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
    /// Address families of the Service. Default: Kubernetes' choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub ip_families: Vec<IpFamily>,
    /// `Fixed` (default): the node ports are `apiPort` and `konnectivityPort`. `Auto`, for type `NodePort`: the
    /// API server of the hosting cluster chooses free ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_allocation: Option<PortAllocation>,
}

/// Type of the Service. An empty string, as older objects have it, means `ClusterIP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable from the hosting cluster only.
    #[default]
    #[serde(rename = "ClusterIP", alias = "")]
    ClusterIp,
    /// Reachable through a port of every node.
    NodePort,
    /// Reachable through a load balancer.
    LoadBalancer,
}

/// Which nodes take traffic from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// All nodes.
    #[default]
    Cluster,
    /// Nodes that run a pod of the Service.
    Local,
}

/// How many address families a Service has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IpFamilyPolicy {
    /// One.
    #[default]
    SingleStack,
    /// Two where the cluster has two.
    PreferDualStack,
    /// Two.
    RequireDualStack,
}

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// IPv4.
    #[default]
    IPv4,
    /// IPv6.
    IPv6,
}

/// Who chooses node ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PortAllocation {
    /// The spec.
    #[default]
    Fixed,
    /// The API server of the hosting cluster.
    Auto,
}

/// Reaching the API through an Ingress that passes TLS through, by server name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Whether the Ingress object is made. Default true; with false you make it yourself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<bool>,
    /// Port on which the ingress controller listens. Default 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 443))]
    pub port: Option<i64>,
    /// Host name of the API.
    pub api_host: String,
    /// Host name of konnectivity.
    pub konnectivity_host: String,
    /// Class of the Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Annotations of the Ingress; they must tell your ingress controller to pass TLS through.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The proxy on worker nodes through which pods reach the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<NodeProxy>,
}

/// The proxy on worker nodes through which pods reach the API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeProxy {
    /// Its image. Default `haproxy:2.8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its resources.
    #[serde(default, deserialize_with = "decode::quantities", skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Its tolerations. Default: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Toleration>>,
}

/// Reaching the API through TLSRoutes of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Gateways that shall accept the routes.
    #[schemars(length(min = 1, max = 32))]
    pub parent_refs: Vec<ParentRef>,
    /// Host name of the API.
    pub api_host: String,
    /// Host name of konnectivity.
    pub konnectivity_host: String,
    /// Port on which the Gateway listens. Default 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i64>,
    /// Labels of the routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A Gateway that shall accept a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Its API group. Default `gateway.networking.k8s.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its kind. Default `Gateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its namespace. Default: this object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The listener of it. Default: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// The port of it. Default: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}
