//! The shape of a controller: observe, plan (which decides), act.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::{Cache, Entry, Key};
use crate::effect::{Condition, Effect, Plan};
use crate::writer::Writer;

/// A kind that a controller can be about.
pub trait Primary:
    Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Primary for K where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// One reconciler. The driver ([`crate::run`]) does everything else: queue, pause, back-off, writes, status,
/// conditions, events, metrics.
pub trait Controller: Send + Sync + 'static {
    /// The kind it is about.
    type Kind: Primary;
    /// Every fact of a pass: plain data.
    type Observed: Send + Sync;
    /// The status it writes, without `conditions`.
    type Status: Serialize + Send + Sync;
    /// Acts that are no Kubernetes writes of the management cluster.
    type Own: Clone + Debug + PartialEq + Send + Sync;

    /// The metric label `controller` and the log key of the same name.
    const NAME: &'static str;
    /// The finalizer that [`crate::Effect::Hold`] and [`crate::Effect::Release`] mean.
    const FINALIZER: Option<&'static str>;
    /// The condition that tells of an effect that failed: False, `ApplyFailed`, the error in words.
    const FAILURE_CONDITION: Option<&'static str> = None;

    /// Whether pauses are told in the condition `Paused`. Of a kind whose status is another controller's they are not.
    const TELLS_PAUSE: bool = true;

    /// Every read of a pass, once, through `pass` (caches, or live when it was made for a disruptive step).
    /// Being unreachable is an observation; an error is for what the observation cannot do without.
    fn observe(&self, pass: &Pass<Self::Kind>)
    -> impl Future<Output = anyhow::Result<Self::Observed>> + Send;

    /// What follows: pure, total, the same for the same facts.
    fn plan(&self, observed: &Self::Observed) -> Plan<Self::Status, Self::Own>;

    /// Does one own act; `true` if it changed something. Writes to the management cluster go through `pass`
    /// ([`Pass::create`] ...), so that the next pass waits for them.
    fn act(
        &self,
        pass: &Pass<Self::Kind>,
        observed: &Self::Observed,
        own: &Self::Own,
    ) -> impl Future<Output = anyhow::Result<bool>> + Send;

    /// An effect was refused for a reason that users know by a condition of its own (a taken node port): that
    /// condition. Such a refusal is tried again every few seconds, because its cause is not watched.
    fn refused(
        &self,
        _observed: &Self::Observed,
        _effect: &Effect<Self::Own>,
        _error: &kube::Error,
    ) -> impl Future<Output = Option<Condition>> + Send {
        std::future::ready(None)
    }

    /// The object is gone from the cache: drop what is remembered about it (connections, tasks, series).
    fn forget(&self, _key: &Key) {}

    /// The name of the Cluster API Cluster (same namespace) whose pause holds this object.
    /// By default the label `cluster.x-k8s.io/cluster-name`, else the owner of that kind.
    fn cluster_of(&self, object: &Self::Kind) -> Option<String> {
        crate::pause::cluster_name(object.meta())
    }
}

/// Where the reads of a pass come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The watch caches: no request.
    Cached,
    /// The API server, now: for a second decision just before a disruptive step.
    Live,
}

/// One pass over one object.
#[derive(Clone, Debug)]
pub struct Pass<K> {
    /// Namespace and name.
    pub key: Key,
    /// The object as last seen (live: as just read).
    pub object: Arc<K>,
    /// Where reads come from.
    pub reads: Reads,
    /// The time of this pass: the only clock of a decision.
    pub now: Timestamp,
    /// A random number for names that are recorded before use.
    pub seed: u64,
    pub(crate) writer: Arc<Writer>,
}

impl<K> Pass<K> {
    /// Applies an object, for an own act that makes it from secret bytes; `true` if that changed something.
    pub async fn apply(&self, object: &kube::api::DynamicObject) -> anyhow::Result<bool> {
        self.writer.apply(object).await
    }

    /// Creates an object; `false` if one of that name exists.
    pub async fn create(&self, object: &kube::api::DynamicObject) -> anyhow::Result<bool> {
        self.writer.create(object).await
    }

    /// Deletes an object; `false` if it is gone or another one of that name.
    pub async fn delete(&self, what: &crate::ObjectId, uid: &str) -> anyhow::Result<bool> {
        self.writer.delete(what, uid).await
    }

    /// One object of a watched kind in any namespace.
    pub async fn get<F: Clone + Send + Sync + 'static>(
        &self,
        cache: &Cache<F>,
        key: &Key,
    ) -> anyhow::Result<Option<Arc<Entry<F>>>> {
        match self.reads {
            Reads::Cached => Ok(cache.get(key)),
            Reads::Live => cache.get_live(key).await,
        }
    }

    /// One object of a watched kind in this object's namespace.
    pub async fn get_here<F: Clone + Send + Sync + 'static>(
        &self,
        cache: &Cache<F>,
        name: &str,
    ) -> anyhow::Result<Option<Arc<Entry<F>>>> {
        self.get(cache, &Key::new(&self.key.namespace, name)).await
    }

    /// All objects of a watched kind in this object's namespace that carry these labels, sorted by name.
    pub async fn list_here<F: Clone + Send + Sync + 'static>(
        &self,
        cache: &Cache<F>,
        labels: &[(&str, &str)],
    ) -> anyhow::Result<Vec<Arc<Entry<F>>>> {
        match self.reads {
            Reads::Cached => Ok(cache.list(&self.key.namespace, labels)),
            Reads::Live => cache.list_live(&self.key.namespace, labels).await,
        }
    }
}
