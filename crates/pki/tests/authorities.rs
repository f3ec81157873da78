//! Authorities: those we make, those users bring.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use jiff::{SignedDuration, Timestamp};
use pki::{
    Authority, AuthorityKind, Fit, KeyKind, PemPair, PkiError, Renewal, authorities_digest,
    certificates_digest, check_service_account, cluster_admin, fit, generate_authority,
    generate_service_account,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use x509_parser::prelude::{FromDer, X509Certificate};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    pem::parse(pem).unwrap().into_contents()
}

fn admin() -> pki::Leaf {
    cluster_admin("kubernetes-admin", &["system:masters".to_owned()], 365)
}

#[test]
fn an_authority_is_what_hosted_4_1_says() {
    for (kind, name) in [
        (AuthorityKind::Cluster, "CN=kubernetes-ca"),
        (AuthorityKind::FrontProxy, "CN=kubernetes-front-proxy-ca"),
        (AuthorityKind::Etcd, "CN=etcd-ca"),
    ] {
        let pair = generate_authority(kind, now()).unwrap();
        let der = der(&pair.certificate);
        let (_, found) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(found.subject().to_string(), name);
        assert_eq!(found.issuer().as_raw(), found.subject().as_raw());
        found.verify_signature(None).unwrap();
        let constraints = found.basic_constraints().unwrap().unwrap().value;
        assert!(constraints.ca);
        assert_eq!(constraints.path_len_constraint, Some(0));
        let usage = found.key_usage().unwrap().unwrap().value;
        assert!(usage.key_encipherment() && usage.digital_signature() && usage.key_cert_sign());
        assert_eq!(found.validity().not_before.timestamp(), now().as_second() - 300);
        assert_eq!(found.validity().not_after.timestamp(), now().as_second() + 3650 * 86_400);
        assert!(found.serial > 0_u32.into());
        assert!(pair.key.expose_str().unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert_eq!(Authority::from_pair(&pair).unwrap().leaf_key_kind(), KeyKind::Rsa2048);
    }
}

#[test]
fn two_authorities_never_share_a_serial_number() {
    let serial = || {
        let pair = generate_authority(AuthorityKind::Cluster, now()).unwrap();
        X509Certificate::from_der(&der(&pair.certificate)).unwrap().1.serial.clone()
    };
    assert_ne!(serial(), serial());
}

#[test]
fn a_service_account_pair_is_a_public_and_an_rsa_private_key() {
    let pair = generate_service_account().unwrap();
    assert!(pair.certificate.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(pair.key.expose_str().unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    check_service_account(pair.certificate.as_bytes(), pair.key.expose()).unwrap();
    let other = generate_service_account().unwrap();
    assert!(matches!(
        check_service_account(pair.certificate.as_bytes(), other.key.expose()),
        Err(PkiError::KeyMismatch { .. })
    ));
}

/// H-9: any key type, any form, a chain in any order, any subject.
#[test]
fn an_authority_that_a_user_brings_signs_whatever_its_form() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let sec1: EcPrivateKeyRfc5915Der<'_> = ec.private_key().as_der().unwrap();
    let pkcs8 = ec.to_pkcs8v1().unwrap();
    let pair = KeyPair::try_from(pkcs8.as_ref()).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::OrganizationalUnitName, "platform");
    params.distinguished_name.push(DnType::CommonName, "Rötlich CA");
    let certificate = params.self_signed(&pair).unwrap().pem();
    let stranger = generate_authority(AuthorityKind::Cluster, now()).unwrap().certificate;
    let chain = format!("# our root\n{stranger}\n{certificate}");
    for key in [
        pem::encode(&pem::Pem::new("EC PRIVATE KEY", sec1.as_ref())),
        pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8.as_ref())),
        format!(
            "{}{}",
            pem::encode(&pem::Pem::new("EC PARAMETERS", vec![6, 1, 0])),
            pem::encode(&pem::Pem::new("EC PRIVATE KEY", sec1.as_ref()))
        ),
    ] {
        let authority = Authority::parse(chain.as_bytes(), Some(key.as_bytes())).unwrap();
        let leaf = authority.issue(&admin(), now()).unwrap();
        let (certificate_der, ca_der) = (der(&leaf.certificate), authority.certificate_der());
        let (_, leaf_x509) = X509Certificate::from_der(&certificate_der).unwrap();
        let (_, ca) = X509Certificate::from_der(ca_der).unwrap();
        leaf_x509.verify_signature(Some(ca.public_key())).unwrap();
        assert_eq!(leaf_x509.issuer().as_raw(), ca.subject().as_raw());
        assert_eq!(authority.leaf_key_kind(), KeyKind::EcdsaP256);
    }
}

