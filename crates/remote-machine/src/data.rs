//! The bootstrap data of a machine: what to write and what to run (5.3).

use std::collections::BTreeMap;

use bootstrap_data::{File, NodeSetup, from_json, parse, shell};
use k8s_openapi::ByteString;
use sha2::{Digest as _, Sha256};

use crate::facts::{CleanUpFacts, Role};
use crate::failure::{Failure, Reason};

/// The key of our own form, beside `value`.
const SETUP: &str = "setup";

/// A payload for a host.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Written first.
    pub files: Vec<File>,
    /// Shell texts, run after that.
    pub steps: Vec<String>,
    /// What its undoing needs.
    pub facts: CleanUpFacts,
    /// Digest of the bytes it was read from.
    pub digest: String,
}

impl Payload {
    /// Reads the Secret's data. No byte of it is in an error.
    pub fn read(data: &BTreeMap<String, ByteString>, role: Option<Role>) -> Result<Self, Failure> {
        let refused = |why: String| Failure::new(Reason::UnsupportedBootstrapFormat, why);
        let format = data
            .get(cluster_api::names::SECRET_KEY_FORMAT)
            .map(|format| String::from_utf8_lossy(&format.0).trim().to_owned());
        if let Some(format) = format.as_deref().filter(|format| !matches!(*format, "" | "cloud-config")) {
            return Err(refused(format!(
                "the bootstrap data is of format {format}; a host reached over SSH takes cloud-config: set spec.provisioner.type of the bootstrap config"
            )));
        }
        let (bytes, read) = match (data.get(SETUP), data.get(cluster_api::names::SECRET_KEY_VALUE)) {
            (Some(setup), _) => (&setup.0, from_json(&setup.0)),
            (None, Some(value)) => {
                foreign(&value.0).map_err(refused)?;
                (&value.0, parse(&value.0))
            }
            (None, None) => {
                return Err(Failure::new(
                    Reason::BootstrapSecretMissing,
                    "the bootstrap Secret has no key \"value\"",
                ));
            }
        };
        let setup = read.and_then(with_custom).map_err(|why| refused(why.to_string()))?;
        if setup.files.is_empty() && setup.commands.is_empty() {
            return Err(refused("the bootstrap data has neither files nor commands".into()));
        }
        if let Some(file) =
            setup.files.iter().find(|file| !file.path.starts_with('/') || file.path.contains('\n'))
        {
            return Err(refused(format!("the path of file {:?} must be absolute and one line", file.path)));
        }
        Ok(Self {
            facts: CleanUpFacts::of(&setup, role),
            steps: setup.commands.iter().map(|command| shell(std::slice::from_ref(command))).collect(),
            files: setup.files,
            digest: hex::encode(Sha256::digest(bytes)),
        })
    }

    /// The id of a run of it for a machine: same machine and data, same run.
    pub fn run_id(&self, machine_uid: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(machine_uid.as_bytes());
        hasher.update(b"/");
        hasher.update(self.digest.as_bytes());
        hex::encode(&hasher.finalize()[..8])
    }

    /// Words of files for few eyes that must not be shown when a step prints them.
    pub fn secret_words(&self) -> Vec<&str> {
        /// Shorter words are too common to be secrets.
        const SHORTEST: usize = 12;
        let private = self.files.iter().filter(|file| is_private(file.permissions.bits().into()));
        let words = private.filter_map(|file| file.content.expose_str()).flat_map(str::split_whitespace);
        words
            .map(|word| word.trim_matches(|letter| matches!(letter, '"' | '\'' | ',')))
            .filter(|word| word.len() >= SHORTEST)
            .collect()
    }
}

/// Whether only its owner may read a file of this mode.
pub(crate) fn is_private(mode: u32) -> bool {
    mode.trailing_zeros() >= 6
}

