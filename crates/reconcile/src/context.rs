//! What all controllers of a process share: client, scope, caches, metrics, events, shutdown.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::{AnyCache, Cache, Select, typed};
use crate::controller::Primary;
use crate::metrics::Metrics;

/// Which objects this process is about.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Namespaces; empty means all.
    pub namespaces: Vec<String>,
    /// `--watch-filter`: only primary objects labelled `cluster.x-k8s.io/watch-filter=<value>`.
    pub watch_filter: Option<String>,
}

/// The label of `--watch-filter`.
pub const WATCH_FILTER_LABEL: &str = "cluster.x-k8s.io/watch-filter";

/// Group, kind, label selector and type of fact: what makes two requests for a cache the same.
type CacheName = (String, String, String, TypeId);
type Registered = (String, String, Arc<dyn AnyCache>);

struct Inner {
    client: Client,
    scope: Scope,
    metrics: Metrics,
    recorder: Recorder,
    stop: CancellationToken,
    tasks: TaskTracker,
    shutdown_grace: Duration,
    clusters: watch::Sender<Option<Cache<bool>>>,
    running: watch::Sender<usize>,
    caches: Mutex<Vec<Registered>>,
    typed: Mutex<HashMap<CacheName, Box<dyn Any + Send>>>,
}

/// Shared by all controllers of a process; clones are the same context.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({:?})", self.0.scope)
    }
}

/// How long a stopping process may finish the passes it is in, unless a flag says otherwise.
/// It stays below the grace period of the manager's pod, 10 s.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

impl Context {
    /// A context; `stop` ends everything that runs in it.
    pub fn new(
        client: Client,
        scope: Scope,
        metrics: Metrics,
        stop: CancellationToken,
        shutdown_grace: Duration,
    ) -> Self {
        let reporter = Reporter { controller: "k0smotron".into(), instance: std::env::var("POD_NAME").ok() };
        Self(Arc::new(Inner {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            scope,
            metrics,
            stop,
            tasks: TaskTracker::new(),
            shutdown_grace,
            clusters: watch::Sender::new(None),
            running: watch::Sender::new(0),
            caches: Mutex::default(),
            typed: Mutex::default(),
        }))
    }

    /// The client of the management cluster.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Which objects this process is about.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Cancelled when the process shuts down.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        self.0.shutdown_grace
    }

    /// Runs a task that ends with the process; it must return soon after [`Context::stop`] is cancelled.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Waits until every task has ended, after [`Context::stop`] was cancelled.
    pub async fn ended(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// The cache of a kind: one watch per kind, selector and fact type, shared by whoever asks.
    pub fn cache<F: Clone + Send + Sync + 'static>(
        &self,
        resource: ApiResource,
        labels: &str,
        reduce: fn(DynamicObject) -> anyhow::Result<F>,
    ) -> Cache<F> {
        self.cache_in(self.0.scope.namespaces.clone(), resource, labels, reduce)
    }

    /// The cache of a cluster-scoped kind (or one of all namespaces).
    pub fn cluster_cache<F: Clone + Send + Sync + 'static>(
        &self,
        resource: ApiResource,
        labels: &str,
        reduce: fn(DynamicObject) -> anyhow::Result<F>,
    ) -> Cache<F> {
        self.cache_in(Vec::new(), resource, labels, reduce)
    }

    fn cache_in<F: Clone + Send + Sync + 'static>(
        &self,
        namespaces: Vec<String>,
        resource: ApiResource,
        labels: &str,
        reduce: fn(DynamicObject) -> anyhow::Result<F>,
    ) -> Cache<F> {
        let name = (resource.group.clone(), resource.kind.clone(), labels.to_owned(), TypeId::of::<F>());
        let mut typed = self.0.typed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = typed.get(&name).and_then(|known| known.downcast_ref::<Cache<F>>()) {
            return known.clone();
        }
        let select = Select { resource: resource.clone(), namespaces, labels: labels.to_owned() };
        let cache = Cache::new(self.0.client.clone(), select, reduce);
        typed.insert(name, Box::new(cache.clone()));
        self.lock().push((resource.group, resource.kind, Arc::new(cache.clone())));
        self.spawn(cache.clone().keep(self.0.stop.clone()));
        cache
    }

    /// A cache of whole typed objects.
    pub fn typed<K: Primary>(&self, labels: &str) -> Cache<K> {
        self.cache(ApiResource::erase::<K>(&()), labels, typed::<K>)
    }

    /// The cache of a controller's own kind, restricted by the watch filter.
    pub fn primary<K: Primary>(&self) -> Cache<K> {
        let labels = self.0.scope.watch_filter.as_ref().map(|value| format!("{WATCH_FILTER_LABEL}={value}"));
        self.typed(&labels.unwrap_or_default())
    }

    /// Watches Cluster API Clusters for their pause; called once Cluster API is known to be there, which may be long
    /// after [`crate::run`].
    pub fn watch_clusters(&self) -> Cache<bool> {
        let gvk = kube::core::GroupVersionKind::gvk("cluster.x-k8s.io", "v1beta2", "Cluster");
        let paused = |object: DynamicObject| Ok(object.data["spec"]["paused"].as_bool().unwrap_or(false));
        let cache = self.cache(ApiResource::from_gvk_with_plural(&gvk, "clusters"), "", paused);
        self.0.clusters.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| cache.clone());
            first
        });
        cache
    }

    /// Clusters and whether they are paused, if [`Context::watch_clusters`] was called.
    pub(crate) fn clusters(&self) -> Option<Cache<bool>> {
        self.0.clusters.borrow().clone()
    }

    /// The same, for who waits until they are watched.
    pub(crate) fn clusters_when_watched(&self) -> watch::Receiver<Option<Cache<bool>>> {
        self.0.clusters.subscribe()
    }

    /// A controller has filled its caches and makes passes from now on.
    pub(crate) fn runs(&self) {
        self.0.running.send_modify(|running| *running += 1);
    }

    /// Waits until so many controllers make passes.
    pub async fn running(&self, controllers: usize) {
        // The sender lives as long as we do.
        let _ = self.0.running.subscribe().wait_for(|running| *running >= controllers).await;
    }

    /// The caches of a kind, for the driver.
    pub(crate) fn caches_of(&self, group: &str, kind: &str) -> Vec<Arc<dyn AnyCache>> {
        self.lock()
            .iter()
            .filter(|(g, k, _)| g == group && k == kind)
            .map(|(_, _, cache)| cache.clone())
            .collect()
    }

    /// Waits until every cache asked for so far has been listed once.
    pub async fn synced(&self) {
        let caches: Vec<_> = self.lock().iter().map(|(_, _, cache)| cache.synced()).collect();
        for mut synced in caches {
            // An error means the cache is gone, which happens at shutdown only.
            let _ = synced.wait_for(|yes| *yes).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Registered>> {
        self.0.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
