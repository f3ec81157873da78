//! Every read of a pass, into plain facts.

use api::hosted::{DynamicConfigStatus, HostedClusterStatus, HostedControlPlaneSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workload::Reach;

use super::facts::{ClaimFact, ConfigMapFact, NodeFact, PodFact, SecretFact, Seen, ServiceFact, SetFact};
use super::labels::Origin;
use super::membership::Live;
use super::wanted::Operator;

/// The SQL database's address, which is never seen here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// None is needed.
    #[default]
    None,
    /// Its digest.
    Known(String),
    /// Why it is not known.
    Missing(String),
}

/// What the child said when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChildFacts {
    /// uid of its namespace `kube-system`.
    pub uid: String,
    /// Name and kubelet version of its nodes, if they were asked for.
    pub kubelets: Vec<(String, String)>,
}

/// An object that stands where ours should, and is somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Kind and name.
    pub what: String,
    /// Whose it is.
    pub whose: String,
}

/// A join token request for this cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Every fact of a pass.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// What the operator was told.
    pub operator: Operator,
    /// The cluster's metadata.
    pub origin: Origin,
    /// Its generation.
    pub generation: Option<i64>,
    /// It is being deleted.
    pub deleting: bool,
    /// It carries our finalizer.
    pub held: bool,
    /// What is wanted.
    pub spec: HostedControlPlaneSpec,
    /// What was observed before.
    pub status: HostedClusterStatus,
    /// Its Services, former ones too.
    pub services: Vec<Seen<ServiceFact>>,
    /// Its Secrets, and those that the spec names.
    pub secrets: Vec<Seen<SecretFact>>,
    /// Its ConfigMaps.
    pub config_maps: Vec<Seen<ConfigMapFact>>,
    /// The StatefulSet of the control plane.
    pub control_plane: Option<Seen<SetFact>>,
    /// The StatefulSet of etcd.
    pub etcd: Option<Seen<SetFact>>,
    /// Pods of the control plane.
    pub pods: Vec<Seen<PodFact>>,
    /// Pods of etcd.
    pub etcd_pods: Vec<Seen<PodFact>>,
    /// Claims of both.
    pub claims: Vec<Seen<ClaimFact>>,
    /// Nodes of the hosting cluster, for Service type NodePort.
    pub nodes: Vec<Seen<NodeFact>>,
    /// Join token requests that go with this cluster, while it goes.
    pub requests: Vec<Request>,
    /// The SQL database.
    pub source: Source,
    /// Objects of others that stand in our way (H-7).
    pub foreign: Vec<Foreign>,
    /// What etcd said, if it was asked.
    pub members: Option<Reach<Live>>,
    /// How often etcd was asked in vain, since it answered last.
    pub silent: u32,
    /// How often the child was asked since the readiness of replicas changed.
    pub child_tries: u32,
    /// What the child said, if it was asked.
    pub child: Option<Reach<ChildFacts>>,
    /// What this process last applied in the child.
    pub pushed: Option<DynamicConfigStatus>,
    /// Why the last attempt to apply it failed, and whether it was refused for what it says.
    pub push_failed: Option<(bool, String)>,
}

impl Observed {
    /// A Secret by name.
    pub fn secret(&self, name: &str) -> Option<&Seen<SecretFact>> {
        self.secrets.iter().find(|secret| secret.name == name)
    }

    /// A Service by name.
    pub fn service(&self, name: &str) -> Option<&Seen<ServiceFact>> {
        self.services.iter().find(|service| service.name == name)
    }

    /// A ConfigMap by name.
    pub fn config_map(&self, name: &str) -> Option<&Seen<ConfigMapFact>> {
        self.config_maps.iter().find(|map| map.name == name)
    }

    /// How many control plane pods are Ready.
    pub fn ready(&self) -> i32 {
        count(self.pods.iter().filter(|pod| pod.fact.ready_since.is_some() && !pod.deleting).count())
    }
}

/// A count as the API has it.
pub fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
