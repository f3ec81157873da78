//! RemoteMachine: an existing host becomes a Machine, and is given back.
//!
//! One pass: [`observe`] reads everything, [`decide`] chooses a step by the rules of sections 3, 6.3 and 12, [`plan`]
//! turns it into effects and words. What takes minutes runs apart, in the table of tasks.

mod conditions;
mod decide;
mod observe;
mod own;
mod plan;
mod retry;

use std::sync::Arc;

use api::remote_machine::{RemoteMachine, RemoteMachineStatus};
use cluster_api::names::LABEL_CLUSTER_NAME;
use cluster_api::{Cluster, Machine};
use reconcile::{Cache, Change, Context, Controller, Key, Pass, Plan, Wakes};
use tokio::sync::mpsc;

pub use decide::{Step, decide};
pub use observe::{ClusterFacts, Input, MachineFacts, Observed};
pub use own::Own;
pub use plan::plan;

use crate::tasks::Tasks;

/// The finalizer (1.5).
pub const FINALIZER: &str = "remotemachine.k0smotron.io/finalizer";
/// On a RemoteMachine: the fingerprint of the key that its host showed first.
pub const SSH_HOST_KEY: &str = "k0smotron.io/ssh-host-key";
/// On a RemoteMachine: what its clean-up needs.
pub const CLEAN_UP: &str = "k0smotron.io/clean-up";
/// Set by the user: the host has got another key, learn it.
pub const ACCEPT_NEW_HOST_KEY: &str = "k0smotron.io/accept-new-host-key";
/// Set by the user: let the machine go without cleaning the host.
pub const SKIP_CLEAN_UP: &str = "k0smotron.io/skip-clean-up";
/// Set by the user: try again now.
pub const RETRY_PROVISION: &str = "k0smotron.io/retry-provision";
/// Set by the user: bootstrap a host that is not clean.
pub const FORCE_PROVISION: &str = "k0smotron.io/force-provision";
/// On a Machine: its host stays in the etcd cluster.
pub const SKIP_ETCD_LEAVE: &str = "k0smotron.io/skip-etcd-leave";

/// Settings of this controller.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Passes at once.
    pub concurrency: usize,
    /// Hosts that are worked on at once (`--remote-concurrency`).
    pub hosts: usize,
}

impl Default for Options {
    /// Passes take milliseconds; a host costs a connection and little else (5.1).
    fn default() -> Self {
        Self { concurrency: 5, hosts: 50 }
    }
}

/// Runs the controller until the context stops.
pub async fn run(context: Context, options: Options) {
    let primary = context.primary::<RemoteMachine>();
    let machines = context.typed::<Machine>("");
    let clusters = context.typed::<Cluster>("");
    let (wake, woken) = mpsc::unbounded_channel();
    let controller = Arc::new(RemoteMachines {
        client: context.client().clone(),
        machines: machines.clone(),
        clusters: clusters.clone(),
        tasks: Tasks::new(options.hosts, wake, context.stop().clone()),
    });
    let of_cluster = {
        let primary = primary.clone();
        move |change: &Change<Cluster>| {
            if !change.differs(|cluster| ClusterFacts::of(&cluster.fact)) {
                return Vec::new();
            }
            let label = [(LABEL_CLUSTER_NAME, change.key.name.as_str())];
            primary.list(&change.key.namespace, &label).iter().map(|entry| entry.key()).collect()
        }
    };
    let wakes = Wakes::new().by(&machines, of_machine).by(&clusters, of_cluster).signal(woken);
    reconcile::run(context, controller, primary, wakes, options.concurrency).await;
}

/// The RemoteMachine that a Machine refers to.
fn of_machine(change: &Change<Machine>) -> Vec<Key> {
    let Some(entry) = change.entry() else { return Vec::new() };
    let reference = &entry.fact.spec.infrastructure_ref;
    if reference.is_a("infrastructure.cluster.x-k8s.io", "RemoteMachine") {
        vec![Key::new(&*change.key.namespace, &*reference.name)]
    } else {
        Vec::new()
    }
}

pub(crate) struct RemoteMachines {
    client: kube::Client,
    machines: Cache<Machine>,
    clusters: Cache<Cluster>,
    tasks: Arc<Tasks>,
}

impl Controller for RemoteMachines {
    type Kind = RemoteMachine;
    type Observed = Observed;
    type Status = RemoteMachineStatus;
    type Own = Own;

    const NAME: &'static str = "remotemachine";
    const FINALIZER: Option<&'static str> = Some(FINALIZER);

    async fn observe(&self, pass: &Pass<RemoteMachine>) -> anyhow::Result<Observed> {
        self.read(pass).await
    }

    fn plan(&self, observed: &Observed) -> Plan<RemoteMachineStatus, Own> {
        plan(observed)
    }

    async fn act(&self, pass: &Pass<RemoteMachine>, observed: &Observed, own: &Own) -> anyhow::Result<bool> {
        self.carry_out(pass, observed, own).await
    }

    fn forget(&self, key: &Key) {
        self.tasks.cancel(key);
    }
}
