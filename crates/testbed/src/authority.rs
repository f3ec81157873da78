//! The test bed's own certificates. Elliptic keys: made in no time.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Pair {
    /// Writes `<dir>/<name>.crt` and `<dir>/<name>.key`.
    pub fn write(&self, dir: &Path, name: &str) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        write_private(&dir.join(format!("{name}.crt")), &self.certificate)?;
        write_private(&dir.join(format!("{name}.key")), &self.key)
    }

    /// Reads what [`Pair::write`] wrote.
    pub fn read(dir: &Path, name: &str) -> Result<Self> {
        let read = |end: &str| {
            let path = dir.join(format!("{name}.{end}"));
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        Ok(Self { certificate: read("crt")?, key: read("key")? })
    }
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| path.display().to_string())?;
    Ok(file.write_all(text.as_bytes())?)
}

/// A key pair for signing service account tokens: public part and private part.
pub fn service_account() -> Result<Pair> {
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: key.public_key_pem(), key: key.serialize_pem() })
}

/// Signs the test bed's certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority of this name.
    pub fn new(name: &str) -> Result<Self> {
        Self::with_key(name, KeyPair::generate()?)
    }

    fn with_key(name: &str, key: KeyPair) -> Result<Self> {
        let mut params = params(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, key)? })
    }

    /// The authority that was written down; its certificate is made again (a different one, but by the same key and
    /// of the same name, so that it verifies what the first one signed).
    pub fn read(dir: &Path, name: &str) -> Result<Self> {
        Self::with_key(name, KeyPair::from_pem(&Pair::read(dir, "ca")?.key)?)
    }

    /// Its certificate.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key.
    pub fn pair(&self) -> Pair {
        Pair { certificate: self.issuer.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// A serving certificate for these names and addresses, good for clients too (etcd needs both).
    pub fn server(&self, name: &str, hosts: &[&str]) -> Result<Pair> {
        let mut params = params(name, &[])?;
        params.subject_alt_names = hosts.iter().map(|host| subject_alt_name(host)).collect::<Result<_>>()?;
        self.sign(params, vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A client certificate: Kubernetes reads the user from the common name and the groups from the organisations.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Pair> {
        self.sign(params(user, groups)?, vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    fn sign(&self, mut params: CertificateParams, usages: Vec<ExtendedKeyUsagePurpose>) -> Result<Pair> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn params(user: &str, groups: &[&str]) -> Result<CertificateParams> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    // rcgen keeps one value per kind of attribute; the same attribute under its number is another kind to it.
    let kinds = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    if groups.len() > kinds.len() {
        bail!(
            "user {user:?} has {} groups; a certificate made here names at most {}",
            groups.len(),
            kinds.len()
        );
    }
    for (group, kind) in groups.iter().zip(kinds) {
        name.push(kind, *group);
    }
    // rcgen's default validity, 1975 to 4096, suits equipment: no test fails because time passed.
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    Ok(params)
}

fn subject_alt_name(host: &str) -> Result<SanType> {
    Ok(match host.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(host.try_into().with_context(|| format!("DNS name {host:?}"))?),
    })
}
