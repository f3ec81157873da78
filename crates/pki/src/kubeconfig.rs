//! Kubeconfigs: the flat form that we make and read, and their YAML.

mod file;

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;

use crate::authority::parse_certificate;
use crate::{Authority, Fit, Leaf, Misfit, PkiError, Renewal, SecretBytes, fit, pem_blocks};

/// A kubeconfig with one cluster, one user, one current context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    /// Name of the cluster entry.
    pub cluster: String,
    /// Name of the user entry.
    pub user: String,
    /// Name of the context.
    pub context: String,
    /// `https://host:port`.
    pub server: String,
    /// PEM of the authority; empty: the system's.
    pub authority: Vec<u8>,
    /// Proxy for all requests.
    pub proxy_url: Option<String>,
    /// How the user is known.
    pub credentials: Credentials,
}

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A client certificate.
    Certificate {
        /// PEM.
        certificate: Vec<u8>,
        /// PEM.
        key: SecretBytes,
    },
    /// A bearer token.
    Token(SecretBytes),
    /// Something we do not make: a plug-in, a file path, nothing.
    Other,
}

/// A kubeconfig with a client certificate that is wanted (H-14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKubeconfig {
    /// Name of the cluster entry, `<n>-k0s` for hosted control planes.
    pub cluster: String,
    /// Name of the user entry, `<n>-admin`.
    pub user: String,
    /// `https://host:port`, IPv6 in brackets.
    pub server: String,
    /// Proxy for all requests.
    pub proxy_url: Option<String>,
    /// The client certificate, see [`crate::cluster_admin`].
    pub leaf: Leaf,
}

impl ClientKubeconfig {
    /// Makes key and certificate and writes the YAML: the value of Secret key `value`.
    pub fn issue(&self, authority: &Authority, now: Timestamp) -> Result<SecretBytes, PkiError> {
        let pair = authority.issue(&self.leaf, now)?;
        let kubeconfig = Kubeconfig {
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            context: format!("{}@{}", self.user, self.cluster),
            server: self.server.clone(),
            authority: authority.certificate_pem().into(),
            proxy_url: self.proxy_url.clone(),
            credentials: Credentials::Certificate { certificate: pair.certificate.into(), key: pair.key },
        };
        kubeconfig.to_yaml()
    }

    /// Whether what is stored may stay byte for byte: server, proxy, authority and user are right, and less than
    /// half of the certificate's life is gone (H-14). Names of entries do not count: nothing depends on them.
    pub fn fit(&self, stored: &[u8], authority: &Authority, now: Timestamp) -> Fit {
        match self.check(stored, authority, now) {
            Ok(fits) => fits,
            Err(misfit) => Fit::Misfit(misfit),
        }
    }

    fn check(&self, stored: &[u8], authority: &Authority, now: Timestamp) -> Result<Fit, Misfit> {
        let unreadable = |why: PkiError| Misfit::Unreadable(why.to_string());
        let found = Kubeconfig::parse(stored).map_err(unreadable)?;
        if found.server != self.server {
            return Err(Misfit::Differs("server"));
        }
        if found.proxy_url != self.proxy_url {
            return Err(Misfit::Differs("proxy"));
        }
        let trusted = pem_blocks::certificates("certificate-authority-data", &found.authority);
        if !trusted.map_err(unreadable)?.iter().any(|der| der == authority.certificate_der()) {
            return Err(Misfit::OtherAuthority);
        }
        let Credentials::Certificate { certificate, key } = &found.credentials else {
            return Err(Misfit::Differs("kind of credentials"));
        };
        let der = pem_blocks::certificates("client certificate", certificate).map_err(unreadable)?;
        let client = parse_certificate("client certificate", der.first().map_or(&[][..], Vec::as_slice));
        let found = owner(&client.map_err(unreadable)?);
        let wanted = describe(&self.leaf.common_name, &self.leaf.organizations);
        if found != wanted {
            return Err(Misfit::OtherSubject { found, wanted });
        }
        match fit(certificate, key.expose(), &self.leaf.sans, authority, Renewal::HalfGone, now) {
            Fit::Misfit(misfit) => Err(misfit),
            fits @ Fit::Fits { .. } => Ok(fits),
        }
    }
}

/// User and groups of a certificate, in one text. The order of groups means nothing.
fn owner(certificate: &X509Certificate<'_>) -> String {
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        attribute.as_str().map(str::to_owned).unwrap_or_default()
    };
    let user = certificate.subject().iter_common_name().map(text).next().unwrap_or_default();
    let groups: Vec<_> = certificate.subject().iter_organization().map(text).collect();
    describe(&user, &groups)
}

fn describe(user: &str, groups: &[String]) -> String {
    let mut groups = groups.to_vec();
    groups.sort();
    format!("user {user:?}, groups {groups:?}")
}
