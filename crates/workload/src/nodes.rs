//! The Nodes of children: one watch per cluster, kept only while somebody waits for something in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use reconcile::{Context, Key};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::child::Child;
use crate::reach::Reach;

/// What is kept of a Node. Heartbeats change none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeFact {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// `spec.providerID`, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NodeAddress>,
    /// The version of its kubelet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubelet_version: String,
    /// Its condition `Ready` is `True`.
    pub ready: bool,
    /// It is being deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
}

/// An address of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname` ...
    #[serde(rename = "type")]
    pub type_: String,
    /// The address.
    pub address: String,
}

impl From<&Node> for NodeFact {
    fn from(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let addresses = status.and_then(|status| status.addresses.as_ref());
        let info = status.and_then(|status| status.node_info.as_ref());
        Self {
            name: node.name_any(),
            uid: node.uid().unwrap_or_default(),
            provider_id: spec.and_then(|spec| spec.provider_id.clone()).filter(|id| !id.is_empty()),
            labels: node.labels().clone(),
            addresses: addresses
                .into_iter()
                .flatten()
                .map(|one| NodeAddress { type_: one.type_.clone(), address: one.address.clone() })
                .collect(),
            kubelet_version: info.map(|info| info.kubelet_version.clone()).unwrap_or_default(),
            ready: conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True"),
            deleting: node.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// The Nodes of a cluster as last seen, sorted by name.
pub type Nodes = Arc<Vec<NodeFact>>;

/// Somebody who waits: a key, and the queue in which it is put.
type Interest = (Key, UnboundedSender<Key>);

struct Following {
    child: Child,
    seen: Reach<Nodes>,
    interested: Vec<Interest>,
    task: AbortHandle,
}

/// All watches of Nodes of this process.
#[derive(Clone, Default)]
pub(crate) struct Watches(Arc<Mutex<HashMap<Key, Following>>>);

/// A watch that ends once is normal (they all do after some minutes); twice in a row is a child that cannot be
/// reached.
const FAILURES_TO_TELL: u32 = 2;

impl Watches {
    /// The Nodes as last seen; `who` is woken whenever they change, until it leaves.
    pub(crate) fn follow(
        &self,
        context: &Context,
        child: &Child,
        who: &Key,
        wake: &UnboundedSender<Key>,
    ) -> Reach<Nodes> {
        let cluster = child.cluster();
        let mut all = self.all();
        let following = match all.get_mut(cluster) {
            Some(following) if following.child.is(child) => following,
            stale => {
                let interested = stale.map(|old| {
                    old.task.abort();
                    std::mem::take(&mut old.interested)
                });
                let following = Following {
                    child: child.clone(),
                    seen: Reach::No(format!("the nodes of cluster {cluster} have not been listed yet")),
                    interested: interested.unwrap_or_default(),
                    task: self.clone().start(context, child.clone()),
                };
                all.insert(cluster.clone(), following);
                let Some(following) = all.get_mut(cluster) else {
                    return Reach::No(format!("the nodes of cluster {cluster} are not followed"));
                };
                following
            }
        };
        if !following.interested.iter().any(|(key, sender)| key == who && sender.same_channel(wake)) {
            following.interested.push((who.clone(), wake.clone()));
        }
        following.seen.clone()
    }

    /// `who` waits no more; with nobody left the watch ends.
    pub(crate) fn leave(&self, cluster: &Key, who: &Key, wake: &UnboundedSender<Key>) {
        let mut all = self.all();
        let Some(following) = all.get_mut(cluster) else { return };
        following.interested.retain(|(key, sender)| !(key == who && sender.same_channel(wake)));
        if following.interested.is_empty() {
            following.task.abort();
            all.remove(cluster);
        }
    }

    /// As [`Watches::leave`], whatever the cluster: `who` is gone.
    pub(crate) fn forget(&self, who: &Key, wake: &UnboundedSender<Key>) {
        let clusters: Vec<Key> = self.all().keys().cloned().collect();
        for cluster in clusters {
            self.leave(&cluster, who, wake);
        }
    }

    /// Whether the Nodes of that cluster are watched.
    pub(crate) fn holds(&self, cluster: &Key) -> bool {
        self.all().contains_key(cluster)
    }

    /// How many clusters are watched.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    fn start(self, context: &Context, child: Child) -> AbortHandle {
        let stop = context.stop().clone();
        let task = tokio::spawn(async move {
            stop.run_until_cancelled(self.watch(child)).await;
        });
        task.abort_handle()
    }

    async fn watch(self, child: Child) {
        let api: Api<Node> = Api::all(child.client());
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut nodes: BTreeMap<String, NodeFact> = BTreeMap::new();
        let mut listing: Option<BTreeMap<String, NodeFact>> = None;
        let mut failures = 0;
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listing = Some(BTreeMap::new()),
                Ok(watcher::Event::InitApply(node)) => {
                    let fact = NodeFact::from(&node);
                    listing.get_or_insert_default().insert(fact.name.clone(), fact);
                }
                Ok(watcher::Event::InitDone) => {
                    nodes = listing.take().unwrap_or_default();
                    failures = 0;
                    self.saw(&child, Reach::Yes(&nodes));
                }
                Ok(watcher::Event::Apply(node)) => {
                    let fact = NodeFact::from(&node);
                    nodes.insert(fact.name.clone(), fact);
                    failures = 0;
                    self.saw(&child, Reach::Yes(&nodes));
                }
                Ok(watcher::Event::Delete(node)) => {
                    nodes.remove(&node.name_any());
                    failures = 0;
                    self.saw(&child, Reach::Yes(&nodes));
                }
                Err(error) => {
                    failures += 1;
                    if failures >= FAILURES_TO_TELL {
                        let why = format!(
                            "cannot watch the nodes of cluster {}: {}",
                            child.cluster(),
                            reconcile::error_chain(&error)
                        );
                        self.saw(&child, Reach::No(why));
                    }
                }
            }
        }
    }

    /// Wakes whoever waits if that is news.
    fn saw(&self, child: &Child, seen: Reach<&BTreeMap<String, NodeFact>>) {
        let seen = seen.map(|nodes| Arc::new(nodes.values().cloned().collect::<Vec<_>>()));
        let mut all = self.all();
        let Some(following) = all.get_mut(child.cluster()).filter(|one| one.child.is(child)) else { return };
        if following.seen == seen {
            return;
        }
        following.seen = seen;
        // A queue that nobody reads any more belongs to a controller that has ended.
        following.interested.retain(|(key, sender)| sender.send(key.clone()).is_ok());
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Following>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
