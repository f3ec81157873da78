//! Why something about a host did not work: one word for conditions, one sentence with cause and remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The reasons of section 8 that are about a host, as conditions show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// A field that is needed is not set.
    MissingFields,
    /// A field is set that has no effect yet.
    UnsupportedField,
    /// The Secret with the SSH key, or its key, is not there.
    SSHKeyMissing,
    /// What is there is no private key that we can use.
    SSHKeyInvalid,
    /// The keys that the host may show cannot be read.
    HostKeysInvalid,
    /// The Secret with the bootstrap data is not there.
    BootstrapSecretMissing,
    /// The bootstrap data cannot be carried out over SSH.
    UnsupportedBootstrapFormat,
    /// No connection, or it was lost.
    ConnectFailed,
    /// The host refused the user or the key.
    AuthFailed,
    /// The host shows another key than the one that is known.
    HostKeyMismatch,
    /// Neither root, sudo nor doas.
    PrivilegeDenied,
    /// Somebody else works on the host.
    HostBusy,
    /// The host is part of a cluster already, or another machine's run is on it.
    HostNotClean,
    /// A file could not be written.
    UploadFailed,
    /// A command ended with another code than 0.
    CommandFailed,
    /// A deadline passed.
    Timeout,
    /// Everything ran, yet the sentinel file is missing.
    SentinelMissing,
    /// The host could not be cleaned.
    CleanUpFailed,
    /// Something that should not happen.
    InternalError,
}

impl Reason {
    /// The word in conditions and events.
    pub fn word(self) -> String {
        format!("{self:?}")
    }
}

/// A reason with its sentence. The sentence never holds bootstrap data or unredacted output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One word.
    pub reason: Reason,
    /// Cause and remedy.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Failure {}
