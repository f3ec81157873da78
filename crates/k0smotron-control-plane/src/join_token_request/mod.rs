//! JoinTokenRequest: a token with which a host joins a hosted control plane by hand (hosted.md 16).
//!
//! The id goes into the status, then the token into the child, then the text into Secret `<name>`: after a crash
//! anywhere between, the token of that id is found in the child and used again, so one request is one token
//! (H-45). Nobody runs a command in a pod.

mod decide;
mod issue;
mod look;
mod observe;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{HostedCluster, JoinTokenRequest, JoinTokenRequestStatus};
use reconcile::{Cache, Change, Context, Controller, Key, Pass, Plan, Wakes};
use workload::{Children, SecretFact};

pub use decide::{Step, Wait, decide};
pub use observe::{ChildToken, ClusterFacts, Observed, RequestFacts, TokenSecretFacts};
pub use plan::{Own, plan};

/// The finalizer, as in the Go implementation.
pub const FINALIZER: &str = "jointokenrequests.k0smotron.io/finalizer";
/// Annotation: the namespace of the cluster, if it is another than the request's (H-47).
pub const NAMESPACE_ANNOTATION: &str = "k0smotron.io/cluster-ref-namespace";

/// What the controller needs to know of its process.
#[derive(Clone, Debug)]
pub struct Options {
    /// The children of this process.
    pub children: Children,
    /// Passes at once.
    pub concurrency: usize,
    /// `--cross-namespace-grants`: a cluster serves requests of other namespaces only if it names them (H-47).
    pub cross_namespace_grants: bool,
}

/// The controller.
pub struct JoinTokens {
    client: kube::Client,
    children: Children,
    clusters: Cache<HostedCluster>,
    secrets: Cache<SecretFact>,
    grants: bool,
}

impl Controller for JoinTokens {
    type Kind = JoinTokenRequest;
    type Observed = Observed;
    type Status = JoinTokenRequestStatus;
    type Own = Own;

    const NAME: &'static str = "jointokenrequest";
    const FINALIZER: Option<&'static str> = Some(FINALIZER);
    const FAILURE_CONDITION: Option<&'static str> = Some(plan::CREATED);

    async fn observe(&self, pass: &Pass<JoinTokenRequest>) -> anyhow::Result<Observed> {
        self.look(pass).await
    }

    fn plan(&self, observed: &Observed) -> Plan<JoinTokenRequestStatus, Own> {
        plan(observed, decide(observed))
    }

    async fn act(
        &self,
        pass: &Pass<JoinTokenRequest>,
        observed: &Observed,
        own: &Own,
    ) -> anyhow::Result<bool> {
        match own {
            Own::Issue => self.issue(pass, observed).await,
            Own::Revoke => self.revoke(observed).await,
        }
    }

    /// A Cluster of Cluster API has the name of its hosted control plane (H-44).
    fn cluster_of(&self, request: &JoinTokenRequest) -> Option<String> {
        Some(request.spec.cluster_name.clone())
    }
}

/// Runs the controller until the context stops.
pub async fn run(context: Context, options: Options) {
    let Options { children, concurrency, cross_namespace_grants } = options;
    let requests: Cache<JoinTokenRequest> = context.primary();
    let controller = JoinTokens {
        client: context.client().clone(),
        children,
        clusters: context.typed(""),
        secrets: workload::secrets(&context),
        grants: cross_namespace_grants,
    };
    let wakes = Wakes::new()
        .owned(&controller.secrets)
        .by(&controller.clusters, with_cluster(requests.clone()))
        .by(&controller.secrets, with_secret(requests.clone()));
    reconcile::run(context, Arc::new(controller), requests, wakes, concurrency).await;
}

/// A hosted control plane changed in what matters here: the requests for it.
fn with_cluster(requests: Cache<JoinTokenRequest>) -> impl Fn(&Change<HostedCluster>) -> Vec<Key> {
    move |change| {
        if !change.differs(observe::seen) {
            return Vec::new();
        }
        of_cluster(&requests, &change.key)
    }
}

/// The authority or the kubeconfig of a hosted control plane changed: the requests for it.
fn with_secret(requests: Cache<JoinTokenRequest>) -> impl Fn(&Change<SecretFact>) -> Vec<Key> {
    move |change| {
        let name = &change.key.name;
        let cluster = name.strip_suffix("-kubeconfig").or_else(|| name.strip_suffix("-ca"));
        cluster
            .map(|cluster| of_cluster(&requests, &Key::new(&*change.key.namespace, cluster)))
            .unwrap_or_default()
    }
}

fn of_cluster(requests: &Cache<JoinTokenRequest>, cluster: &Key) -> Vec<Key> {
    let all = requests.all().into_iter();
    all.filter(|entry| observe::cluster_key(&entry.fact) == *cluster).map(|entry| entry.key()).collect()
}
