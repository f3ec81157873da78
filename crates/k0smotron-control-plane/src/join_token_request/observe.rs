//! Everything that one join token depends on.

use std::collections::BTreeMap;

use api::join_token_request::JoinRole;
use api::{HostedCluster, JoinTokenRequest, JoinTokenRequestStatus};
use jiff::Timestamp;
use reconcile::{Entry, Key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use workload::Reach;

use super::{FINALIZER, NAMESPACE_ANNOTATION};

/// `status.expiresAt` of a token without end.
pub const NEVER: &str = "never";

/// The facts of a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// When.
    pub now: Timestamp,
    /// An id for the token, if it has none yet.
    pub fresh_id: String,
    /// The request.
    pub request: RequestFacts,
    /// Its status as written before.
    #[serde(default)]
    pub status: JoinTokenRequestStatus,
    /// The hosted control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterFacts>,
    /// The digest of the certificate in Secret `<cluster>-ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The Secret of the request's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<TokenSecretFacts>,
    /// The token of the recorded id in the child; asked for only when it is about to be issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<Reach<ChildToken>>,
}

/// What of a request matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestFacts {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Its labels, copied to the Secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// It has our finalizer.
    pub held: bool,
    /// When its deletion was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleting_since: Option<Timestamp>,
    /// It goes because it was moved: the token stays.
    pub moved: bool,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's namespace.
    pub cluster_namespace: String,
    /// How long the token lives, as written.
    pub expiry: String,
    /// What joins.
    pub role: JoinRole,
}

/// What of a hosted control plane matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterFacts {
    /// Its uid.
    pub uid: String,
    /// It is being deleted.
    pub deleting: bool,
    /// It has the annotation that pauses it.
    pub paused: bool,
    /// It serves requests of this namespace.
    pub granted: bool,
    /// The host of its API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port of its API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What of the Secret with the token matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenSecretFacts {
    /// Its uid.
    pub uid: String,
    /// The request is its controller.
    pub ours: bool,
    /// It has a token.
    pub complete: bool,
    /// The id of that token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The digest of server and authority that the token names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
}

/// A token id in the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildToken {
    /// Nobody uses it.
    Free,
    /// It is this request's.
    Ours,
    /// Somebody else uses it.
    Foreign,
}

/// What of a hosted control plane is worth a pass over its requests.
pub(super) fn seen(entry: &Entry<HostedCluster>) -> impl PartialEq + use<> {
    let grants = entry.fact.spec.join_token_requests.clone();
    (entry.uid().to_owned(), facts(entry, ""), grants)
}

pub(super) fn facts(entry: &Entry<HostedCluster>, namespace: &str) -> ClusterFacts {
    let endpoint = entry.fact.status.as_ref().and_then(|status| status.endpoint.as_ref());
    ClusterFacts {
        uid: entry.uid().to_owned(),
        deleting: entry.deleting(),
        paused: entry.annotation(reconcile::PAUSED_ANNOTATION).is_some(),
        granted: entry.fact.spec.grants_tokens_to(namespace),
        host: endpoint.map(|endpoint| endpoint.host.clone()).filter(|host| !host.is_empty()),
        port: endpoint.and_then(|endpoint| u16::try_from(endpoint.port).ok()).filter(|port| *port > 0),
    }
}

/// The hosted control plane that a request is about.
pub(super) fn cluster_key(request: &JoinTokenRequest) -> Key {
    let meta = &request.metadata;
    let named = meta
        .annotations
        .as_ref()
        .and_then(|all| all.get(NAMESPACE_ANNOTATION))
        .filter(|text| !text.is_empty());
    let namespace = named.or(meta.namespace.as_ref()).cloned().unwrap_or_default();
    Key::new(namespace, &*request.spec.cluster_name)
}

impl RequestFacts {
    pub(super) fn new(request: &JoinTokenRequest) -> Self {
        let meta = &request.metadata;
        let annotated = |key: &str| meta.annotations.as_ref().is_some_and(|all| all.contains_key(key));
        let cluster = cluster_key(request);
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation,
            labels: meta.labels.clone().unwrap_or_default(),
            held: meta.finalizers.iter().flatten().any(|one| one == FINALIZER),
            deleting_since: meta.deletion_timestamp.as_ref().map(|time| time.0),
            moved: annotated(cluster_api::names::ANNOTATION_DELETE_FOR_MOVE),
            cluster: cluster.name,
            cluster_namespace: cluster.namespace,
            expiry: request
                .spec
                .expiry
                .clone()
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| "0s".to_owned()),
            role: request.spec.effective_role(),
        }
    }
}

impl Observed {
    /// The key of the hosted control plane.
    pub fn cluster_key(&self) -> Key {
        Key::new(&*self.request.cluster_namespace, &*self.request.cluster)
    }

    /// The id of the token: recorded, or (after a move) the one in the Secret.
    pub fn token_id(&self) -> Option<&str> {
        let recorded = self.status.token_id.as_deref().filter(|id| !id.is_empty());
        recorded.or_else(|| self.secret.as_ref().filter(|secret| secret.ours)?.id.as_deref())
    }

    /// When the recorded token ends; `None` is never. A time that cannot be read counts as passed: better a token
    /// too few than one that nobody ends.
    pub fn expires(&self) -> Option<Timestamp> {
        let text = self.status.expires_at.as_deref().filter(|text| !text.is_empty() && *text != NEVER)?;
        Some(text.parse().unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Where the bearer joins: the API, or for controllers the join API.
    pub fn server(&self) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let (host, port) = (cluster.host.as_ref()?, cluster.port?);
        let port = if self.request.role == JoinRole::Controller { k0s::names::JOIN_PORT } else { port };
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
        Some(format!("https://{host}:{port}"))
    }

    /// The digest of what the token's text says besides id and secret.
    pub fn inputs(&self) -> Option<String> {
        let (server, authority) = (self.server()?, self.authority.as_ref()?);
        Some(hex::encode(&Sha256::digest(format!("{server}\n{authority}"))[..16]))
    }
}
