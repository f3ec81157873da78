//! Whether a certificate that exists is still right.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::authority::{life, parse_certificate};
use crate::{Authority, San, key, pem_blocks};

/// When a certificate's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// When a third of its life is left (H-11: leaf certificates).
    ThirdLeft,
    /// When half of its life is gone (H-14: kubeconfigs).
    HalfGone,
}

impl Renewal {
    fn due(self, not_before: Timestamp, not_after: Timestamp) -> Timestamp {
        let life = not_after.duration_since(not_before).as_secs();
        let left = match self {
            Self::ThirdLeft => life / 3,
            Self::HalfGone => life / 2,
        };
        not_after.saturating_sub(SignedDuration::from_secs(left)).unwrap_or(not_after)
    }
}

/// The answer of [`fit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It stays as it is.
    Fits {
        /// When to ask again; `None`: it ends with its authority, and a new one would not live longer.
        renew_at: Option<Timestamp>,
        /// End of its life (H-13).
        not_after: Timestamp,
    },
    /// A new one is needed.
    Misfit(Misfit),
}

/// Why a new certificate is needed; its words are for events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Certificate or key cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The key belongs to another certificate.
    #[error("its private key belongs to another certificate")]
    OtherKey,
    /// It was signed by another authority.
    #[error("it was not signed by the present authority")]
    OtherAuthority,
    /// It lacks a name.
    #[error("it lacks the name {0}")]
    MissingName(San),
    /// It is for somebody else.
    #[error("it is for {found}, not for {wanted}")]
    OtherSubject {
        /// Whom it names.
        found: String,
        /// Whom it should name.
        wanted: String,
    },
    /// Its life begins in the future.
    #[error("it is valid only from {0} on")]
    NotYetValid(Timestamp),
    /// Its time has come.
    #[error("it was due for renewal at {0}")]
    Due(Timestamp),
    /// What surrounds it differs (a kubeconfig's server, for one).
    #[error("its {0} differs")]
    Differs(&'static str),
}

/// Whether certificate and key are sound, belong together, were signed by this authority, carry all these names
/// and have enough of their life left (H-11). Names beyond the wanted ones do no harm.
///
/// Subject and usages are not compared: what the Go implementation signed stays as long as it serves.
pub fn fit(
    certificate: &[u8],
    private_key: &[u8],
    sans: &[San],
    authority: &Authority,
    renewal: Renewal,
    now: Timestamp,
) -> Fit {
    match check(certificate, private_key, sans, authority, renewal, now) {
        Ok(fits) => fits,
        Err(misfit) => Fit::Misfit(misfit),
    }
}

fn check(
    certificate: &[u8],
    private_key: &[u8],
    sans: &[San],
    authority: &Authority,
    renewal: Renewal,
    now: Timestamp,
) -> Result<Fit, Misfit> {
    let unreadable = |why: crate::PkiError| Misfit::Unreadable(why.to_string());
    let what = "certificate";
    let der = pem_blocks::certificates(what, certificate).map_err(unreadable)?;
    let leaf = parse_certificate(what, der.first().map_or(&[][..], Vec::as_slice)).map_err(unreadable)?;
    let pair = key::parse(private_key).map_err(unreadable)?;
    if leaf.public_key().raw != key::public_der(&pair) {
        return Err(Misfit::OtherKey);
    }
    signed_by(&leaf, authority)?;
    if let Some(missing) = sans.iter().find(|san| !carries(&leaf, san)) {
        return Err(Misfit::MissingName(missing.clone()));
    }
    let (not_before, not_after) = life(what, &leaf).map_err(unreadable)?;
    if now < not_before {
        return Err(Misfit::NotYetValid(not_before));
    }
    // As old as the authority can make it: a new one would end at the same moment, so signing it again and
    // again during the authority's last months would change nothing.
    if not_after >= authority.not_after() && now < not_after {
        return Ok(Fit::Fits { renew_at: None, not_after });
    }
    let due = renewal.due(not_before, not_after);
    if due <= now {
        return Err(Misfit::Due(due));
    }
    Ok(Fit::Fits { renew_at: Some(due), not_after })
}

/// A name can be repeated by anybody, so the signature is asked too.
fn signed_by(leaf: &X509Certificate<'_>, authority: &Authority) -> Result<(), Misfit> {
    let authority = parse_certificate("authority certificate", authority.certificate_der())
        .map_err(|why| Misfit::Unreadable(why.to_string()))?;
    if leaf.issuer().as_raw() != authority.subject().as_raw() {
        return Err(Misfit::OtherAuthority);
    }
    leaf.verify_signature(Some(authority.public_key())).map_err(|_| Misfit::OtherAuthority)
}

fn carries(leaf: &X509Certificate<'_>, wanted: &San) -> bool {
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return false;
    };
    names.value.general_names.iter().any(|name| match (name, wanted) {
        (GeneralName::DNSName(found), San::Dns(wanted)) => found.eq_ignore_ascii_case(wanted),
        (GeneralName::IPAddress(found), San::Ip(IpAddr::V4(wanted))) => *found == wanted.octets(),
        (GeneralName::IPAddress(found), San::Ip(IpAddr::V6(wanted))) => *found == wanted.octets(),
        _ => false,
    })
}
