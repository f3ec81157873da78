//! What can be wrong with certificates and keys, with the remedy.

/// Why something could not be read, signed or made. Messages never contain key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// The text holds no PEM block of the wanted kind.
    #[error("{what}: no PEM block {wanted:?} found; put the PEM text of the {what} there")]
    Missing {
        /// Which text, in the user's words.
        what: &'static str,
        /// The PEM label that was looked for.
        wanted: &'static str,
    },
    /// The text or one of its blocks cannot be read.
    #[error("{what} cannot be read: {why}")]
    Unreadable {
        /// Which text, in the user's words.
        what: &'static str,
        /// What the parser says.
        why: String,
    },
    /// A private key with a pass phrase.
    #[error("private key is encrypted; store it without a pass phrase")]
    Encrypted,
    /// A certificate that may not sign others.
    #[error(
        "certificate of {subject:?} is no authority (basic constraints do not say CA); give a CA certificate"
    )]
    NotAnAuthority {
        /// Its subject.
        subject: String,
    },
    /// The private key belongs to another certificate.
    #[error("private key does not belong to the {what}; give the key that was made with it")]
    KeyMismatch {
        /// What it should belong to.
        what: &'static str,
    },
    /// An authority without its private key was asked to sign.
    #[error(
        "authority {subject:?} has no private key here, so it cannot sign {wanted:?}; add tls.key or supply that certificate too"
    )]
    SigningKeyMissing {
        /// Subject of the authority.
        subject: String,
        /// Common name of what should have been signed.
        wanted: String,
    },
    /// The authority's own life is over.
    #[error("authority {subject:?} expired at {not_after}; a new authority is needed")]
    AuthorityExpired {
        /// Subject of the authority.
        subject: String,
        /// End of its life.
        not_after: jiff::Timestamp,
    },
    /// A name that cannot stand in a certificate.
    #[error("{name:?} cannot stand in a certificate as {place}")]
    BadName {
        /// The offending text.
        name: String,
        /// Where it was meant to stand.
        place: &'static str,
    },
    /// The crypto library refused; not expected on sound input.
    #[error("cannot {act}: {why}")]
    Crypto {
        /// What was attempted.
        act: &'static str,
        /// What the library says.
        why: String,
    },
    /// A kubeconfig that lacks something.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
}

impl PkiError {
    pub(crate) fn crypto(act: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Crypto { act, why: why.to_string() }
    }

    pub(crate) fn unreadable(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Unreadable { what, why: why.to_string() }
    }
}
