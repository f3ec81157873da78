//! The Secret in the child that makes a token valid (k0s.md 9.2, control-plane chapter 9.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{BootstrapToken, Role, names};

/// The object, in the form in which the API server stores it. `expiration` `None` means never.
///
/// A controller's Secret has `usage-bootstrap-authentication` "false": with "true" its bearer would also pass as a
/// worker. Both spellings of the controller's usage are written: k0s reads the one from 1.32 on, the other before.
pub fn bootstrap_secret(
    token: &BootstrapToken,
    role: Role,
    description: &str,
    expiration: Option<Timestamp>,
) -> Value {
    let expiration = expiration.map(rfc3339);
    let usages: &[(&str, &str)] = match role {
        Role::Worker => &[
            ("usage-bootstrap-api-auth", "true"),
            ("usage-bootstrap-api-worker-calls", "true"),
            ("usage-bootstrap-authentication", "true"),
        ],
        Role::Controller => &[
            ("usage-bootstrap-api-auth", "true"),
            ("usage-bootstrap-authentication", "false"),
            ("usage-bootstrap-controller-join", "true"),
            ("usage-bootstrap-signing", "false"),
            ("usage-controller-join", "true"),
        ],
    };
    let texts = [("token-id", token.id()), ("description", description)];
    let data: Map<String, Value> = texts
        .into_iter()
        .chain(expiration.as_deref().map(|at| ("expiration", at)))
        .chain(usages.iter().copied())
        .map(|(key, text)| (key, text.as_bytes()))
        .chain([("token-secret", token.secret().expose())])
        .map(|(key, bytes)| (key.to_owned(), STANDARD.encode(bytes).into()))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("bootstrap-token-{}", token.id()),
            "namespace": names::SYSTEM_NAMESPACE,
        },
        "type": "bootstrap.kubernetes.io/token",
        "data": data,
    })
}

/// RFC 3339 in UTC, to the second: k0s from 1.32 on refuses a Secret whose expiration it cannot read.
fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(secret: &Value) -> Vec<(String, String)> {
        let decode =
            |value: &Value| String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
        let mut texts: Vec<_> = secret["data"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.clone(), decode(value)))
            .collect();
        texts.sort();
        texts
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_workers_secret_authenticates_and_expires() {
        let token = BootstrapToken::new("abcdef", "0123456789abcdef").unwrap();
        let at: Timestamp = "2026-03-01T12:00:00.5Z".parse().unwrap();
        let secret = bootstrap_secret(&token, Role::Worker, "for w1", Some(at));
        assert_eq!(secret["metadata"]["name"], "bootstrap-token-abcdef");
        assert_eq!(secret["metadata"]["namespace"], "kube-system");
        assert_eq!(secret["type"], "bootstrap.kubernetes.io/token");
        assert_eq!(
            texts(&secret),
            owned(&[
                ("description", "for w1"),
                ("expiration", "2026-03-01T12:00:00Z"),
                ("token-id", "abcdef"),
                ("token-secret", "0123456789abcdef"),
                ("usage-bootstrap-api-auth", "true"),
                ("usage-bootstrap-api-worker-calls", "true"),
                ("usage-bootstrap-authentication", "true"),
            ])
        );
    }

    #[test]
    fn a_controllers_secret_never_passes_as_a_workers() {
        let token = BootstrapToken::new("abcdef", "0123456789abcdef").unwrap();
        let secret = bootstrap_secret(&token, Role::Controller, "for c1", None);
        let texts = texts(&secret);
        assert!(texts.contains(&("usage-bootstrap-authentication".into(), "false".into())));
        assert!(texts.contains(&("usage-controller-join".into(), "true".into())));
        assert!(texts.contains(&("usage-bootstrap-controller-join".into(), "true".into())));
        assert!(!texts.iter().any(|(key, _)| key == "expiration"), "absent means never");
    }
}
