//! The reads of a pass.

use anyhow::Context as _;
use api::JoinTokenRequest;
use k0s::JoinToken;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reconcile::{Entry, Key, Pass};
use sha2::{Digest, Sha256};
use workload::{Reach, SecretFact};

use super::JoinTokens;
use super::decide::before_child;
use super::issue::{ID_ANNOTATION, INPUTS_ANNOTATION, is_of};
use super::observe::{ChildToken, Observed, RequestFacts, TokenSecretFacts, cluster_key, facts};

impl JoinTokens {
    pub(super) async fn look(&self, pass: &Pass<JoinTokenRequest>) -> anyhow::Result<Observed> {
        let request = RequestFacts::new(&pass.object);
        let key = cluster_key(&pass.object);
        let cluster = pass.get(&self.clusters, &key).await?;
        let mut cluster = cluster.map(|entry| facts(&entry, &request.namespace));
        if let Some(cluster) = &mut cluster {
            cluster.granted |= !self.grants || request.namespace == request.cluster_namespace;
        }
        let authority = cluster_api::names::authority_secret(&key.name, "ca");
        let authority = pass.get(&self.secrets, &Key::new(&*key.namespace, &*authority)).await?;
        let secret = match pass.get_here(&self.secrets, &request.name).await? {
            Some(entry) => Some(self.secret(&entry, &request).await?),
            None => None,
        };
        let mut observed = Observed {
            now: pass.now,
            fresh_id: fresh_id(&request.uid, pass.seed),
            request,
            status: pass.object.status.clone().unwrap_or_default(),
            cluster,
            authority: authority.and_then(|entry| entry.fact.digests.get("tls.crt").cloned()),
            secret,
            child: None,
        };
        if before_child(&observed).is_none() {
            observed.child = Some(self.token_in_child(&observed).await?);
        }
        Ok(observed)
    }

    /// The id stands in an annotation of ours; a Secret of the Go implementation has it in the token alone.
    async fn secret(
        &self,
        entry: &Entry<SecretFact>,
        request: &RequestFacts,
    ) -> anyhow::Result<TokenSecretFacts> {
        let controller =
            entry.meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let owned = entry.meta.owner_references.iter().flatten().any(|owner| owner.uid == request.uid);
        let ours = owned || controller.is_some_and(|owner| owner.uid == request.uid);
        let complete = entry.fact.digests.contains_key("token");
        let mut id = entry.annotation(ID_ANNOTATION).map(str::to_owned);
        if id.is_none() && ours && complete {
            id = self.id_in(&entry.key()).await?;
        }
        let inputs = entry.annotation(INPUTS_ANNOTATION).map(str::to_owned);
        Ok(TokenSecretFacts { uid: entry.uid().to_owned(), ours, complete, id, inputs })
    }

    async fn id_in(&self, key: &Key) -> anyhow::Result<Option<String>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await.with_context(|| format!("cannot read Secret {key}"))?;
        let token = found.and_then(|secret| secret.data?.remove("token"));
        let token = token.and_then(|ByteString(text)| JoinToken::decode(&text).ok());
        Ok(token.map(|join| join.token.id().to_owned()))
    }

    async fn token_in_child(&self, observed: &Observed) -> anyhow::Result<Reach<ChildToken>> {
        let id = observed.token_id().unwrap_or(&observed.fresh_id);
        let child = match self.children.of(&observed.cluster_key(), true).await? {
            Reach::Yes(child) => child,
            Reach::No(why) => return Ok(Reach::No(why)),
        };
        // A token of the Go implementation has another description; that our Secret names its id is proof enough.
        let named =
            observed.secret.as_ref().is_some_and(|secret| secret.ours && secret.id.as_deref() == Some(id));
        Ok(child.token(id).await.map(|found| match found {
            None => ChildToken::Free,
            Some(token) if named || is_of(&token.description, &observed.request) => ChildToken::Ours,
            Some(_) => ChildToken::Foreign,
        }))
    }
}

/// Ids are public, so they need not be hard to guess; `[a-z0-9]`, six of them.
fn fresh_id(uid: &str, seed: u64) -> String {
    let digest = Sha256::digest(format!("{uid}\n{seed}"));
    let letter = |pair: &[u8]| {
        let number = u16::from_be_bytes([pair[0], pair[1]]) % 36;
        char::from_digit(u32::from(number), 36).unwrap_or('0')
    };
    digest.chunks_exact(2).take(6).map(letter).collect()
}
