//! TLS of our servers: versions and suites by the names of Go, a certificate of our own, and a listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::Listener;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Who connects and does not finish the handshake is dropped after this long.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes done and not yet taken by the server.
const WAITING: usize = 16;

/// The lowest version of TLS that is spoken. What is below 1.2 is taken as 1.2: nothing older is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// `VersionTLS10`, `VersionTLS11`, `VersionTLS12`
    Tls12,
    /// `VersionTLS13`
    Tls13,
}

impl MinVersion {
    /// Reads `--tls-min-version`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "VersionTLS10" | "VersionTLS11" | "VersionTLS12" => Ok(Self::Tls12),
            "VersionTLS13" => Ok(Self::Tls13),
            _ => Err(format!("{text:?} is none of VersionTLS12, VersionTLS13")),
        }
    }
}

/// Suites that Go knows under their IANA names; `false`: too weak to be built in, so nothing is offered for it.
const SUITES: [(&str, bool); 24] = [
    ("TLS_AES_128_GCM_SHA256", true),
    ("TLS_AES_256_GCM_SHA384", true),
    ("TLS_CHACHA20_POLY1305_SHA256", true),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", true),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", true),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", true),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", true),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", true),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", false),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", false),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", false),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", false),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", false),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", false),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", false),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", false),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", false),
];

/// The suites of `--tls-cipher-suites`, in the notation of Go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suites(Vec<String>);

impl Suites {
    /// Reads the flag: names separated by commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names: Vec<String> =
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
        for name in &names {
            if !SUITES.iter().any(|(known, _)| known == name) {
                return Err(format!("unknown cipher suite {name:?}"));
            }
        }
        if !names.is_empty() && !names.iter().any(|name| SUITES.contains(&(name, true))) {
            return Err(format!(
                "none of {text} is strong enough to be built in: name one with GCM or CHACHA20"
            ));
        }
        Ok(Self(names))
    }

    /// As in Go: those of TLS 1.3 are always offered, and naming none means all.
    fn offer(&self, suite: &rustls::SupportedCipherSuite) -> bool {
        let name = suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_");
        self.0.is_empty() || suite.tls13().is_some() || self.0.contains(&name)
    }
}

/// What TLS must be.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The lowest version.
    pub min_version: MinVersion,
    /// The suites.
    pub suites: Suites,
}

impl Terms {
    /// A server with a certificate that was made now: who reads it checks us by nothing, we check them by their token.
    pub(super) fn config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .context("cannot make a certificate")?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let mut provider: CryptoProvider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| self.suites.offer(suite));
        let versions: &[&SupportedProtocolVersion] = match self.min_version {
            MinVersion::Tls12 => &[&version::TLS12, &version::TLS13],
            MinVersion::Tls13 => &[&version::TLS13],
        };
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .context("no cipher suite is left for these versions of TLS")?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Ok(Arc::new(config.context("cannot use our own certificate")?))
    }
}

/// Connections after their handshake; a slow one holds up nobody.
pub(super) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: std::io::Result<SocketAddr>,
}

impl TlsListener {
    pub(super) fn new(mut listener: TcpListener, config: Arc<ServerConfig>) -> Self {
        let address = listener.local_addr();
        let (sender, ready) = mpsc::channel(WAITING);
        let acceptor = TlsAcceptor::from(config);
        tokio::spawn(async move {
            while !sender.is_closed() {
                // Waits and goes on when the system has no descriptor left, as every server must.
                let (stream, peer) = Listener::accept(&mut listener).await;
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // The server is gone when the process ends only.
                        let _ = sender.send((stream, peer)).await;
                    }
                });
            }
        });
        Self { ready, address }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.address.as_ref().copied().map_err(|error| std::io::Error::from(error.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_10_versions_and_suites_of_tls_are_known_by_their_names_in_go() {
        assert_eq!(MinVersion::parse("VersionTLS13"), Ok(MinVersion::Tls13));
        assert!(MinVersion::parse("1.3").is_err());
        let one =
            Suites::parse("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA").unwrap();
        let offered: Vec<_> = aws_lc_rs::ALL_CIPHER_SUITES
            .iter()
            .filter(|suite| one.offer(suite))
            .map(rustls::SupportedCipherSuite::suite)
            .collect();
        assert_eq!(offered.len(), 4, "the one that was named and the three of TLS 1.3: {offered:?}");
        assert!(Suites::parse("TLS_NO_SUCH").unwrap_err().contains("TLS_NO_SUCH"));
        assert!(Suites::parse("TLS_RSA_WITH_AES_128_CBC_SHA").is_err());
        let strong = SUITES.iter().filter(|(_, built_in)| *built_in).count();
        assert_eq!(strong, aws_lc_rs::ALL_CIPHER_SUITES.len());
    }
}