/// The user's own text, for hosts whose cloud-init would merge it.
fn with_custom(mut setup: NodeSetup) -> Result<NodeSetup, bootstrap_data::ParseFault> {
    if let Some(custom) = setup.custom.take() {
        let more = parse(custom.text.expose())?;
        setup.files.extend(more.files);
        setup.commands.extend(more.commands);
    }
    Ok(setup)
}

/// Forms that are not cloud-config and carry no `format`.
fn foreign(value: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(value);
    let text = text.trim_start();
    let what = if text.starts_with('{') && text.contains("\"ignition\"") {
        "Ignition"
    } else if text.starts_with("<powershell>") || text.starts_with("#ps1") {
        "PowerShell"
    } else if text.starts_with("#!") {
        "a shell script"
    } else {
        return Ok(());
    };
    Err(format!("the bootstrap data is {what}; a host reached over SSH takes cloud-config"))
}

#[cfg(test)]
mod tests {
    use bootstrap_data::{Command, Permissions, to_json};

    use super::*;

    fn secret(entries: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
            .collect()
    }

    const CLOUD_CONFIG: &str = "## template: jinja\n#cloud-config\nwrite_files:\n- path: /etc/k0s.token\n  content: secret-token-value\n  permissions: '0600'\nruncmd:\n- /usr/local/bin/k0s install worker --token-file /etc/k0s.token\n- [echo, a b]\n";

    #[test]
    fn cloud_config_becomes_files_and_steps() {
        let payload =
            Payload::read(&secret(&[("value", CLOUD_CONFIG), ("format", "cloud-config")]), None).unwrap();
        assert_eq!(payload.files[0].path, "/etc/k0s.token");
        assert_eq!(payload.steps.len(), 2);
        assert_eq!(payload.steps[1], "echo 'a b'\n");
        assert_eq!(payload.facts.k0s.as_deref(), Some("/usr/local/bin/k0s"));
        assert_eq!(payload.secret_words(), ["secret-token-value"]);
    }

    #[test]
    fn our_own_form_wins() {
        let mut setup = NodeSetup { commands: vec![Command::run(["true"])], ..NodeSetup::default() };
        setup.files.push(File::new("/a", Permissions::PUBLIC, b"x".to_vec()));
        let mut data = secret(&[("value", CLOUD_CONFIG)]);
        data.insert("setup".into(), ByteString(to_json(&setup).expose().to_vec()));
        let payload = Payload::read(&data, Some(Role::Worker)).unwrap();
        assert_eq!(payload.steps, ["true\n"]);
        assert_eq!(payload.facts.role, Some(Role::Worker));
    }

    #[test]
    fn r16_forms_that_cannot_be_carried_out_are_refused_without_showing_them() {
        for data in [
            secret(&[("value", "x: 1"), ("format", "ignition")]),
            secret(&[("value", "{\"ignition\":{\"version\":\"3.4.0\"}}")]),
            secret(&[("value", "<powershell>\nsecret\n</powershell>")]),
            secret(&[("value", "#!/bin/sh\nsecret")]),
            secret(&[("value", "#cloud-config\nruncmd: [")]),
            secret(&[("value", "#cloud-config\n{}")]),
            secret(&[("value", "#cloud-config\nwrite_files: [{path: relative}]")]),
        ] {
            let failure = Payload::read(&data, None).unwrap_err();
            assert_eq!(failure.reason, Reason::UnsupportedBootstrapFormat, "{failure}");
            assert!(!failure.message.contains("secret"), "{failure}");
        }
        assert_eq!(Payload::read(&secret(&[]), None).unwrap_err().reason, Reason::BootstrapSecretMissing);
    }

    #[test]
    fn the_run_id_is_of_machine_and_data() {
        let payload = Payload::read(&secret(&[("value", CLOUD_CONFIG)]), None).unwrap();
        assert_eq!(payload.run_id("a"), payload.run_id("a"));
        assert_ne!(payload.run_id("a"), payload.run_id("b"));
        assert_eq!(payload.run_id("a").len(), 16);
    }
}
