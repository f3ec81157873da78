//! Which keys a host may show (5.1).

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use russh::keys::{HashAlg, PublicKey};

/// What is done with the key that a host shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Its fingerprint (`SHA256:...`) must be one of these.
    Only(BTreeSet<String>),
    /// Any: the user said so.
    Any,
}

impl Trust {
    pub(super) fn accepts(&self, fingerprint: &str) -> bool {
        match self {
            Self::Only(known) => known.contains(fingerprint),
            Self::Any => true,
        }
    }
}

/// Given keys that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeysFault(String);

impl fmt::Display for HostKeysFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fingerprints that `hostKeys` and the known-hosts lines of `hostKeysRef` allow for this host.
pub fn pins(
    keys: &[String],
    known_hosts: Option<&str>,
    address: &str,
    port: u16,
) -> Result<BTreeSet<String>, HostKeysFault> {
    let mut allowed = BTreeSet::new();
    for (index, key) in keys.iter().enumerate() {
        let key = key.trim();
        if key.starts_with("SHA256:") {
            allowed.insert(key.trim_end_matches('=').to_owned());
        } else {
            let parsed = PublicKey::from_openssh(key).map_err(|_| {
                HostKeysFault(format!(
                    "spec.hostKeys[{index}] is neither a fingerprint (SHA256:...) nor a public key line (ssh-ed25519 AAAA...)"
                ))
            })?;
            allowed.insert(fingerprint(&parsed));
        }
    }
    for (index, line) in known_hosts.unwrap_or_default().lines().enumerate() {
        let mut words = line.split_whitespace();
        let (Some(hosts), Some(algorithm), Some(key)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        // Comments; and markers: authorities of host certificates are not used, revoked keys are not allowed anyway.
        if hosts.starts_with('#') || hosts.starts_with('@') || !names(hosts, address, port) {
            continue;
        }
        let parsed = PublicKey::from_openssh(&format!("{algorithm} {key}")).map_err(|_| {
            HostKeysFault(format!(
                "line {} of the known-hosts Secret has a key that cannot be read",
                index + 1
            ))
        })?;
        allowed.insert(fingerprint(&parsed));
    }
    if allowed.is_empty() {
        let place = if known_hosts.is_some() { "spec.hostKeysRef names" } else { "spec.hostKeys has" };
        return Err(HostKeysFault(format!(
            "{place} no key for {}; add what \"ssh-keyscan -p {port} {address}\" prints there, checked by another way",
            spelled(address, port)
        )));
    }
    Ok(allowed)
}

pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// As known-hosts files spell a host.
fn spelled(address: &str, port: u16) -> String {
    if port == 22 { address.to_owned() } else { format!("[{address}]:{port}") }
}

/// Whether the first word of a known-hosts line means this host.
fn names(hosts: &str, address: &str, port: u16) -> bool {
    let wanted = spelled(address, port);
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        let Some((salt, hash)) = hashed.split_once('|') else { return false };
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
        // SHA-1 is the format's, and hides names only.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        return hmac::sign(&key, wanted.as_bytes()).as_ref() == hash;
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if glob(not, &wanted) => return false,
            Some(_) => {}
            None => found |= glob(pattern, &wanted),
        }
    }
    found
}

/// `*` is any text, `?` any letter.
fn glob(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            glob(&pattern[1..], text)
                || text.chars().next().is_some_and(|c| glob(pattern, &text[c.len_utf8()..]))
        }
        (Some('?'), Some(c)) => glob(&pattern[1..], &text[c.len_utf8()..]),
        (Some(a), Some(b)) if a.eq_ignore_ascii_case(&b) => {
            glob(&pattern[a.len_utf8()..], &text[b.len_utf8()..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn a_key_line_and_its_fingerprint_pin_the_same_key() {
        let by_line = pins(&[KEY.into()], None, "h", 22).unwrap();
        let fingerprint = by_line.first().unwrap().clone();
        assert!(fingerprint.starts_with("SHA256:"));
        assert_eq!(pins(&[fingerprint], None, "h", 22).unwrap(), by_line);
    }

    #[test]
    fn known_hosts_lines_count_for_their_host_and_port_only() {
        let lines = format!("# a comment\nother {KEY}\n[10.0.0.1]:2222,10.0.0.2 {KEY}\n");
        assert!(pins(&[], Some(&lines), "10.0.0.1", 2222).is_ok());
        assert!(pins(&[], Some(&lines), "10.0.0.2", 22).is_ok());
        let fault = pins(&[], Some(&lines), "10.0.0.1", 22).unwrap_err().to_string();
        assert!(fault.contains("10.0.0.1"), "{fault}");
        assert!(pins(&[], Some(&format!("*.lab,!b.lab {KEY}")), "a.lab", 22).is_ok());
        assert!(pins(&[], Some(&format!("*.lab,!b.lab {KEY}")), "b.lab", 22).is_err());
    }

    #[test]
    fn a_hashed_host_name_is_recognised() {
        // ssh-keygen -H of a line for "localhost"
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"01234567890123456789");
        let hash = STANDARD.encode(hmac::sign(&key, b"localhost").as_ref());
        let line = format!("|1|{}|{hash} {KEY}", STANDARD.encode(b"01234567890123456789"));
        assert!(pins(&[], Some(&line), "localhost", 22).is_ok());
        assert!(pins(&[], Some(&line), "elsewhere", 22).is_err());
    }

    #[test]
    fn an_unreadable_key_is_named_by_its_place() {
        let fault = pins(&[KEY.into(), "nonsense".into()], None, "h", 22).unwrap_err().to_string();
        assert!(fault.contains("spec.hostKeys[1]"), "{fault}");
    }
}
