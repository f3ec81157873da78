//! Subject and issuer of a leaf, byte by byte.
//!
//! The library's model of names holds each attribute once. A user with two groups has two organizations, and an
//! authority that a user brings may have any subject, which a leaf must repeat exactly or nobody accepts it. So a
//! draft is made with the library, its two names are replaced, and the result is signed.

use rcgen::{KeyPair, SigningKey};
use x509_parser::asn1_rs::{Any, FromDer};

use crate::PkiError;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;
/// id-at-organizationName 2.5.4.10
const ORGANIZATION: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0a];
/// id-at-commonName 2.5.4.3
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

/// Places of the names in a version 3 TBSCertificate (RFC 5280, 4.1).
const ISSUER_PLACE: usize = 3;
const SUBJECT_PLACE: usize = 5;

/// A subject: organizations, then the common name, as Kubernetes' own tools order them.
pub(crate) fn subject(organizations: &[String], common_name: &str) -> Vec<u8> {
    let attribute = |kind: &[u8], text: &str| {
        let value = [kind, &tlv(UTF8_STRING, text.as_bytes())].concat();
        tlv(SET, &tlv(SEQUENCE, &value))
    };
    let mut parts: Vec<u8> = organizations.iter().flat_map(|text| attribute(ORGANIZATION, text)).collect();
    parts.extend(attribute(COMMON_NAME, common_name));
    tlv(SEQUENCE, &parts)
}

/// The draft with these names, signed.
pub(crate) fn with_names(
    draft: &[u8],
    issuer: &[u8],
    subject: &[u8],
    key: &KeyPair,
) -> Result<Vec<u8>, PkiError> {
    let certificate = elements(content(draft)?)?;
    let [draft_tbs, algorithm, _signature] = certificate.as_slice() else {
        return Err(unexpected());
    };
    let mut fields = elements(content(draft_tbs)?)?;
    if fields.len() <= SUBJECT_PLACE {
        return Err(unexpected());
    }
    fields[ISSUER_PLACE] = issuer;
    fields[SUBJECT_PLACE] = subject;
    let tbs = tlv(SEQUENCE, &fields.concat());
    let signature = key.sign(&tbs).map_err(|why| PkiError::crypto("sign a certificate", why))?;
    let signature = tlv(BIT_STRING, &[&[0], signature.as_slice()].concat());
    Ok(tlv(SEQUENCE, &[tbs.as_slice(), algorithm, &signature].concat()))
}

fn unexpected() -> PkiError {
    PkiError::crypto("sign a certificate", "the library's draft has an unexpected form")
}

fn content(der: &[u8]) -> Result<&[u8], PkiError> {
    Any::from_der(der).map(|(_, any)| any.data).map_err(|_| unexpected())
}

/// The elements that stand one after the other, each with its header.
fn elements(mut der: &[u8]) -> Result<Vec<&[u8]>, PkiError> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (rest, _) = Any::from_der(der).map_err(|_| unexpected())?;
        let (element, after) = der.split_at(der.len() - rest.len());
        found.push(element);
        der = after;
    }
    Ok(found)
}

/// Tag, length, value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = value.len().to_be_bytes();
            let long: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            // A length has at most eight bytes, so the count of them fits.
            out.push(0x80 | long.len().to_le_bytes()[0]);
            out.extend(long);
        }
    }
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, KeyKind, cluster_admin, key, pem_blocks};

    /// H-9: a subject that the library's model of names cannot hold is repeated byte for byte.
    #[test]
    fn h9_an_authority_may_have_any_subject() {
        let (pair, pem) = key::generate(KeyKind::EcdsaP256).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let draft = params.self_signed(&pair).unwrap();
        let odd = subject(&["one".into(), "two".into(), "one".into()], "an authority");
        let der = with_names(draft.der(), &odd, &odd, &pair).unwrap();
        let text = pem_blocks::encode_certificate(&der);
        let authority = Authority::parse(text.as_bytes(), Some(pem.expose())).unwrap();
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let leaf = authority.issue(&cluster_admin("jane", &[], 1), now).unwrap();
        let leaf = pem_blocks::certificates("leaf", leaf.certificate.as_bytes()).unwrap();
        let leaf = crate::authority::parse_certificate("leaf", &leaf[0]).unwrap();
        let parsed = crate::authority::parse_certificate("authority", &der).unwrap();
        assert_eq!(leaf.issuer().as_raw(), odd);
        leaf.verify_signature(Some(parsed.public_key())).unwrap();
    }

    #[test]
    fn lengths_are_written_in_the_shortest_form() {
        assert_eq!(tlv(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
    }
}
