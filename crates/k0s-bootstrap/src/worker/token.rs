//! The life of a join token (control-plane-and-bootstrap 9.3).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How long a token is valid without being extended: long enough for the slowest cloud to boot a host, short
/// enough that a token left in some log is soon worthless.
pub const LIFE: SignedDuration = SignedDuration::from_hours(1);

/// A token is extended when this much of its life is left: half, so that half an hour of an unreachable child
/// costs nothing.
pub const EXTEND_BELOW: SignedDuration = SignedDuration::from_mins(30);

/// On the Secret with the data: the id of the token in it. Ids are public.
pub const ID_ANNOTATION: &str = "k0smotron.io/join-token-id";

/// On the Secret with the data: when the token ends, RFC 3339, or [`REMOVED`].
pub const EXPIRES_ANNOTATION: &str = "k0smotron.io/join-token-expires";

/// The machine has joined, and the token is gone.
pub const REMOVED: &str = "removed";

/// What is recorded of a token, on the Secret that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRecord {
    /// Its id.
    pub id: String,
    /// When it ends; `None`: it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl TokenRecord {
    /// From annotations. A time that cannot be read counts as passed: the token is then extended.
    pub fn read(annotations: Option<&BTreeMap<String, String>>) -> Option<Self> {
        let annotations = annotations?;
        let id = annotations.get(ID_ANNOTATION)?.clone();
        let expires = annotations.get(EXPIRES_ANNOTATION).map(String::as_str).unwrap_or_default();
        let expires = (expires != REMOVED).then(|| expires.parse().unwrap_or(Timestamp::UNIX_EPOCH));
        Some(Self { id, expires })
    }

    /// As annotations.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let expires = self.expires.map_or_else(|| REMOVED.to_owned(), |at| at.to_string());
        BTreeMap::from([
            (ID_ANNOTATION.to_owned(), self.id.clone()),
            (EXPIRES_ANNOTATION.to_owned(), expires),
        ])
    }
}

/// The end of a token that is issued or extended now, in whole seconds.
pub fn end(now: Timestamp) -> Timestamp {
    let end = now.saturating_add(LIFE).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The id of the token of a config: derived, so that after a crash the token is found in the child and used
/// again. `attempt` counts past ids that somebody else uses. Ids need not be secret.
pub fn derived_id(uid: &str, attempt: u32) -> String {
    let digest = Sha256::digest(format!("k0smotron join token\n{uid}\n{attempt}"));
    let letter = |pair: &[u8]| {
        char::from(ALPHABET[usize::from(u16::from_be_bytes([pair[0], pair[1]])) % ALPHABET.len()])
    };
    digest.chunks_exact(2).take(6).map(letter).collect()
}

/// For people, and for us: whose token this is.
pub fn description(namespace: &str, name: &str, uid: &str) -> String {
    format!("Worker bootstrap token of K0sWorkerConfig {namespace}/{name} ({uid})")
}

/// Whether a token with that description is the config's.
pub fn is_of(description: &str, uid: &str) -> bool {
    description.ends_with(&format!("({uid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c34_the_id_follows_from_the_uid_so_that_ten_failing_renders_leave_one_token() {
        assert_eq!(derived_id("u1", 0), derived_id("u1", 0));
        assert_ne!(derived_id("u1", 0), derived_id("u1", 1));
        assert_ne!(derived_id("u1", 0), derived_id("u2", 0));
        assert!(k0s::BootstrapToken::new(&derived_id("u1", 0), "0123456789abcdef").is_ok());
    }

    #[test]
    fn a_record_survives_its_annotations() {
        for expires in [Some("2026-01-02T03:04:05Z".parse().unwrap()), None] {
            let record = TokenRecord { id: "abcdef".to_owned(), expires };
            assert_eq!(TokenRecord::read(Some(&record.annotations())), Some(record));
        }
        assert_eq!(
            TokenRecord::read(Some(&BTreeMap::new())),
            None,
            "a Secret of the Go implementation has none"
        );
    }
}