#[test]
fn what_cannot_sign_is_refused_with_the_reason() {
    let pair = generate_authority(AuthorityKind::Cluster, now()).unwrap();
    let other = generate_authority(AuthorityKind::Cluster, now()).unwrap();
    let certificate = pair.certificate.as_bytes();

    let mismatch = Authority::parse(certificate, Some(other.key.expose())).unwrap_err();
    assert!(mismatch.to_string().contains("does not belong"), "{mismatch}");

    let unsigned = Authority::parse(certificate, None).unwrap().issue(&admin(), now()).unwrap_err();
    assert!(matches!(&unsigned, PkiError::SigningKeyMissing { wanted, .. } if wanted == "kubernetes-admin"));

    let leaf = Authority::from_pair(&pair).unwrap().issue(&admin(), now()).unwrap();
    let no_authority = Authority::from_pair(&leaf).unwrap_err();
    assert!(matches!(no_authority, PkiError::NotAnAuthority { .. }));

    let late = now() + SignedDuration::from_hours(3651 * 24);
    let expired = Authority::from_pair(&pair).unwrap().issue(&admin(), late).unwrap_err();
    assert!(matches!(expired, PkiError::AuthorityExpired { .. }));

    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(Authority::parse(certificate, Some(encrypted.as_bytes())).unwrap_err(), PkiError::Encrypted);
    assert!(matches!(Authority::parse(b"", None), Err(PkiError::Missing { .. })));
}

#[test]
fn digests_look_at_content_not_at_blank_lines_order_or_keys() {
    let ca = generate_authority(AuthorityKind::Cluster, now()).unwrap();
    let sa = generate_service_account().unwrap();
    let spaced = format!("\n# comment\n{}\n{}\n", ca.certificate, ca.key.expose_str().unwrap());
    assert_eq!(
        certificates_digest(ca.certificate.as_bytes()).unwrap(),
        certificates_digest(spaced.as_bytes()).unwrap()
    );
    let set = |pairs: [(&'static str, &PemPair); 2]| {
        authorities_digest(pairs.map(|(name, pair)| (name, pair.certificate.as_bytes()))).unwrap()
    };
    assert_eq!(set([("ca", &ca), ("sa", &sa)]), set([("sa", &sa), ("ca", &ca)]));
    assert_ne!(set([("ca", &ca), ("sa", &sa)]), set([("proxy", &ca), ("sa", &sa)]));
}

/// An authority near its end: its leaves end with it, and are not signed again and again.
#[test]
fn a_leaf_that_ends_with_its_authority_is_left_alone() {
    let pair = generate_authority(AuthorityKind::Etcd, now()).unwrap();
    let authority = Authority::from_pair(&pair).unwrap();
    let late = authority.not_after() - SignedDuration::from_hours(48);
    let leaf = authority.issue(&admin(), late).unwrap();
    let answer =
        fit(leaf.certificate.as_bytes(), leaf.key.expose(), &[], &authority, Renewal::ThirdLeft, late);
    assert_eq!(answer, Fit::Fits { renew_at: None, not_after: authority.not_after() });
}
