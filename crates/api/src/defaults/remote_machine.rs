//! Effective values of RemoteMachine (remote-machine chapter, 1.1).

use std::time::Duration;

use crate::remote_machine::{CleanUpPolicy, HostKeyPolicy, RemoteMachineSpec, Timeouts};

/// Where the script and the state of a run are kept.
pub const WORKING_DIR: &str = "/etc/k0smotron";

impl RemoteMachineSpec {
    /// The host, if one is named.
    pub fn wanted_address(&self) -> Option<&str> {
        self.address.as_deref().filter(|address| !address.is_empty())
    }

    /// The pool, if one is named.
    pub fn wanted_pool(&self) -> Option<&str> {
        self.pool.as_deref().filter(|pool| !pool.is_empty())
    }

    /// Port of the SSH server; a stored 0 means 22.
    pub fn effective_port(&self) -> u16 {
        self.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(22)
    }

    /// User to log in as.
    pub fn effective_user(&self) -> &str {
        self.user.as_deref().filter(|user| !user.is_empty()).unwrap_or("root")
    }

    /// Whether commands need privileges that the user has not got.
    pub fn needs_sudo(&self) -> bool {
        self.use_sudo.unwrap_or_default() && self.effective_user() != "root"
    }

    /// Whether all commands run as one script.
    pub fn runs_as_script(&self) -> bool {
        self.commands_as_script.unwrap_or_default()
    }

    /// Directory for the script and the state of a run.
    pub fn effective_working_dir(&self) -> &str {
        self.working_dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or(WORKING_DIR)
    }

    /// Name of the Secret with the SSH key; an empty name means not set.
    pub fn ssh_key_secret(&self) -> Option<&str> {
        self.ssh_key_ref.as_ref().map(|key| key.name.as_str()).filter(|name| !name.is_empty())
    }

    /// How the host key is checked: given keys imply `Pinned`.
    pub fn effective_host_key_policy(&self) -> HostKeyPolicy {
        if !self.host_keys.is_empty() || self.host_keys_ref.is_some() {
            HostKeyPolicy::Pinned
        } else {
            self.host_key_policy.unwrap_or_default()
        }
    }

    /// What happens when the host cannot be cleaned.
    pub fn effective_clean_up_policy(&self) -> CleanUpPolicy {
        self.clean_up_policy.unwrap_or_default()
    }

    /// Deadlines.
    pub fn deadlines(&self) -> Deadlines {
        self.timeouts.as_ref().map_or_else(|| Timeouts::default().effective(), Timeouts::effective)
    }
}

/// Deadlines of a RemoteMachine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a connection to be made.
    pub connect: Duration,
    /// For one command.
    pub command: Duration,
    /// For the whole bootstrap.
    pub total: Duration,
    /// For one attempt to clean the host.
    pub clean_up: Duration,
}

impl Timeouts {
    /// Deadlines, with defaults where none is set.
    pub fn effective(&self) -> Deadlines {
        let seconds = |wanted: Option<i32>, default: u64| {
            let wanted =
                wanted.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
            Duration::from_secs(wanted.unwrap_or(default))
        };
        Deadlines {
            connect: seconds(self.connect_seconds, 15),
            command: seconds(self.command_seconds, 1800),
            total: seconds(self.total_seconds, 3600),
            clean_up: seconds(self.clean_up_seconds, 900),
        }
    }
}
