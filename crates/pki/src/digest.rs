//! A short name for a set of certificates.

use sha2::{Digest, Sha256};

use crate::{PkiError, pem_blocks};

/// SHA-256, in hex, of the public blocks of a PEM text: certificates and public keys, by content, so that blank
/// lines and comments do not count. Private keys do not enter.
pub fn certificates_digest(text: &[u8]) -> Result<String, PkiError> {
    let mut hash = Sha256::new();
    feed(&mut hash, text)?;
    Ok(hex::encode(hash.finalize()))
}

/// One digest over all authorities of a cluster: the value of annotation `k0smotron.io/authorities` (H-9).
/// `authorities` pairs a purpose (`ca`, `proxy`, `etcd`, `sa`) with its `tls.crt`; their order does not matter.
pub fn authorities_digest<'a>(
    authorities: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<String, PkiError> {
    let mut all: Vec<_> = authorities.into_iter().collect();
    all.sort_unstable();
    let mut hash = Sha256::new();
    for (purpose, text) in all {
        hash.update(length(purpose.as_bytes()));
        hash.update(purpose);
        feed(&mut hash, text)?;
    }
    Ok(hex::encode(hash.finalize()))
}

fn feed(hash: &mut Sha256, text: &[u8]) -> Result<(), PkiError> {
    let what = "certificate";
    let blocks: Vec<_> = pem_blocks::blocks(what, text)?
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE" || block.tag().ends_with("PUBLIC KEY"))
        .collect();
    if blocks.is_empty() {
        return Err(PkiError::Missing { what, wanted: "CERTIFICATE" });
    }
    hash.update(blocks.len().to_be_bytes());
    for block in blocks {
        hash.update(length(block.contents()));
        hash.update(block.contents());
    }
    Ok(())
}

/// Lengths stand before contents, so that no two sets run together into the same bytes.
fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}
