//! The acts: a token in the child, and its text in a Secret.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use api::JoinTokenRequest;
use api::join_token_request::JoinRole;
use cluster_api::names::{LABEL_CLUSTER_NAME, SECRET_KEY_CERTIFICATE, authority_secret};
use jiff::Timestamp;
use k0s::{BootstrapToken, JoinToken, Role, bootstrap_secret};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DynamicObject;
use reconcile::{Pass, WATCH_FILTER_LABEL};
use serde_json::json;
use workload::{Child, Made, Reach, new_token};

use super::JoinTokens;
use super::observe::{Observed, RequestFacts};

/// On the Secret: the id of the token in it.
pub const ID_ANNOTATION: &str = "k0smotron.io/join-token-id";
/// On the Secret: the digest of the server and the authority that the token names.
pub const INPUTS_ANNOTATION: &str = "k0smotron.io/join-token-inputs";
/// The longest value of a label; a longer name is left out.
const LABEL_LENGTH: usize = 63;

impl JoinTokens {
    /// First the child, then the Secret: the Secret exists only when the token works (H-45).
    pub(super) async fn issue(
        &self,
        pass: &Pass<JoinTokenRequest>,
        observed: &Observed,
    ) -> anyhow::Result<bool> {
        let id = observed.token_id().context("no token id is recorded")?;
        let server = observed.server().context("the endpoint is not known any more")?;
        let authority = self.authority(observed).await?;
        let child = self.children.of(&observed.cluster_key(), true).await?.required()?;
        let role = match observed.request.role {
            JoinRole::Worker => Role::Worker,
            JoinRole::Controller => Role::Controller,
        };
        let expires = observed.expires();
        let token = ensure_token(&child, observed, id, role, expires).await?;
        let text = JoinToken { role, server, authority, token }.encode()?;
        pass.apply(&secret(observed, id, text.expose())?).await
    }

    /// A token that has ended is removed by the child itself, so for one of those an answer is not needed.
    pub(super) async fn revoke(&self, observed: &Observed) -> anyhow::Result<bool> {
        let Some(id) = observed.token_id() else { return Ok(false) };
        let ended = observed.expires().is_some_and(|end| end <= observed.now);
        let child = self.children.of(&observed.cluster_key(), true).await?;
        let removed = match child {
            Reach::Yes(child) => child.delete_token(id).await,
            Reach::No(why) => Reach::No(why),
        };
        match removed {
            Reach::Yes(there) => Ok(there),
            Reach::No(_) if ended => Ok(false),
            Reach::No(why) => bail!(why),
        }
    }

    async fn authority(&self, observed: &Observed) -> anyhow::Result<Vec<u8>> {
        let name = authority_secret(&observed.request.cluster, "ca");
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &observed.request.cluster_namespace);
        let found = api.get_opt(&name).await.with_context(|| format!("cannot read Secret {name}"))?;
        let certificate = found.and_then(|secret| secret.data?.remove(SECRET_KEY_CERTIFICATE));
        let ByteString(certificate) =
            certificate.with_context(|| format!("Secret {name} has no certificate any more"))?;
        Ok(certificate)
    }
}

/// The token of that id in the child: the one that is there, or a new one.
async fn ensure_token(
    child: &Child,
    observed: &Observed,
    id: &str,
    role: Role,
    expires: Option<Timestamp>,
) -> anyhow::Result<BootstrapToken> {
    if let Some(found) = child.token(id).await.required()? {
        return Ok(BootstrapToken::new(id, &found.secret)?);
    }
    let token = new_token(id)?;
    let made = bootstrap_secret(&token, role, &description(&observed.request, role), expires);
    let made: Secret = serde_json::from_value(made)?;
    match child.create_token(&made).await.required()? {
        Made::New => Ok(token),
        Made::Present => bail!("token {id} appeared in the cluster in the meantime"),
    }
}

fn description(request: &RequestFacts, role: Role) -> String {
    let role = match role {
        Role::Worker => "Worker",
        Role::Controller => "Controller",
    };
    format!("{role} bootstrap token of JoinTokenRequest {}/{}", request.namespace, request.name)
}

/// Whether a token with that description is this request's.
pub(super) fn is_of(found: &str, request: &RequestFacts) -> bool {
    [Role::Worker, Role::Controller].into_iter().any(|role| found == description(request, role))
}

fn secret(observed: &Observed, id: &str, text: &[u8]) -> anyhow::Result<DynamicObject> {
    let request = &observed.request;
    let role = match request.role {
        JoinRole::Worker => "worker",
        JoinRole::Controller => "controller",
    };
    let mut labels: BTreeMap<&str, &str> =
        request.labels.iter().map(|(key, value)| (&**key, &**value)).collect();
    labels.extend([
        (LABEL_CLUSTER_NAME, &*request.cluster),
        ("k0smotron.io/cluster", &*request.cluster),
        ("k0smotron.io/role", role),
        ("app.kubernetes.io/component", "jointoken"),
    ]);
    if request.name.len() <= LABEL_LENGTH {
        labels.insert("k0smotron.io/token-request", &request.name);
    }
    if let Some(filter) = request.labels.get(WATCH_FILTER_LABEL) {
        labels.insert(WATCH_FILTER_LABEL, filter);
    }
    let mut annotations = BTreeMap::from([(ID_ANNOTATION, id.to_owned())]);
    annotations.extend(observed.inputs().map(|inputs| (INPUTS_ANNOTATION, inputs)));
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": request.name,
            "namespace": request.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "k0smotron.io/v1beta2",
                "kind": "JoinTokenRequest",
                "name": request.name,
                "uid": request.uid,
                "controller": true,
            }],
        },
        "type": "Opaque",
        "data": { "token": ByteString(text.to_vec()) },
    });
    Ok(serde_json::from_value(object)?)
}
