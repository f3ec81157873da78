//! One child cluster: requests that end in time, and facts.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use reconcile::{FIELD_MANAGER, Key, clock};
use serde_json::{Value, json};

use crate::connect::PATIENCE;
use crate::nodes::NodeFact;
use crate::reach::Reach;
use crate::tokens::KUBE_SYSTEM;

/// How long a pass waits for a child of which nobody knows whether it answers. Passes are few at a time, so that a
/// wait for one child is a delay of others.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

/// How long a child that did not answer is left alone: doubled after each further failure, up to the second
/// number.
const LEFT_ALONE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// Pages of Nodes that are read at most, 500 each: more than Kubernetes itself supports.
const MOST_PAGES: usize = 20;

/// A child cluster. Clones share one client, which belongs to this child alone (H-62).
#[derive(Clone)]
pub struct Child(Arc<Inner>);

struct Inner {
    cluster: Key,
    client: Client,
    state: Mutex<State>,
}

struct State {
    used: Instant,
    standing: Standing,
}

/// What is known of a child's answers.
enum Standing {
    /// Nothing.
    New,
    /// It answered last time.
    Answers,
    /// It did not.
    Fails(Failing),
}

struct Failing {
    times: u32,
    why: String,
    left_alone_until: Instant,
    /// It took the patience of a pass to know that. Such a child is asked in the background: a dead network must not
    /// hold up the passes of other clusters, again and again (H-62).
    slow: bool,
    /// Somebody is about to find out whether it answers again.
    knocked: bool,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({})", self.0.cluster)
    }
}

/// What became of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The API server has it.
    Done,
    /// The API server refused it for what it says.
    Refused,
}

impl Child {
    pub(crate) fn new(cluster: Key, client: Client) -> Self {
        let state = State { used: clock::instant(), standing: Standing::New };
        Self(Arc::new(Inner { cluster, client, state: Mutex::new(state) }))
    }

    /// The Cluster it belongs to.
    pub fn cluster(&self) -> &Key {
        &self.0.cluster
    }

    /// Whether that is the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The client itself, for a watch. Requests go through [`Child::ask`].
    pub(crate) fn client(&self) -> Client {
        self.0.client.clone()
    }

    /// How long ago anybody asked it.
    pub(crate) fn unused_for(&self) -> Duration {
        self.state().used.elapsed()
    }

