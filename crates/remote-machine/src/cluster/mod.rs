//! RemoteCluster: the infrastructure of a cluster whose hosts exist (section 2). It is provisioned at once, never
//! waits for an endpoint (the control plane waits for us), and has nothing to clean up.

use std::convert::Infallible;
use std::sync::Arc;

use api::remote_cluster::{ClusterInitialization, RemoteCluster, RemoteClusterStatus};
use cluster_api::names::ANNOTATION_MANAGED_BY;
use cluster_api::{Cluster, cluster_owner};
use reconcile::{Cache, Change, Condition, Context, Controller, Event, Key, Next, Pass, Plan, Said, Wakes};
use serde::{Deserialize, Serialize};

const READY: &str = "Ready";
const ENDPOINT_SET: &str = "EndpointSet";

/// Settings of this controller.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Passes at once.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { concurrency: 2 }
    }
}

/// Runs the controller until the context stops.
pub async fn run(context: Context, options: Options) {
    let primary = context.primary::<RemoteCluster>();
    let clusters = context.typed::<Cluster>("");
    let controller = Arc::new(RemoteClusters { clusters: clusters.clone() });
    let of_cluster = |change: &Change<Cluster>| {
        let Some(entry) = change.entry() else { return Vec::new() };
        let reference = entry.fact.spec.infrastructure_ref.as_ref();
        let ours = reference.filter(|one| one.is_a("infrastructure.cluster.x-k8s.io", "RemoteCluster"));
        ours.map(|one| Key::new(&*change.key.namespace, &*one.name)).into_iter().collect()
    };
    let wakes = Wakes::new().by(&clusters, of_cluster);
    reconcile::run(context, controller, primary, wakes, options.concurrency).await;
}

struct RemoteClusters {
    clusters: Cache<Cluster>,
}

/// Everything that a decision looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// The object itself.
    pub remote: RemoteCluster,
    /// Its Cluster.
    #[serde(default)]
    pub cluster: Option<ClusterFacts>,
}

/// What counts of a Cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterFacts {
    /// The kind of its control plane.
    pub control_plane_kind: Option<String>,
    /// It has an endpoint.
    pub has_endpoint: bool,
}

/// What a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another party writes this object, or it goes: nothing is written.
    Leave,
    /// No owner yet: silence.
    WaitForOwner,
    /// Say that it is provisioned, and whether an endpoint is missing.
    Report {
        /// `None`: the control plane brings its own.
        endpoint: Option<bool>,
    },
}

/// Chooses the step: the rules of section 2, in their order.
pub fn decide(observed: &Observed) -> Step {
    let metadata = &observed.remote.metadata;
    let managed = metadata.annotations.as_ref().is_some_and(|all| all.contains_key(ANNOTATION_MANAGED_BY));
    if managed || metadata.deletion_timestamp.is_some() {
        return Step::Leave;
    }
    let Some(cluster) = &observed.cluster else { return Step::WaitForOwner };
    let here = observed.remote.spec.control_plane_endpoint.as_ref().is_some_and(|endpoint| {
        endpoint.host.as_deref().is_some_and(|host| !host.is_empty())
            && endpoint.port.is_some_and(|port| port > 0)
    });
    // Only control planes on machines need to be told where their API will answer.
    let needed = cluster.control_plane_kind.as_deref() == Some("K0sControlPlane");
    Step::Report { endpoint: needed.then_some(here || cluster.has_endpoint) }
}

/// What follows from an observation.
pub fn plan(observed: &Observed) -> Plan<RemoteClusterStatus> {
    let endpoint = match decide(observed) {
        Step::Leave => return Plan::nothing("Settled", "another party writes it, or it goes"),
        Step::WaitForOwner => return Plan::nothing("WaitingForOwner", "no Cluster owns it"),
        Step::Report { endpoint } => endpoint,
    };
    let mut status = observed.remote.status.clone().unwrap_or_default();
    status.conditions = Vec::new();
    status.observed_generation = observed.remote.metadata.generation;
    status.initialization = Some(ClusterInitialization { provisioned: Some(true) });
    let mut conditions = vec![Condition::new(READY, true, READY, "")];
    let mut events = Vec::new();
    match endpoint {
        Some(true) => conditions.push(Condition::new(ENDPOINT_SET, true, ENDPOINT_SET, "")),
        Some(false) => {
            let missing = Condition::new(
                ENDPOINT_SET,
                false,
                "EndpointMissing",
                "a control plane on machines needs an endpoint: set spec.controlPlaneEndpoint here or in the Cluster",
            );
            events.push(Event::of(&missing, true));
            conditions.push(missing);
        }
        None => {}
    }
    let said = Said { step: "Settled", words: "it is provisioned".to_owned(), events };
    Plan {
        effects: Vec::new(),
        status: Some(status),
        conditions,
        next: Next::OnChange,
        said,
        disruptive: false,
    }
}

