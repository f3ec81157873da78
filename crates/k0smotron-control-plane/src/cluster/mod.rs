//! Kind `Cluster` of `k0smotron.io`: a control plane in pods.
//!
//! A pass observes everything once ([`observe`], [`read`]), derives what it means ([`situation`]), decides one
//! step ([`decide`]) and turns it into effects ([`plan`]). The generated objects are in [`objects`]; what users
//! read is in [`status`]. Acts that need secret bytes, etcd or the child are in [`act`].

mod act;
pub mod certificates;
pub mod decide;
mod etcd;
pub mod events;
mod expiry;
pub mod exposure;
pub mod facts;
pub mod inputs;
pub mod labels;
pub mod membership;
pub mod names;
pub mod objects;
pub mod observe;
pub mod own;
pub mod plan;
pub mod quantity;
mod read;
pub mod record;
mod references;
pub mod rollout;
pub mod situation;
pub mod status;
pub mod template;
#[cfg(test)]
mod tests;
pub mod wanted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::hosted::{DynamicConfigStatus, HostedClusterStatus, ServiceType};
use api::{HostedCluster, JoinTokenRequest};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Secret, Service};
use kube::api::ApiResource;
use reconcile::{Cache, Change, Condition, Context, Controller, Effect, Entry, Is, Key, Pass, Plan, Wakes};
use workload::Children;

use facts::{ClaimFact, ConfigMapFact, NodeFact, PodFact, SecretFact, ServiceFact, SetFact};
use labels::{WATCHED, WATCHED_SECRETS};
use observe::Observed;
use own::Own;
use references::References;

pub use wanted::Operator;

/// What the controller needs to know of its process.
#[derive(Clone, Debug)]
pub struct Options {
    /// What enters decisions.
    pub operator: Operator,
    /// The children of this process.
    pub children: Children,
    /// Clusters whose passes may run at the same time.
    pub concurrency: usize,
}

/// Runs the controller until the context stops.
pub async fn run(context: Context, options: Options) {
    let concurrency = options.concurrency;
    let primary: Cache<HostedCluster> = context.primary();
    let (controller, wakes) = Hosted::new(&context, options, &primary);
    reconcile::run(context, Arc::new(controller), primary, wakes, concurrency).await;
}

/// The controller: its watches, and what a process may forget.
pub struct Hosted {
    context: Context,
    operator: Operator,
    services: Cache<ServiceFact>,
    config_maps: Cache<ConfigMapFact>,
    secrets: Cache<SecretFact>,
    sets: Cache<SetFact>,
    pods: Cache<PodFact>,
    claims: Cache<ClaimFact>,
    nodes: Cache<NodeFact>,
    requests: Cache<JoinTokenRequest>,
    children: Children,
    references: References,
    memory: Mutex<HashMap<Key, Memory>>,
}

/// What is remembered of a cluster between passes; losing it costs a request or two.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// What was applied in the child.
    pushed: Option<DynamicConfigStatus>,
    /// Why the last attempt failed, and whether it was refused for what it says.
    push_failed: Option<(bool, String)>,
    /// When nothing of somebody else was found where our objects are made.
    looked: Option<Timestamp>,
    /// Looks at etcd that it did not answer, since the last that it did.
    silent: u32,
    /// Unsuccessful looks at the child since the readiness of replicas changed.
    tries: (i32, u32),
}

