//! Bootstrap tokens of a child: Secrets `kube-system/bootstrap-token-<id>`.

use std::fmt;

use jiff::Timestamp;
use k0s::BootstrapToken;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use reconcile::FIELD_MANAGER;
use serde_json::json;

use crate::child::Child;
use crate::reach::Reach;

/// The namespace of bootstrap tokens.
pub const KUBE_SYSTEM: &str = "kube-system";

/// The name of the Secret of a token.
pub fn token_secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// A bootstrap token as the child has it. `Debug` does not print the secret half.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: String,
    /// For people.
    pub description: String,
    /// When it ends; `None` is never. A text that is no time counts as ended at the epoch.
    pub expiration: Option<Timestamp>,
    /// The keys `usage-...` that are `true`.
    pub usages: Vec<String>,
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, secret, description, expiration, usages } = self;
        f.debug_struct("TokenSecret")
            .field("id", id)
            .field("secret", &format_args!("<{} bytes>", secret.len()))
            .field("description", description)
            .field("expiration", expiration)
            .field("usages", usages)
            .finish()
    }
}

/// A new secret half for an id, from the generator of the TLS library; each character is as likely as any other.
pub fn new_token(id: &str) -> anyhow::Result<BootstrapToken> {
    let mut failed = false;
    let token = BootstrapToken::generate_for(id, |buffer| failed |= aws_lc_rs::rand::fill(buffer).is_err())?;
    anyhow::ensure!(!failed, "this system gives no random bytes");
    Ok(token)
}

/// What became of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    New,
    /// There was one of that name already; it is as it was.
    Present,
}

impl TokenSecret {
    fn read(secret: &Secret) -> Self {
        let data = secret.data.as_ref();
        let text = |key: &str| {
            let bytes = data
                .and_then(|data| data.get(key))
                .map(|ByteString(bytes)| bytes.as_slice())
                .unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let expiration = text("expiration");
        Self {
            id: text("token-id"),
            secret: text("token-secret"),
            description: text("description"),
            expiration: (!expiration.is_empty()).then(|| expiration.parse().unwrap_or(Timestamp::UNIX_EPOCH)),
            usages: data
                .into_iter()
                .flatten()
                .filter(|(key, ByteString(value))| key.starts_with("usage-") && value == b"true")
                .map(|(key, _)| key.clone())
                .collect(),
        }
    }
}

/// RFC 3339 with whole seconds, in UTC: what k0s parses.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

impl Child {
    /// The token of that id, if the child has it.
    pub async fn token(&self, id: &str) -> Reach<Option<TokenSecret>> {
        let name = token_secret_name(id);
        let found = self.ask("read a join token", |client| async move {
            Api::<Secret>::namespaced(client, KUBE_SYSTEM).get_opt(&name).await
        });
        found.await.map(|secret| secret.as_ref().map(TokenSecret::read))
    }

    /// Creates the Secret of a token. A Secret of that name is left as it is.
    pub async fn create_token(&self, secret: &Secret) -> Reach<Made> {
        let done = self.ask("create a join token", |client| async move {
            let parameters =
                PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            match Api::<Secret>::namespaced(client, KUBE_SYSTEM).create(&parameters, secret).await {
                Ok(_) => Ok(Made::New),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(Made::Present),
                Err(error) => Err(error),
            }
        });
        done.await
    }

    /// Moves the end of a token. `false`: the child has no such token.
    pub async fn extend_token(&self, id: &str, until: Timestamp) -> Reach<bool> {
        let name = token_secret_name(id);
        let patch = json!({ "stringData": { "expiration": whole_seconds(until) } });
        let done = self.ask("extend a join token", |client| async move {
            let parameters =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            match Api::<Secret>::namespaced(client, KUBE_SYSTEM)
                .patch(&name, &parameters, &Patch::Merge(patch))
                .await
            {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
                Err(error) => Err(error),
            }
        });
        done.await
    }

    /// Removes a token. `false`: the child had no such token.
    pub async fn delete_token(&self, id: &str) -> Reach<bool> {
        let name = token_secret_name(id);
        let done = self.ask("delete a join token", |client| async move {
            match Api::<Secret>::namespaced(client, KUBE_SYSTEM).delete(&name, &DeleteParams::default()).await
            {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
                Err(error) => Err(error),
            }
        });
        done.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> TokenSecret {
        TokenSecret {
            id: "abcdef".to_owned(),
            secret: "0123456789abcdef".to_owned(),
            description: "of a test".to_owned(),
            expiration: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            usages: vec!["usage-bootstrap-authentication".to_owned()],
        }
    }

    #[test]
    fn a_token_is_read_from_its_secret() {
        let texts = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("description", "of a test"),
            ("expiration", "2026-01-02T03:04:05Z"),
            ("usage-bootstrap-authentication", "true"),
            ("usage-bootstrap-signing", "false"),
        ];
        let data = texts.map(|(key, text)| (key.to_owned(), ByteString(text.into())));
        assert_eq!(TokenSecret::read(&Secret { data: Some(data.into()), ..Secret::default() }), token());
    }

    #[test]
    fn an_expiration_that_is_no_time_counts_as_passed() {
        let data = [("expiration".to_owned(), ByteString(b"soon".to_vec()))];
        let read = TokenSecret::read(&Secret { data: Some(data.into()), ..Secret::default() });
        assert_eq!(read.expiration, Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn debug_does_not_print_the_secret_half() {
        assert!(!format!("{:?}", token()).contains("0123456789abcdef"));
    }
}