impl Controller for RemoteClusters {
    type Kind = RemoteCluster;
    type Observed = Observed;
    type Status = RemoteClusterStatus;
    type Own = Infallible;

    const NAME: &'static str = "remotecluster";
    const FINALIZER: Option<&'static str> = None;

    async fn observe(&self, pass: &Pass<RemoteCluster>) -> anyhow::Result<Observed> {
        let cluster = match cluster_owner(&pass.object.metadata) {
            Some(owner) => pass.get_here(&self.clusters, owner.name).await?,
            None => None,
        };
        let cluster = cluster.map(|entry| ClusterFacts {
            control_plane_kind: entry.fact.spec.control_plane_ref.as_ref().map(|one| one.kind.clone()),
            has_endpoint: entry.fact.endpoint().is_some(),
        });
        Ok(Observed { remote: pass.object.as_ref().clone(), cluster })
    }

    fn plan(&self, observed: &Observed) -> Plan<RemoteClusterStatus> {
        plan(observed)
    }

    async fn act(&self, _: &Pass<RemoteCluster>, _: &Observed, own: &Infallible) -> anyhow::Result<bool> {
        match *own {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(remote: &serde_json::Value, cluster: impl Into<Option<ClusterFacts>>) -> Observed {
        Observed { remote: serde_json::from_value(remote.clone()).unwrap(), cluster: cluster.into() }
    }

    fn owned(kind: &str, has_endpoint: bool) -> ClusterFacts {
        ClusterFacts { control_plane_kind: Some(kind.into()), has_endpoint }
    }

    #[test]
    fn r26_it_is_provisioned_at_once_without_waiting_for_an_endpoint() {
        let plan = plan(&observed(
            &serde_json::json!({"metadata": {"generation": 2}}),
            owned("K0smotronControlPlane", false),
        ));
        let status = plan.status.unwrap();
        assert_eq!(status.initialization, Some(ClusterInitialization { provisioned: Some(true) }));
        assert_eq!(status.observed_generation, Some(2));
        assert_eq!(plan.conditions, [Condition::new("Ready", true, "Ready", "")]);
        assert!(plan.effects.is_empty());
    }

    #[test]
    fn r26_an_endpoint_that_a_control_plane_on_machines_lacks_is_said() {
        let missing = plan(&observed(&serde_json::json!({}), owned("K0sControlPlane", false)));
        assert_eq!(missing.conditions[1].reason, "EndpointMissing");
        assert_eq!(missing.said.events.len(), 1);
        let empty = serde_json::json!({"spec": {"controlPlaneEndpoint": {}}});
        assert_eq!(
            decide(&observed(&empty, owned("K0sControlPlane", false))),
            Step::Report { endpoint: Some(false) }
        );
        let here = serde_json::json!({"spec": {"controlPlaneEndpoint": {"host": "h", "port": 6443}}});
        assert_eq!(
            decide(&observed(&here, owned("K0sControlPlane", false))),
            Step::Report { endpoint: Some(true) }
        );
        assert_eq!(
            decide(&observed(&empty, owned("K0sControlPlane", true))),
            Step::Report { endpoint: Some(true) }
        );
    }

    #[test]
    fn r26_what_another_party_manages_or_nobody_owns_is_not_written() {
        let managed = serde_json::json!({"metadata": {"annotations": {"cluster.x-k8s.io/managed-by": ""}}});
        assert_eq!(plan(&observed(&managed, owned("K0sControlPlane", false))).status, None);
        assert_eq!(plan(&observed(&serde_json::json!({}), None)).status, None);
    }
}
