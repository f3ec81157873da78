//! The key pair that signs service account tokens.

use rcgen::PublicKeyData;

use crate::{KeyKind, PemPair, PkiError, key, pem_blocks};

const PUBLIC_KEY: &str = "PUBLIC KEY";

/// Makes the pair of Secret `<n>-sa`: `tls.crt` is the public key (PKIX, `PUBLIC KEY`), `tls.key` the RSA private
/// key (hosted.md 4.1). k0s calls them `sa.pub` and `sa.key`.
pub fn generate_service_account() -> Result<PemPair, PkiError> {
    let (pair, pem) = key::generate(KeyKind::Rsa2048)?;
    let public = pem_blocks::encode(PUBLIC_KEY, &pair.subject_public_key_info());
    Ok(PemPair { certificate: public, key: pem })
}

/// Whether a pair that was found is usable: both halves readable and belonging together.
pub fn check_service_account(public: &[u8], private: &[u8]) -> Result<(), PkiError> {
    let what = "service account public key";
    let pair = key::parse(private)?;
    let blocks = pem_blocks::blocks(what, public)?;
    // Cluster API's own tools also accept a certificate here, and so does k0s.
    let wanted = key::public_der(&pair);
    let mut seen = false;
    for block in &blocks {
        let fits = match block.tag() {
            PUBLIC_KEY => block.contents() == wanted,
            "RSA PUBLIC KEY" => key::is_rsa(&pair) && block.contents() == pair.der_bytes(),
            "CERTIFICATE" => {
                crate::authority::parse_certificate(what, block.contents())?.public_key().raw == wanted
            }
            _ => continue,
        };
        if fits {
            return Ok(());
        }
        seen = true;
    }
    if seen {
        return Err(PkiError::KeyMismatch { what });
    }
    Err(PkiError::Missing { what, wanted: PUBLIC_KEY })
}
