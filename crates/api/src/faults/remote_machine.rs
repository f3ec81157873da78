//! Faults of RemoteMachines (remote-machine chapter, 1.1).

use crate::remote_machine::{HostKeyPolicy, RemoteMachineSpec};

use super::{Fault, Validate, not_yet, text};

impl Validate for RemoteMachineSpec {
    fn own_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(port) = self.port
            && !(0..=65535).contains(&port)
        {
            faults.push(Fault::new("spec.port", port, "must be between 1 and 65535; 0 means 22"));
        }
        for (path, word) in [("spec.address", &self.address), ("spec.user", &self.user)] {
            let word = word.as_deref().unwrap_or_default();
            if word.starts_with('-') || word.contains(char::is_whitespace) {
                faults.push(Fault::new(path, word, "must not contain white space nor begin with a dash"));
            }
        }
        if !text::is_absolute(self.effective_working_dir()) {
            let dir = self.effective_working_dir();
            faults.push(Fault::new("spec.workingDir", dir, "must be an absolute path without a line break"));
        }
        if self.host_key_policy == Some(HostKeyPolicy::Pinned)
            && self.host_keys.is_empty()
            && self.host_keys_ref.is_none()
        {
            faults.push(Fault::new("spec.hostKeyPolicy", "Pinned", "needs hostKeys or hostKeysRef"));
        }
        for (index, key) in self.host_keys.iter().enumerate() {
            let fingerprint = key.strip_prefix("SHA256:").is_some_and(|rest| rest.len() >= 43);
            let line = key.split_whitespace().count() >= 2;
            if !fingerprint && !line {
                faults.push(Fault::new(
                    format!("spec.hostKeys[{index}]"),
                    key,
                    "must be a fingerprint SHA256:... or a public key line such as ssh-ed25519 AAAA...",
                ));
            }
        }
        faults.extend(not_yet::remote_machine(self));
        faults
    }
}
