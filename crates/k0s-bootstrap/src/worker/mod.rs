//! K0sWorkerConfig: the data with which a host becomes a worker (control-plane-and-bootstrap 7 to 10).

mod content;
mod decide;
mod issue;
mod observe;
mod parts;
mod plan;
mod setup;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::{K0sWorkerConfig, K0sWorkerConfigStatus};
use cluster_api::{Bootstrap, Cluster, Machine, MachinePool};
use kube::Client;
use reconcile::{Cache, Change, Context, Controller, Key, Pass, Plan, Wakes, clock};
use workload::{Children, Reach, SecretFact};

pub use content::Missing;
pub use decide::{Step, Wait, decide};
pub use observe::{ClusterFacts, ConfigFacts, DataFacts, Observed, OwnerFacts};
pub use parts::{Fault, FilePart, Parts};
pub use plan::{Own, plan};
pub use setup::setup;
pub use token::TokenRecord;

/// The key of the Secret under which our own readers find the setup as JSON.
pub const SETUP_KEY: &str = "setup";

/// What the controller needs to know of its process.
#[derive(Clone, Debug)]
pub struct Options {
    /// The children of this process.
    pub children: Children,
    /// Passes at once.
    pub concurrency: usize,
    /// `--bootstrap-script`: the commands are put in one script that is safe to run again.
    pub bootstrap_script: bool,
}

/// Whether the control plane of a Cluster runs in pods of this management cluster.
pub fn is_hosted(cluster: &Cluster) -> bool {
    let control_plane = cluster.spec.control_plane_ref.as_ref();
    control_plane.is_some_and(|named| named.is_a("controlplane.cluster.x-k8s.io", "K0smotronControlPlane"))
}

/// The controller.
pub struct Workers {
    context: Context,
    client: Client,
    children: Children,
    machines: Cache<Machine>,
    pools: Cache<MachinePool>,
    clusters: Cache<Cluster>,
    secrets: Cache<SecretFact>,
    script: bool,
    tokens: Mutex<HashMap<Key, Issued>>,
}

/// A token that a deleted config leaves behind.
struct Issued {
    cluster: Key,
    hosted: bool,
    id: String,
}

impl Workers {
    /// Configs have no finalizer (contract 1.4), so what must go with one is remembered while it is there.
    fn remember_token(&self, key: &Key, observed: &Observed) {
        let live = observed
            .data
            .as_ref()
            .and_then(|data| data.token.as_ref())
            .filter(|token| token.expires.is_some());
        match (live, &observed.cluster) {
            (Some(token), Some(_)) => {
                let issued = Issued {
                    cluster: observed.cluster_key(),
                    hosted: observed.hosted(),
                    id: token.id.clone(),
                };
                self.tokens().insert(key.clone(), issued);
            }
            (None, _) => {
                self.tokens().remove(key);
            }
            // The Cluster went first, and its tokens with it; or it is not seen just now.
            (Some(_), None) => {}
        }
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Issued>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Attempts to remove the token of a deleted config, and the pause between them. What fails is left to the
/// token's own end, an hour at most.
const LAST_ATTEMPTS: (u32, Duration) = (3, Duration::from_secs(20));

async fn revoke(children: Children, config: Key, issued: Issued) {
    let Issued { cluster, hosted, id } = issued;
    let mut why = String::new();
    for _ in 0..LAST_ATTEMPTS.0 {
        let child = children.of(&cluster, hosted).await;
        let done = match child {
            Ok(Reach::Yes(child)) => child.delete_token(&id).await,
            Ok(Reach::No(why)) => Reach::No(why),
            Err(error) => Reach::No(format!("{error:#}")),
        };
        match done {
            Reach::Yes(_) => {
                tracing::info!(%config, %cluster, id, "the join token of a deleted config is removed");
                return;
            }
            Reach::No(words) => why = words,
        }
        clock::sleep(LAST_ATTEMPTS.1).await;
    }
    tracing::warn!(%config, %cluster, id, why, "the join token of a deleted config is left to expire");
}

impl Controller for Workers {
    type Kind = K0sWorkerConfig;
    type Observed = Observed;
    type Status = K0sWorkerConfigStatus;
    type Own = Own;

    const NAME: &'static str = "k0sworkerconfig";
    const FINALIZER: Option<&'static str> = None;
    const FAILURE_CONDITION: Option<&'static str> = Some(plan::DATA_AVAILABLE);

    async fn observe(&self, pass: &Pass<K0sWorkerConfig>) -> anyhow::Result<Observed> {
        self.look(pass).await
    }

    fn plan(&self, observed: &Observed) -> Plan<K0sWorkerConfigStatus, Own> {
        plan(observed, decide(observed))
    }

    async fn act(
        &self,
        pass: &Pass<K0sWorkerConfig>,
        observed: &Observed,
        own: &Own,
    ) -> anyhow::Result<bool> {
        let (what, done) = match own {
            Own::MakeData => return self.make_data(pass, observed).await,
            Own::ExtendToken => ("extended", self.extend_token(pass, observed).await),
            Own::RemoveToken => ("removed", self.remove_token(pass, observed).await),
        };
        // The data are there whatever becomes of their token: its condition tells, and the plan looks again soon.
        Ok(done.unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "the join token cannot be {what} now");
            false
        }))
    }

    fn forget(&self, key: &Key) {
        let Some(issued) = self.tokens().remove(key) else { return };
        let stop = self.context.stop().clone();
        let revoking = revoke(self.children.clone(), key.clone(), issued);
        self.context.spawn(async move {
            stop.run_until_cancelled(revoking).await;
        });
    }
}

