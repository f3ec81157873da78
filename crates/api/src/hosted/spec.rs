//! The spec that kmc, KCP and template share (hosted chapter, section 2).

use k8s_openapi::api::core::v1::{ResourceRequirements, TopologySpreadConstraint, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Gateway, Ingress, Monitoring, Mount, NetworkPolicy, Patch, Persistence, PodDisruptionBudget, PodTemplate,
    Rollout, ServiceSpec, Storage,
};
use crate::{FreeForm, cel, decode, shared::LabelsAndAnnotations};

/// What is wanted of a control plane in pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::hosted_spec)]
pub struct HostedControlPlaneSpec {
    /// Number of control plane pods. Default 1. With storage `etcd` the number of etcd members follows: 1 for 1
    /// replica, else the next odd number, unless `storage.etcd.replicas` is set. More than 1 is refused for
    /// storage `kine` without a data source, where each pod would have a database of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 1))]
    pub replicas: Option<i32>,
    /// Image of k0s, without a tag: the tag follows from `version`. Default `quay.io/k0sproject/k0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "quay.io/k0sproject/k0s"))]
    pub image: Option<String>,
    /// Version of k0s, e.g. `v1.34.1+k0s.0` or `v1.34.1-k0s.0`. Empty: the version that runs, for a new control
    /// plane the newest one that this release was tested with. A change restarts the pods one at a time; one
    /// minor version up at a time, and not down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// ServiceAccount of the control plane and etcd pods, in the same namespace. Its token is not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Host name or IP address under which workers and users reach the API. Empty: found out from the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_address: Option<String>,
    /// Run the pods in another cluster, whose kubeconfig is named here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_host_cluster: Option<RemoteHostCluster>,
    /// The Service in front of the control plane pods. Default: type `ClusterIP`, ports 30443 and 30132.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = {"apiPort": 30443, "konnectivityPort": 30132, "type": "ClusterIP"}))]
    pub service: Option<ServiceSpec>,
    /// Reach the API through an Ingress that passes TLS through. Excludes `gateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// Reach the API through TLSRoutes of the Gateway API. Excludes `ingress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// The data volume of the control plane pods. Default: an emptyDir, gone with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// Where the cluster's state is kept. Default: etcd in pods of its own. The type is fixed at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// A k0s ClusterConfig, or part of one; merged with what is generated (addresses, storage, ports). What k0s
    /// reads only at its start (`api`, `storage`, `konnectivity`, parts of `network`) restarts the pods when it
    /// changes, the rest is applied in the running cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k0s_config: Option<FreeForm>,
    /// Secrets with authorities of yours. Authorities that are not named here are generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<CertificateRef>,
    /// Volumes with manifests that k0s applies in the cluster, mounted at `/var/lib/k0s/manifests/<name>`.
    #[serde(default, deserialize_with = "decode::quantities", skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Volume>,
    /// Volumes to mount into the control plane pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Further flags of `k0s controller`, each item split into words like a shell does, without expansion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control_plane_flags: Vec<String>,
    /// Collect metrics of the control plane in a sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// How control plane and etcd pods spread over nodes and zones, beside the preferred spread that they have
    /// anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Resources of the container `controller`.
    #[serde(default, deserialize_with = "decode::quantities", skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels and annotations of the Secret `<name>-kubeconfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_metadata: Option<LabelsAndAnnotations>,
    /// Changes of generated objects, applied last and in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// A part of a pod, merged into the control plane pods: priority class, affinity, tolerations, node selector,
    /// security context, pull secrets, sidecars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
    /// PodDisruptionBudgets of control plane and etcd pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    /// NetworkPolicies of control plane and etcd pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// How changes reach the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Scale everything to zero and keep the data. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hibernate: Option<bool>,
    /// Who may ask for join tokens from other namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_token_requests: Option<JoinTokenGrants>,
    /// The user in the generated kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigSpec>,
}

/// Another cluster that runs the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteHostCluster {
    /// The Secret with that cluster's kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_ref: Option<KubeconfigRef>,
}

/// A Secret with a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KubeconfigRef {
    /// Name of the Secret.
    pub name: String,
    /// Namespace of the Secret. Another namespace than this object's must grant the use by the annotation
    /// `k0smotron.io/allow-use-from` on the Secret.
    pub namespace: String,
    /// Key in the Secret. Default `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "value"))]
    pub key: Option<String>,
}

/// A Secret with an authority of the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateRef {
    /// What the authority or certificate is for.
    #[serde(rename = "type")]
    pub type_: CertificateType,
    /// Name of the Secret (keys `tls.crt` and `tls.key`) in the same namespace. Default `<name>-<type>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What an authority or certificate is for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateType {
    /// The cluster's authority.
    #[default]
    Ca,
    /// The key pair that signs service account tokens.
    Sa,
    /// The authority of the aggregation layer.
    Proxy,
    /// The authority of etcd.
    Etcd,
    /// The client certificate with which API servers speak to etcd.
    ApiserverEtcdClient,
    /// The certificate with which etcd members speak to each other.
    EtcdPeer,
    /// The certificate that etcd members show to clients.
    EtcdServer,
}

impl CertificateType {
    /// The word in `certificateRefs[].type`, which is the suffix of the Secret's name too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Sa => "sa",
            Self::Proxy => "proxy",
            Self::Etcd => "etcd",
            Self::ApiserverEtcdClient => "apiserver-etcd-client",
            Self::EtcdPeer => "etcd-peer",
            Self::EtcdServer => "etcd-server",
        }
    }
}

/// Who may ask for join tokens from other namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenGrants {
    /// Namespaces whose JoinTokenRequests are served; `*` means all. The own namespace needs no grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_namespaces: Vec<String>,
}

/// The user in the generated kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigSpec {
    /// Days for which the client certificate is valid; it is renewed when half of them are gone. Default 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub validity_days: Option<i32>,
    /// User name in the client certificate. Default `kubernetes-admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub user: Option<String>,
    /// Groups in the client certificate. Default `system:masters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
}
