//! The clients of all children: made when needed, closed when unused.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reconcile::{Cache, Context, Key, clock};
use tokio::sync::mpsc::UnboundedSender;

use crate::child::Child;
use crate::connect;
use crate::nodes::{Nodes, Watches};
use crate::reach::Reach;
use crate::secrets::{SecretFact, digest, secrets};
use crate::way::{self, Way};

/// A connection that nobody used for this long is closed (H-22).
const UNUSED: Duration = Duration::from_mins(1);
/// How long a child is remembered as one that does not answer.
const SLOW_KNOWN: Duration = Duration::from_mins(10);

/// The children of this management cluster. Clones share everything.
#[derive(Clone)]
pub struct Children(Arc<Inner>);

struct Inner {
    context: Context,
    secrets: Cache<SecretFact>,
    inside: bool,
    open: Mutex<Open>,
    watches: Watches,
}

#[derive(Default)]
struct Open {
    by_cluster: HashMap<Key, Opened>,
    swept: bool,
}

struct Opened {
    kubeconfig: String,
    way: Way,
    child: Child,
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Children({} open, {} watched)", self.open().by_cluster.len(), self.0.watches.count())
    }
}

impl Children {
    /// Children of the cluster of this context. `inside`: this process runs in a pod of it, so that Services can
    /// be reached by name.
    pub fn new(context: &Context, inside: bool) -> Self {
        Self(Arc::new(Inner {
            context: context.clone(),
            secrets: secrets(context),
            inside,
            open: Mutex::default(),
            watches: Watches::default(),
        }))
    }

    /// The child of a Cluster, by its Secret `<cluster>-kubeconfig`. `hosted`: its control plane runs in pods of
    /// this management cluster, and is reached by its Service (H-22).
    ///
    /// No request goes to the child, and none to the management cluster while a client is open and the Secret
    /// has not changed. An error is one of the management cluster.
    pub async fn of(&self, cluster: &Key, hosted: bool) -> anyhow::Result<Reach<Child>> {
        let name = format!("{}-kubeconfig", cluster.name);
        let secret = Key::new(&*cluster.namespace, &*name);
        let watched = self.0.secrets.get(&secret).and_then(|entry| entry.fact.digests.get("value").cloned());
        if let Some(digest) = watched
            && let Some(child) = self.opened(cluster, &digest)
        {
            return Ok(Reach::Yes(child));
        }
        let api: Api<Secret> = Api::namespaced(self.0.context.client().clone(), &cluster.namespace);
        let found = api.get_opt(&name).await.with_context(|| format!("cannot read Secret {secret}"))?;
        let Some(found) = found else {
            return Ok(Reach::No(format!("Secret {secret} does not exist yet")));
        };
        let data = found.data.as_ref().and_then(|data| data.get("value"));
        let Some(ByteString(kubeconfig)) = data else {
            return Ok(Reach::No(format!("Secret {secret} has no key value")));
        };
        let way = if hosted && self.0.inside {
            way::of_hosted(self.0.context.client(), cluster).await?
        } else {
            Way::AsWritten
        };
        Ok(self.open_with(cluster, kubeconfig, way).await)
    }

    /// The child that this kubeconfig leads to, on that way.
    pub async fn open_with(&self, cluster: &Key, kubeconfig: &[u8], way: Way) -> Reach<Child> {
        let digest = digest(kubeconfig);
        if let Some(opened) = self.open().by_cluster.get(cluster)
            && (&opened.kubeconfig, &opened.way) == (&digest, &way)
        {
            return Reach::Yes(opened.child.clone());
        }
        match connect::client(kubeconfig, &way).await {
            Ok(client) => {
                let child = Child::new(cluster.clone(), client);
                self.keep(cluster, Opened { kubeconfig: digest, way, child: child.clone() });
                Reach::Yes(child)
            }
            Err(error) => Reach::No(format!("the kubeconfig of cluster {cluster} cannot be used: {error}")),
        }
    }

    /// The Nodes of a child as last seen; `who` is sent to `wake` whenever they change, until it leaves. The
    /// watch lives while anybody is interested; a child that cannot be reached is tried again with back-off,
    /// and whoever waits is woken when that changes.
    pub fn follow_nodes(&self, child: &Child, who: &Key, wake: &UnboundedSender<Key>) -> Reach<Nodes> {
        self.0.watches.follow(&self.0.context, child, who, wake)
    }

    /// `who` has what it waited for.
    pub fn leave_nodes(&self, cluster: &Key, who: &Key, wake: &UnboundedSender<Key>) {
        self.0.watches.leave(cluster, who, wake);
    }

    /// `who` is gone: it waits for no cluster.
    pub fn forget(&self, who: &Key, wake: &UnboundedSender<Key>) {
        self.0.watches.forget(who, wake);
    }

    fn opened(&self, cluster: &Key, digest: &str) -> Option<Child> {
        let open = self.open();
        open.by_cluster
            .get(cluster)
            .filter(|opened| opened.kubeconfig == digest)
            .map(|opened| opened.child.clone())
    }

    fn keep(&self, cluster: &Key, opened: Opened) {
        let mut open = self.open();
        open.by_cluster.insert(cluster.clone(), opened);
        if !std::mem::replace(&mut open.swept, true) {
            self.0.context.spawn(self.clone().sweep());
        }
    }

    /// Closes what is unused; ends when nothing is open.
    async fn sweep(self) {
        let stop = self.0.context.stop().clone();
        while stop.run_until_cancelled(clock::sleep(UNUSED / 4)).await.is_some() {
            let mut open = self.open();
            open.by_cluster.retain(|cluster, opened| {
                let kept = if opened.child.is_slow() { SLOW_KNOWN } else { UNUSED };
                opened.child.unused_for() < kept || self.0.watches.holds(cluster)
            });
            if open.by_cluster.is_empty() {
                open.swept = false;
                return;
            }
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
