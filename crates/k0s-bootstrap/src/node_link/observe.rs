//! Everything that the link of one Machine depends on.

use std::collections::BTreeMap;

use cluster_api::{Cluster, Machine};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use reconcile::{Key, Pass, Reads};
use serde::{Deserialize, Serialize};
use workload::{NodeFact, Reach};

use super::{CONDITION, NodeLink};

/// The facts of a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// When.
    pub now: Timestamp,
    /// The Machine.
    pub machine: MachineFacts,
    /// The Nodes of its cluster; asked for only while the Machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Reach<Vec<NodeFact>>>,
}

/// What of a Machine matters here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineFacts {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Its Cluster.
    pub cluster: String,
    /// The control plane of that Cluster runs in pods of this management cluster.
    pub hosted: bool,
    /// Its bootstrap config or its infrastructure is of a kind of ours.
    pub ours: bool,
    /// It is a controller without a kubelet.
    pub nodeless: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// It or its Cluster is paused.
    pub paused: bool,
    /// `spec.providerID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The Node that core found for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Our condition, if it has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// Kinds of bootstrap configs and of infrastructure whose Machines are linked by us (remote-machine 9.1).
const CONFIG_KINDS: [&str; 2] = ["K0sControllerConfig", "K0sWorkerConfig"];
const CONFIG_GROUP: &str = "bootstrap.cluster.x-k8s.io";
const INFRASTRUCTURE: (&str, &str) = ("infrastructure.cluster.x-k8s.io", "RemoteMachine");
/// On a controller that runs a kubelet.
const WORKER_ENABLED: &str = "k0smotron.io/control-plane-worker-enabled";

impl MachineFacts {
    pub(super) fn new(machine: &Machine, cluster: Option<&Cluster>) -> Self {
        let meta = &machine.metadata;
        let spec = &machine.spec;
        let config = spec.bootstrap.config_ref.as_ref();
        let status = machine.status.as_ref();
        let labels = meta.labels.clone().unwrap_or_default();
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            cluster: spec.cluster_name.clone(),
            hosted: cluster.is_some_and(crate::worker::is_hosted),
            ours: config
                .is_some_and(|config| CONFIG_KINDS.iter().any(|kind| config.is_a(CONFIG_GROUP, kind)))
                || spec.infrastructure_ref.is_a(INFRASTRUCTURE.0, INFRASTRUCTURE.1),
            nodeless: machine.is_control_plane()
                && labels.get(WORKER_ENABLED).is_none_or(|value| value != "true"),
            deleting: machine.is_deleting(),
            paused: cluster_api::is_paused(cluster, meta),
            provider_id: spec.provider_id.clone().filter(|id| !id.is_empty()),
            addresses: status.map(addresses).unwrap_or_default(),
            node: machine.node_name().map(str::to_owned),
            condition: status
                .and_then(|status| cluster_api::conditions::find(&status.conditions, CONDITION))
                .cloned(),
        }
    }

    /// Whether the Nodes of the cluster are of interest: nothing is asked for a Machine that has its Node.
    pub(super) fn looks_for_a_node(&self) -> bool {
        self.ours
            && !self.nodeless
            && !self.deleting
            && !self.paused
            && self.node.is_none()
            && self.provider_id.is_some()
    }

    pub(super) fn cluster_key(&self) -> Key {
        Key::new(&*self.namespace, &*self.cluster)
    }
}

fn addresses(status: &cluster_api::MachineStatus) -> Vec<String> {
    status.addresses.iter().map(|one| one.address.clone()).collect()
}

impl NodeLink {
    pub(super) async fn look(&self, pass: &Pass<Machine>) -> anyhow::Result<Observed> {
        let cluster = pass.get_here(&self.clusters, &pass.object.spec.cluster_name).await?;
        let machine = MachineFacts::new(&pass.object, cluster.as_ref().map(|entry| &entry.fact));
        let mut observed = Observed { now: pass.now, machine, nodes: None };
        let machine = &observed.machine;
        if !machine.looks_for_a_node() {
            self.children.forget(&pass.key, &self.wake);
            self.forget_link(&pass.key);
            return Ok(observed);
        }
        let child = self.children.of(&machine.cluster_key(), machine.hosted).await?;
        observed.nodes = Some(match (child, pass.reads) {
            (Reach::No(why), _) => Reach::No(why),
            (Reach::Yes(child), Reads::Cached) => {
                let nodes = self.children.follow_nodes(&child, &pass.key, &self.wake);
                nodes.map(|nodes| self.candidates(&pass.key, &observed.machine, &nodes))
            }
            (Reach::Yes(child), Reads::Live) => {
                child.nodes().await.map(|nodes| self.candidates(&pass.key, &observed.machine, &nodes))
            }
        });
        Ok(observed)
    }

    /// The Nodes of a big cluster are many; a decision needs those that could be the Machine's. A link that we
    /// have just made and the watch does not show yet counts as made.
    fn candidates(&self, key: &Key, machine: &MachineFacts, nodes: &[NodeFact]) -> Vec<NodeFact> {
        let strong = |node: &&NodeFact| super::decide::strength(machine, node).is_some();
        let mut found: Vec<NodeFact> = nodes.iter().filter(strong).cloned().collect();
        for node in &mut found {
            node.labels.retain(|label, _| label == crate::MACHINE_NAME_LABEL);
            if self.linked(key).as_deref() == Some(&*node.uid) {
                node.provider_id.clone_from(&machine.provider_id);
                node.labels = BTreeMap::from([(crate::MACHINE_NAME_LABEL.to_owned(), machine.name.clone())]);
            }
        }
        found
    }
}