impl Hosted {
    fn new(context: &Context, options: Options, primary: &Cache<HostedCluster>) -> (Self, Wakes) {
        fn kind<K: kube::Resource<DynamicType = ()>>() -> ApiResource {
            ApiResource::erase::<K>(&())
        }
        let (references, named) = References::new(context);
        let controller = Self {
            services: context.cache(kind::<Service>(), WATCHED, facts::service),
            config_maps: context.cache(kind::<ConfigMap>(), WATCHED, facts::config_map),
            secrets: context.cache(kind::<Secret>(), WATCHED_SECRETS, facts::secret),
            sets: context.cache(kind::<StatefulSet>(), WATCHED, facts::set),
            pods: context.cache(kind::<Pod>(), WATCHED, facts::pod),
            claims: context.cache(kind::<PersistentVolumeClaim>(), WATCHED, facts::claim),
            nodes: context.cluster_cache(kind::<Node>(), "", facts::node),
            requests: context.typed(""),
            children: options.children,
            references,
            memory: Mutex::default(),
            context: context.clone(),
            operator: options.operator,
        };
        let expiry = Box::new(expiry::Expiry(controller.secrets.clone()));
        context.metrics().with_registry(|registry| registry.register_collector(expiry));
        let exposed_on_nodes = {
            let primary = primary.clone();
            move |change: &Change<NodeFact>| {
                if !change.differs(|node| node.fact.clone()) {
                    return Vec::new();
                }
                let all = primary.all();
                let on_nodes =
                    all.iter().filter(|entry| entry.fact.spec.service_type() == ServiceType::NodePort);
                on_nodes.map(|entry| entry.key()).collect()
            }
        };
        let wakes = Wakes::new()
            .owned(&controller.services)
            .owned(&controller.config_maps)
            .owned(&controller.sets)
            .by(&controller.secrets, |change| labelled(change, "cluster.x-k8s.io/cluster-name"))
            .by(&controller.pods, |change| labelled(change, "cluster"))
            .by(&controller.claims, |change| labelled(change, "cluster"))
            .by(&controller.nodes, exposed_on_nodes)
            .signal(named);
        (controller, wakes)
    }

    fn remember<T>(&self, key: &Key, with: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        with(memory.entry(key.clone()).or_default())
    }
}

/// The cluster that a label names. An object whose facts did not change wakes nobody.
fn labelled<F: PartialEq + Clone>(change: &Change<F>, label: &str) -> Vec<Key> {
    let facts = |entry: &Entry<F>| {
        let meta = &entry.meta;
        (entry.fact.clone(), meta.labels.clone(), meta.annotations.clone(), entry.deleting())
    };
    if !change.differs(facts) {
        return Vec::new();
    }
    let name = change.entry().and_then(|entry| entry.label(label));
    name.map(|name| Key::new(&*change.key.namespace, name)).into_iter().collect()
}

impl Controller for Hosted {
    type Kind = HostedCluster;
    type Observed = Observed;
    type Status = HostedClusterStatus;
    type Own = Own;

    const NAME: &'static str = "cluster";
    const FINALIZER: Option<&'static str> = Some("k0smotron.io/finalizer");
    const FAILURE_CONDITION: Option<&'static str> = Some("Reconciled");

    async fn observe(&self, pass: &Pass<HostedCluster>) -> anyhow::Result<Observed> {
        self.read(pass).await
    }

    fn plan(&self, observed: &Observed) -> Plan<HostedClusterStatus, Own> {
        plan::plan(observed)
    }

    async fn act(&self, pass: &Pass<HostedCluster>, observed: &Observed, own: &Own) -> anyhow::Result<bool> {
        self.carry_out(pass, observed, own).await
    }

    /// A taken node port is a condition of its own (11.1); who holds it is told where we may look.
    async fn refused(
        &self,
        observed: &Observed,
        effect: &Effect<Own>,
        error: &kube::Error,
    ) -> Option<Condition> {
        let Effect::Apply(object) = effect else { return None };
        let service = object.types.as_ref().is_some_and(|types| types.kind == "Service");
        let kube::Error::Api(status) = error else { return None };
        if !service || !status.message.contains("provided port is already allocated") {
            return None;
        }
        let port = status.message.split("Invalid value: ").nth(1).and_then(|rest| rest.split(':').next());
        let port = port.map_or_else(|| observed.spec.api_port().to_string(), ToOwned::to_owned);
        let holder = exposure::holder(self.context.client(), &port).await;
        let holder = holder.map_or_else(|| "another Service".to_owned(), |name| format!("Service {name}"));
        let words = format!("{port} is held by {holder}; choose another port, or portAllocation: Auto");
        Some(Condition::new("ControlPlaneExposed", Is::False, "NodePortTaken", words))
    }

    fn forget(&self, key: &Key) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.references.forget(key);
    }
}
