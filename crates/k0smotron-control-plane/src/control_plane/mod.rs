//! K0smotronControlPlane: a control plane in pods for a Cluster of Cluster API (hosted chapter 15,
//! cluster-api-contract 3).
//!
//! It maps to one `k0smotron.io` Cluster of the Cluster's name and tells Cluster API what that one observes. It
//! is a controller that declares a set: the `k0smotron.io` Cluster and the endpoint on two objects of others.

mod decide;
mod endpoints;
mod network;
mod objects;
mod observe;
mod plan;
mod status;
mod versions;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::hosted::{HostedCluster, K0smotronControlPlane, K0smotronControlPlaneStatus};
use cluster_api::cluster::Cluster;
use cluster_api::names::LABEL_CLUSTER_NAME;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use reconcile::{Cache, Change, Context, Controller, Key, Pass, Plan, Wakes};

pub use decide::{Step, decide};
pub use observe::Observed;

const GROUP: &str = "controlplane.cluster.x-k8s.io";
const KIND: &str = "K0smotronControlPlane";

/// The controller.
pub struct ControlPlanes {
    clusters: Cache<Cluster>,
    hosted: Cache<HostedCluster>,
    machines: Cache<bool>,
    machine_pools: Cache<()>,
    endpoints: endpoints::Endpoints,
}

/// Runs the controller until the context stops.
pub async fn run(context: Context, concurrency: usize) {
    let primary = context.primary::<K0smotronControlPlane>();
    let (endpoints, woken) = endpoints::Endpoints::new(&context);
    let controller = Arc::new(ControlPlanes {
        clusters: context.typed(""),
        hosted: context.typed(""),
        machines: context.cache(core_kind("Machine", "machines"), "", is_control_plane),
        machine_pools: context.cache(core_kind("MachinePool", "machinepools"), "", reconcile::nothing),
        endpoints,
    });
    let of_cluster = {
        let primary = primary.clone();
        move |namespace: &str, cluster: &str| -> Vec<Key> {
            let all = primary.list(namespace, &[]);
            let mine = |entry: &Arc<reconcile::Entry<K0smotronControlPlane>>| {
                cluster_api::cluster_owner(&entry.meta).is_some_and(|owner| owner.name == cluster)
            };
            all.iter().filter(|entry| mine(entry)).map(|entry| entry.key()).collect()
        }
    };
    let (by_cluster, by_machine, by_pool) = (of_cluster.clone(), of_cluster.clone(), of_cluster.clone());
    let by_endpoint = of_cluster;
    let (follow, signals) = tokio::sync::mpsc::unbounded_channel();
    context.spawn(endpoints::forward(context.stop().clone(), woken, follow, by_endpoint));
    let wakes = Wakes::new()
        .by(&controller.clusters, move |change| by_cluster(&change.key.namespace, &change.key.name))
        .by(&controller.hosted, owners)
        .by(&controller.machines, move |change| of_label(change, &by_machine))
        .by(&controller.machine_pools, move |change| of_label(change, &by_pool))
        .signal(signals);
    reconcile::run(context, controller, primary, wakes, concurrency).await;
}

impl Controller for ControlPlanes {
    type Kind = K0smotronControlPlane;
    type Observed = Observed;
    type Status = K0smotronControlPlaneStatus;
    type Own = Infallible;

    const NAME: &'static str = "k0smotroncontrolplane";
    const FINALIZER: Option<&'static str> = Some("k0smotron.controlplane.cluster.x-k8s.io");

    async fn observe(&self, pass: &Pass<K0smotronControlPlane>) -> anyhow::Result<Observed> {
        observe::observe(self, pass).await
    }

    fn plan(&self, observed: &Observed) -> Plan<K0smotronControlPlaneStatus> {
        plan::plan(observed)
    }

    async fn act(
        &self,
        _: &Pass<K0smotronControlPlane>,
        _: &Observed,
        own: &Infallible,
    ) -> anyhow::Result<bool> {
        match *own {}
    }
}

fn core_kind(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(cluster_api::GROUP, cluster_api::VERSION, kind),
        plural,
    )
}

/// Of a Machine we want to know one thing: whether it is a worker.
#[allow(clippy::unnecessary_wraps)] // the shape of a reduction
fn is_control_plane(machine: DynamicObject) -> anyhow::Result<bool> {
    Ok(machine
        .metadata
        .labels
        .is_some_and(|labels| labels.contains_key(cluster_api::names::LABEL_CONTROL_PLANE)))
}

/// The control planes that own a `k0smotron.io` Cluster: a plain owner, not its controller.
fn owners(change: &Change<HostedCluster>) -> Vec<Key> {
    let Some(entry) = change.entry() else { return Vec::new() };
    let ours = entry.meta.owner_references.iter().flatten().filter(|owner| owner.kind == KIND);
    ours.map(|owner| Key::new(&*change.key.namespace, &*owner.name)).collect()
}

/// Machines matter when the last one goes.
fn of_label<F>(change: &Change<F>, of_cluster: &impl Fn(&str, &str) -> Vec<Key>) -> Vec<Key> {
    match (&change.before, &change.after) {
        (Some(before), None) => before
            .meta
            .labels
            .as_ref()
            .and_then(|labels| labels.get(LABEL_CLUSTER_NAME))
            .map_or_else(Vec::new, |cluster| of_cluster(&change.key.namespace, cluster)),
        _ => Vec::new(),
    }
}