/// Runs the controller until the context stops.
pub async fn run(context: Context, options: Options) {
    let Options { children, concurrency, bootstrap_script } = options;
    let configs: Cache<K0sWorkerConfig> = context.primary();
    let controller = Workers {
        context: context.clone(),
        client: context.client().clone(),
        children,
        machines: context.typed(""),
        pools: context.typed(""),
        clusters: context.typed(""),
        secrets: workload::secrets(&context),
        script: bootstrap_script,
        tokens: Mutex::default(),
    };
    let wakes = Wakes::new()
        .owned(&controller.secrets)
        .by(&controller.secrets, with_secret(configs.clone()))
        .by(&controller.clusters, with_cluster(configs.clone()))
        .by(&controller.machines, |change| of_bootstrap(change, |machine| &machine.spec.bootstrap))
        .by(&controller.pools, |change| of_bootstrap(change, |pool| &pool.spec.template.spec.bootstrap));
    reconcile::run(context, Arc::new(controller), configs, wakes, concurrency).await;
}

/// A Machine or pool changed: its config.
fn of_bootstrap<F>(change: &Change<F>, bootstrap: impl Fn(&F) -> &Bootstrap) -> Vec<Key> {
    let config = change.entry().and_then(|entry| bootstrap(&entry.fact).config_ref.as_ref());
    let config = config.filter(|config| config.is_a("bootstrap.cluster.x-k8s.io", "K0sWorkerConfig"));
    config.map(|config| Key::new(&*change.key.namespace, &*config.name)).into_iter().collect()
}

/// A Cluster changed in what matters here: its configs.
fn with_cluster(configs: Cache<K0sWorkerConfig>) -> impl Fn(&Change<Cluster>) -> Vec<Key> {
    move |change| {
        if !change.differs(|cluster| ClusterFacts::from(&cluster.fact)) {
            return Vec::new();
        }
        of_cluster(&configs, &change.key.namespace, &change.key.name)
    }
}

/// The authority or the kubeconfig of a cluster changed, or the Secret with the data: configs without data wait
/// for the former, and the latter has the config's name.
fn with_secret(configs: Cache<K0sWorkerConfig>) -> impl Fn(&Change<SecretFact>) -> Vec<Key> {
    move |change| {
        let Key { namespace, name } = &change.key;
        let cluster = name.strip_suffix("-kubeconfig").or_else(|| name.strip_suffix("-ca"));
        let mut keys = cluster.map(|cluster| of_cluster(&configs, namespace, cluster)).unwrap_or_default();
        keys.retain(|key| {
            let config = configs.get(key);
            config.is_some_and(|entry| {
                entry.fact.status.as_ref().is_none_or(|status| status.data_secret_name.is_none())
            })
        });
        keys.extend(configs.get(&change.key).map(|entry| entry.key()));
        keys
    }
}

fn of_cluster(configs: &Cache<K0sWorkerConfig>, namespace: &str, cluster: &str) -> Vec<Key> {
    let labelled = configs.list(namespace, &[(cluster_api::names::LABEL_CLUSTER_NAME, cluster)]);
    labelled.iter().map(|entry| entry.key()).collect()
}
