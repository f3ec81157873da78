//! Leaf certificates: what is wanted, and signing it.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SanType,
};
use x509_parser::extensions::ParsedExtension;

use crate::authority::parse_certificate;
use crate::{Authority, KeyKind, PemPair, PkiError, key, names, pem_blocks};

/// Clocks of hosts differ by minutes; a certificate valid only from its signing moment on would be refused by
/// those behind (hosted.md 4.1, 4.3).
pub(crate) const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// The usual life of a leaf in days (hosted.md 4.3).
pub(crate) const LEAF_DAYS: u32 = 365;

/// A name by which a server is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// A host name, `*.` in front allowed.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl San {
    /// An address if the text is one (IPv6 also in brackets), else a host name.
    pub fn new(host: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        bare.parse().map_or_else(|_| Self::Dns(host.to_owned()), Self::Ip)
    }
}

impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// What the holder of a certificate may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Call servers.
    Client,
    /// Be called.
    Server,
    /// Both, as members of etcd must.
    ClientAndServer,
}

/// A leaf certificate that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// CN; for clients of Kubernetes the user.
    pub common_name: String,
    /// O; for clients of Kubernetes the groups.
    pub organizations: Vec<String>,
    /// Every name and address it must carry.
    pub sans: Vec<San>,
    /// Client, server or both.
    pub usage: Usage,
    /// Its life.
    pub days: u32,
    /// The kind of its key; unset: as [`Authority::leaf_key_kind`] says.
    pub key: Option<KeyKind>,
}

impl Authority {
    /// Makes a key and signs a certificate for it.
    ///
    /// The certificate never outlives the authority: nobody would accept it then.
    pub fn issue(&self, leaf: &Leaf, now: Timestamp) -> Result<PemPair, PkiError> {
        let Some(authority_key) = self.key() else {
            return Err(PkiError::SigningKeyMissing {
                subject: self.subject().to_owned(),
                wanted: leaf.common_name.clone(),
            });
        };
        if self.not_after() <= now {
            return Err(PkiError::AuthorityExpired {
                subject: self.subject().to_owned(),
                not_after: self.not_after(),
            });
        }
        let refused = |why| PkiError::crypto("sign a certificate", why);
        let issuer = Issuer::new(self.issuer_params()?, authority_key);
        let params = params(leaf, now, self.not_after())?;
        let (pair, pem) = key::generate(leaf.key.unwrap_or(self.leaf_key_kind()))?;
        let draft = params.signed_by(&pair, &issuer).map_err(refused)?;
        let subject = names::subject(&leaf.organizations, &leaf.common_name);
        let der = names::with_names(draft.der(), &self.subject_der()?, &subject, authority_key)?;
        Ok(PemPair { certificate: pem_blocks::encode_certificate(&der), key: pem })
    }

    /// What a leaf says of its issuer, apart from the name: the key identifier that the authority gives itself.
    fn issuer_params(&self) -> Result<CertificateParams, PkiError> {
        let authority = parse_certificate("authority certificate", self.certificate_der())?;
        let mut params = CertificateParams::default();
        let own = authority.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        if let Some(id) = own {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id);
        }
        Ok(params)
    }

    fn subject_der(&self) -> Result<Vec<u8>, PkiError> {
        let authority = parse_certificate("authority certificate", self.certificate_der())?;
        Ok(authority.subject().as_raw().to_vec())
    }
}

fn params(leaf: &Leaf, now: Timestamp, latest: Timestamp) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = leaf.sans.iter().map(san).collect::<Result<_, _>>()?;
    params.not_before = moment(now.saturating_sub(BACKDATED).unwrap_or(Timestamp::MIN));
    let life = SignedDuration::from_hours(i64::from(leaf.days) * 24);
    params.not_after = moment(now.saturating_add(life).unwrap_or(Timestamp::MAX).min(latest));
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = match leaf.usage {
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::ClientAndServer => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
    };
    Ok(params)
}

fn san(san: &San) -> Result<SanType, PkiError> {
    match san {
        San::Ip(address) => Ok(SanType::IpAddress(*address)),
        San::Dns(name) => name
            .as_str()
            .try_into()
            .map(SanType::DnsName)
            .map_err(|_| PkiError::BadName { name: name.clone(), place: "a host name" }),
    }
}

/// The moment in the library's type, to the second.
pub(crate) fn moment(at: Timestamp) -> time::OffsetDateTime {
    // Both types hold the years 1 to 9999 at least; a moment outside is cut to the epoch, long expired.
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
