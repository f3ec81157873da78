//! The private key with which we log in: OpenSSH, PKCS#1, PKCS#8 and SEC1 texts of Ed25519, ECDSA and RSA keys
//! (5.1, R-28).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Certificate, PrivateKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::rsa::RsaKey;

/// A private key, and the certificate for it if there is one.
#[derive(Clone)]
pub struct UserKey {
    pub(super) kind: Kind,
    pub(super) certificate: Option<Certificate>,
    digest: String,
}

#[derive(Clone)]
pub(super) enum Kind {
    /// Ed25519 or ECDSA.
    Other(Arc<PrivateKey>),
    Rsa(RsaKey),
}

/// A text that is no key for us. Never holds a piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKeyFault(String);

impl fmt::Display for UserKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserKey({})", self.algorithm())
    }
}

impl UserKey {
    /// Reads a key.
    pub fn parse(
        text: &str,
        passphrase: Option<&str>,
        certificate: Option<&str>,
    ) -> Result<Self, UserKeyFault> {
        let certificate = certificate
            .map(|line| Certificate::from_openssh(line.trim()))
            .transpose()
            .map_err(|_| UserKeyFault("the certificate is no OpenSSH user certificate".into()))?;
        // Windows line ends and blanks around the text come from copying; no format minds their loss.
        let text = Zeroizing::new(text.trim().replace('\r', "") + "\n");
        let digest = hex::encode(&Sha256::digest(text.as_bytes())[..8]);
        Ok(Self { kind: kind(&text, passphrase)?, certificate, digest })
    }

    /// `ssh-ed25519` ...
    pub fn algorithm(&self) -> String {
        match &self.kind {
            Kind::Other(key) => key.algorithm().to_string(),
            Kind::Rsa(_) => "ssh-rsa".into(),
        }
    }

    /// Tells one key from another without telling the key.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn kind(text: &str, passphrase: Option<&str>) -> Result<Kind, UserKeyFault> {
    let begin = text.lines().find(|line| line.starts_with("-----BEGIN ")).unwrap_or_default();
    match begin {
        "" => Err(UserKeyFault(
            "it is no PEM text; expected a private key that begins with \"-----BEGIN\"".into(),
        )),
        "-----BEGIN RSA PRIVATE KEY-----" => rsa_pkcs1(text),
        "-----BEGIN OPENSSH PRIVATE KEY-----" => openssh(text, passphrase),
        _ => other(text, passphrase),
    }
}

fn rsa_pkcs1(text: &str) -> Result<Kind, UserKeyFault> {
    if text.contains("ENCRYPTED") {
        return Err(UserKeyFault(
            "it is an RSA key in the old encrypted form; convert it with \"ssh-keygen -p -f FILE\"".into(),
        ));
    }
    RsaKey::from_pkcs1(&der(text)).map(Kind::Rsa).ok_or_else(|| {
        UserKeyFault("it is no RSA key of 2048 to 8192 bits (\"BEGIN RSA PRIVATE KEY\" is damaged)".into())
    })
}

fn openssh(text: &str, passphrase: Option<&str>) -> Result<Kind, UserKeyFault> {
    let damaged = |_| UserKeyFault("\"BEGIN OPENSSH PRIVATE KEY\" is damaged".into());
    let mut key = PrivateKey::from_openssh(text).map_err(damaged)?;
    if key.is_encrypted() {
        let passphrase = passphrase.ok_or_else(|| {
            UserKeyFault("it is encrypted; put its passphrase into key \"passphrase\" of the Secret".into())
        })?;
        key = key.decrypt(passphrase).map_err(|_| UserKeyFault("its passphrase is another one".into()))?;
    }
    match key.key_data() {
        KeypairData::Rsa(pair) => RsaKey::from_openssh(pair)
            .map(Kind::Rsa)
            .ok_or_else(|| UserKeyFault("it is no RSA key of 2048 to 8192 bits".into())),
        KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) => Ok(Kind::Other(Arc::new(key))),
        _ => Err(UserKeyFault(format!("keys of type {} are not supported", key.algorithm()))),
    }
}

/// PKCS#8 and SEC1.
fn other(text: &str, passphrase: Option<&str>) -> Result<Kind, UserKeyFault> {
    if let Some(rsa) = RsaKey::from_pkcs8(&der(text)) {
        return Ok(Kind::Rsa(rsa));
    }
    let key = russh::keys::decode_secret_key(text, passphrase).map_err(|_| {
        UserKeyFault("it is no private key that is known here (Ed25519, ECDSA or RSA), or damaged, or encrypted and its passphrase is missing or wrong".into())
    })?;
    match key.key_data() {
        KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) => Ok(Kind::Other(Arc::new(key))),
        _ => Err(UserKeyFault(format!("keys of type {} are not supported", key.algorithm()))),
    }
}

/// What stands between the first pair of PEM lines.
fn der(text: &str) -> Zeroizing<Vec<u8>> {
    let body: Zeroizing<String> = Zeroizing::new(
        text.lines()
            .skip_while(|line| !line.starts_with("-----BEGIN "))
            .skip(1)
            .take_while(|line| !line.starts_with("-----END "))
            .map(str::trim)
            .collect(),
    );
    Zeroizing::new(STANDARD.decode(body.as_bytes()).unwrap_or_default())
}