    /// Whether it keeps whoever asks it waiting.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(&self.state().standing, Standing::Fails(failing) if failing.slow)
    }

    /// One request, or a few that belong together: `what` completes the sentence "cannot ... of cluster c".
    /// Ends within ten seconds, and within two unless the child answered before. A child that failed a moment ago is
    /// not asked again at once.
    pub async fn ask<T, A>(&self, what: &str, request: impl FnOnce(Client) -> A) -> Reach<T>
    where
        A: Future<Output = kube::Result<T>>,
    {
        match self.patience() {
            Ok(patience) => self.ask_for(patience, what, request(self.client())).await,
            Err(why) => Reach::No(why),
        }
    }

    async fn ask_for<T>(
        &self,
        patience: Duration,
        what: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Reach<T> {
        let cluster = &self.0.cluster;
        let began = clock::instant();
        let answer = tokio::select! {
            answer = request => Some(answer),
            () = clock::sleep(patience) => None,
        };
        match answer {
            Some(Ok(answer)) => {
                self.state().standing = Standing::Answers;
                Reach::Yes(answer)
            }
            Some(Err(kube::Error::Api(status))) => {
                self.state().standing = Standing::Answers;
                Reach::No(format!("cannot {what} of cluster {cluster}: {} ({})", status.message, status.code))
            }
            Some(Err(error)) => {
                let why = format!("cannot {what} of cluster {cluster}: {}", reconcile::error_chain(&error));
                self.failed(why, began.elapsed() >= FIRST_PATIENCE)
            }
            None => {
                let seconds = patience.as_secs();
                self.failed(format!("cannot {what} of cluster {cluster}: no answer within {seconds} s"), true)
            }
        }
    }

    /// How long an answer is waited for, or why it is not asked just now; counts as a use.
    fn patience(&self) -> Result<Duration, String> {
        let mut state = self.state();
        state.used = clock::instant();
        match &mut state.standing {
            Standing::Answers => Ok(PATIENCE),
            Standing::Fails(failing) if failing.left_alone_until > clock::instant() => {
                Err(failing.why.clone())
            }
            Standing::Fails(failing) if failing.slow => {
                if !std::mem::replace(&mut failing.knocked, true) {
                    tokio::spawn(self.clone().knock());
                }
                Err(failing.why.clone())
            }
            Standing::New | Standing::Fails(_) => Ok(FIRST_PATIENCE),
        }
    }

    /// Finds out whether it answers.
    async fn knock(self) {
        let namespaces = Api::<Namespace>::all(self.client());
        self.ask_for(PATIENCE, "read namespace kube-system", namespaces.get_metadata(KUBE_SYSTEM)).await;
    }

    fn failed<T>(&self, why: String, slow: bool) -> Reach<T> {
        let mut state = self.state();
        let times = match &state.standing {
            Standing::Fails(failing) => failing.times,
            Standing::New | Standing::Answers => 0,
        };
        let pause = LEFT_ALONE.0.saturating_mul(1 << times.min(5)).min(LEFT_ALONE.1);
        state.standing = Standing::Fails(Failing {
            times: times.saturating_add(1),
            why: why.clone(),
            left_alone_until: clock::instant() + pause,
            slow,
            knocked: false,
        });
        Reach::No(why)
    }

    /// The uid of namespace `kube-system`: the identity of a cluster.
    pub async fn uid(&self) -> Reach<String> {
        let found = self.ask("read namespace kube-system", |client| async move {
            Api::<Namespace>::all(client).get_metadata(KUBE_SYSTEM).await
        });
        found.await.map(|namespace| namespace.metadata.uid.unwrap_or_default())
    }

    /// Its Nodes, read now. Whoever waits for a Node follows them instead ([`crate::Children::follow_nodes`]).
    pub async fn nodes(&self) -> Reach<Vec<NodeFact>> {
        let found = self.ask("list the nodes", |client| async move {
            let api = Api::<Node>::all(client);
            let mut page = ListParams::default().limit(500);
            let mut nodes = Vec::new();
            for _ in 0..MOST_PAGES {
                let list = api.list(&page).await?;
                nodes.extend(list.items.iter().map(NodeFact::from));
                match list.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page = page.continue_token(&token),
                    None => break,
                }
            }
            Ok(nodes)
        });
        found.await
    }

    /// Sets `spec.providerID` and labels of a Node, guarded by its uid; `None` leaves the provider ID.
    pub async fn link_node(
        &self,
        node: &NodeFact,
        provider_id: Option<&str>,
        labels: &[(&str, &str)],
    ) -> Reach<()> {
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        let mut patch = json!({ "metadata": { "uid": node.uid, "labels": labels } });
        if let Some(id) = provider_id {
            patch["spec"] = json!({ "providerID": id });
        }
        let done = self.ask("label a node", |client| async move {
            let parameters =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            Api::<Node>::all(client).patch(&node.name, &parameters, &Patch::Merge(patch)).await
        });
        done.await.map(|_| ())
    }

    /// Server-side apply of `ClusterConfig` `kube-system/k0s`: `spec` is the whole part that we own, so what an
    /// earlier apply set and this one lacks goes (H-16).
    pub async fn apply_cluster_config(&self, spec: Value) -> Reach<Applied> {
        let kind = GroupVersionKind::gvk("k0s.k0sproject.io", "v1beta1", "ClusterConfig");
        let resource = ApiResource::from_gvk_with_plural(&kind, "clusterconfigs");
        let object = DynamicObject::new("k0s", &resource).within(KUBE_SYSTEM).data(json!({ "spec": spec }));
        let done = self.ask("apply the k0s configuration", |client| async move {
            let api: Api<DynamicObject> = Api::namespaced_with(client, KUBE_SYSTEM, &resource);
            match api.patch("k0s", &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await {
                Ok(_) => Ok(Applied::Done),
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => Ok(Applied::Refused),
                Err(error) => Err(error),
            }
        });
        done.await
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
