//! PEM text to DER and back.

use pem::{EncodeConfig, LineEnding, Pem};

use crate::PkiError;

const CERTIFICATE: &str = "CERTIFICATE";

/// The DER of every certificate in the text, in order; an error when there is none.
pub(crate) fn certificates(what: &'static str, text: &[u8]) -> Result<Vec<Vec<u8>>, PkiError> {
    let found: Vec<_> = blocks(what, text)?
        .into_iter()
        .filter(|block| block.tag() == CERTIFICATE)
        .map(Pem::into_contents)
        .collect();
    if found.is_empty() {
        return Err(PkiError::Missing { what, wanted: CERTIFICATE });
    }
    Ok(found)
}

/// The DER of the first private key in the text, whatever its form (PKCS#1, PKCS#8, SEC1).
///
/// Text made by `openssl ecparam -genkey` begins with a block of curve parameters, so blocks of other kinds are
/// passed over.
pub(crate) fn private_key(text: &[u8]) -> Result<Vec<u8>, PkiError> {
    let what = "private key";
    for block in blocks(what, text)? {
        let encrypted = block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
        match block.tag() {
            "ENCRYPTED PRIVATE KEY" => return Err(PkiError::Encrypted),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" if encrypted => {
                return Err(PkiError::Encrypted);
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => return Ok(block.into_contents()),
            _ => {}
        }
    }
    Err(PkiError::Missing { what, wanted: "PRIVATE KEY" })
}

/// Every block of the text.
pub(crate) fn blocks(what: &'static str, text: &[u8]) -> Result<Vec<Pem>, PkiError> {
    pem::parse_many(text).map_err(|why| PkiError::unreadable(what, why))
}

/// One block as text with the line ends that every tool of the field writes.
pub(crate) fn encode(tag: &str, der: &[u8]) -> String {
    pem::encode_config(&Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// One certificate as text.
pub(crate) fn encode_certificate(der: &[u8]) -> String {
    encode(CERTIFICATE, der)
}
