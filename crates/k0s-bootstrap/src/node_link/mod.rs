//! The link between a Machine and its Node: `spec.providerID` and label `k0smotron.io/machine-name` of the Node
//! (remote-machine 9, control-plane-and-bootstrap 14).
//!
//! Where no cloud provider does it, somebody must tell core which Node a Machine became. The Nodes of a cluster
//! are watched only while one of its Machines has none, so a settled cluster is never contacted. The controller
//! may run twice (in the bootstrap and in the infrastructure provider): the same patch twice changes nothing.

mod decide;
mod observe;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cluster_api::{Cluster, Machine};
use reconcile::{Cache, Change, Context, Controller, Key, Pass, Plan, Wakes};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use workload::{Children, SecretFact};

pub use decide::{Step, Strength, Wait, decide};
pub use observe::{MachineFacts, Observed};
pub use plan::{Own, plan};

/// Our condition on Machines, written only when something is wrong, and when it is right again.
pub const CONDITION: &str = "NodeLinked";

/// What the controller needs to know of its process.
#[derive(Clone, Debug)]
pub struct Options {
    /// The children of this process.
    pub children: Children,
    /// Passes at once.
    pub concurrency: usize,
}

/// The controller.
pub struct NodeLink {
    clusters: Cache<Cluster>,
    children: Children,
    wake: UnboundedSender<Key>,
    links: Mutex<HashMap<Key, String>>,
}

impl NodeLink {
    /// The uid of the Node that was linked to this Machine a moment ago.
    fn linked(&self, key: &Key) -> Option<String> {
        self.links().get(key).cloned()
    }

    fn forget_link(&self, key: &Key) {
        self.links().remove(key);
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<Key, String>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller for NodeLink {
    type Kind = Machine;
    type Observed = Observed;
    type Status = ();
    type Own = Own;

    const NAME: &'static str = "machine";
    const FINALIZER: Option<&'static str> = None;
    // A Machine's status is core's.
    const TELLS_PAUSE: bool = false;

    async fn observe(&self, pass: &Pass<Machine>) -> anyhow::Result<Observed> {
        self.look(pass).await
    }

    fn plan(&self, observed: &Observed) -> Plan<(), Own> {
        plan(observed, decide(observed))
    }

    async fn act(&self, pass: &Pass<Machine>, observed: &Observed, own: &Own) -> anyhow::Result<bool> {
        let Own::Link { node, provider_id } = own;
        let machine = &observed.machine;
        let child = self.children.of(&machine.cluster_key(), machine.hosted).await?.required()?;
        let labels = [(crate::MACHINE_NAME_LABEL, &*machine.name)];
        child.link_node(node, provider_id.as_deref(), &labels).await.required()?;
        self.links().insert(pass.key.clone(), node.uid.clone());
        Ok(true)
    }

    fn forget(&self, key: &Key) {
        self.children.forget(key, &self.wake);
        self.forget_link(key);
    }

    /// The status of a Machine is core's, so its pause is looked at in `decide`, and not told by us.
    fn cluster_of(&self, _: &Machine) -> Option<String> {
        None
    }
}

/// Runs the controller until the context stops.
pub async fn run(context: Context, options: Options) {
    let Options { children, concurrency } = options;
    let machines: Cache<Machine> = context.typed("");
    let clusters: Cache<Cluster> = context.typed("");
    let secrets = workload::secrets(&context);
    let (wake, woken) = unbounded_channel();
    let wakes = Wakes::new()
        .signal(woken)
        .by(&clusters, with_cluster(machines.clone()))
        .by(&secrets, with_kubeconfig(machines.clone()));
    let controller = NodeLink { clusters, children, wake, links: Mutex::default() };
    reconcile::run(context, Arc::new(controller), machines, wakes, concurrency).await;
}

/// A Cluster was paused, resumed, or got its control plane: its Machines that have no Node yet.
fn with_cluster(machines: Cache<Machine>) -> impl Fn(&Change<Cluster>) -> Vec<Key> {
    move |change| {
        if !change.differs(|cluster| (cluster.fact.paused(), crate::worker::is_hosted(&cluster.fact))) {
            return Vec::new();
        }
        without_node(&machines, &change.key.namespace, &change.key.name)
    }
}

/// The way into a cluster changed: its Machines that have no Node yet.
fn with_kubeconfig(machines: Cache<Machine>) -> impl Fn(&Change<SecretFact>) -> Vec<Key> {
    move |change| match change.key.name.strip_suffix("-kubeconfig") {
        Some(cluster) => without_node(&machines, &change.key.namespace, cluster),
        None => Vec::new(),
    }
}

fn without_node(machines: &Cache<Machine>, namespace: &str, cluster: &str) -> Vec<Key> {
    let of_cluster = machines.list(namespace, &[(cluster_api::names::LABEL_CLUSTER_NAME, cluster)]);
    of_cluster.iter().filter(|entry| entry.fact.node_name().is_none()).map(|entry| entry.key()).collect()
}
