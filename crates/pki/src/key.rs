//! Private keys: making them, reading them, writing them as PEM.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use x509_parser::asn1_rs::{Any, FromDer, OctetString, Sequence};

use crate::{PkiError, SecretBytes, pem_blocks};

/// The kinds of keys that we make. Any kind can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2048 bits: what k0s and Cluster API expect of authorities and service account keys.
    Rsa2048,
    /// ECDSA on P-256: small and quick to make, for leaf certificates.
    EcdsaP256,
}

/// A new key, ready to sign, and its PEM text.
///
/// RSA is written as PKCS#1 (`RSA PRIVATE KEY`): k0s names that form for the keys it is given (k0s.md 8), and
/// everything in the field reads it. ECDSA is written as PKCS#8.
pub(crate) fn generate(kind: KeyKind) -> Result<(KeyPair, SecretBytes), PkiError> {
    let refused = |why| PkiError::crypto("make a key", why);
    match kind {
        KeyKind::Rsa2048 => {
            let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(refused)?;
            let pem = pem_blocks::encode("RSA PRIVATE KEY", &pkcs1(pair.serialized_der())?);
            Ok((pair, pem.into()))
        }
        KeyKind::EcdsaP256 => {
            let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(refused)?;
            let pem = pem_blocks::encode("PRIVATE KEY", pair.serialized_der());
            Ok((pair, pem.into()))
        }
    }
}

/// A key from PEM text: PKCS#1, PKCS#8 or SEC1, without a pass phrase.
pub(crate) fn parse(text: &[u8]) -> Result<KeyPair, PkiError> {
    let der = pem_blocks::private_key(text)?;
    KeyPair::try_from(der).map_err(|why| PkiError::unreadable("private key", why))
}

/// Whether the key is RSA, of any size.
pub(crate) fn is_rsa(pair: &KeyPair) -> bool {
    pair.is_compatible(&PKCS_RSA_SHA256)
}

/// The public half as SubjectPublicKeyInfo, the form in which keys and certificates are compared.
pub(crate) fn public_der(pair: &KeyPair) -> Vec<u8> {
    pair.subject_public_key_info()
}

/// PKCS#8 wraps PKCS#1 in `SEQUENCE { version, algorithm, OCTET STRING }`; this takes the wrapping off.
fn pkcs1(pkcs8: &[u8]) -> Result<Vec<u8>, PkiError> {
    let unexpected = || PkiError::crypto("write a key", "the library's PKCS#8 has an unexpected form");
    let (_, sequence) = Sequence::from_der(pkcs8).map_err(|_| unexpected())?;
    let (rest, _version) = Any::from_der(&sequence.content).map_err(|_| unexpected())?;
    let (rest, _algorithm) = Any::from_der(rest).map_err(|_| unexpected())?;
    let (_, key) = OctetString::from_der(rest).map_err(|_| unexpected())?;
    Ok(key.as_cow().to_vec())
}
