//! Leaf certificates: what they carry, and when a new one is needed (hosted.md 4.3, H-11).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use jiff::{SignedDuration, Timestamp};
use pki::{
    Authority, AuthorityKind, EtcdNames, Fit, KeyKind, Leaf, Misfit, Renewal, San, cluster_admin, etcd_leaf,
    fit, generate_authority, ingress_haproxy, operator_etcd_client,
};
use x509_parser::prelude::{FromDer, X509Certificate};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count * 24)
}

fn etcd_authority() -> Authority {
    Authority::from_pair(&generate_authority(AuthorityKind::Etcd, now()).unwrap()).unwrap()
}

const NAMES: EtcdNames<'_> =
    EtcdNames { headless: "kmc-a-etcd", client: None, namespace: "team", domain: "cluster.local" };

fn texts(sans: &[San]) -> Vec<String> {
    sans.iter().map(ToString::to_string).collect()
}

#[test]
fn etcd_is_called_by_list_e() {
    let all = EtcdNames { client: Some("kmc-a-etcd-client"), ..NAMES }.sans();
    assert_eq!(
        texts(&all),
        [
            "127.0.0.1",
            "localhost",
            "kmc-a-etcd",
            "kmc-a-etcd.team.svc",
            "kmc-a-etcd.team.svc.cluster.local",
            "*.kmc-a-etcd",
            "*.kmc-a-etcd.team.svc",
            "*.kmc-a-etcd.team.svc.cluster.local",
            "kmc-a-etcd-client",
            "kmc-a-etcd-client.team.svc",
            "kmc-a-etcd-client.team.svc.cluster.local",
        ]
    );
}

#[test]
fn a_leaf_carries_names_usages_and_a_year() {
    let authority = etcd_authority();
    let pair = authority.issue(&etcd_leaf("etcd-peer", &NAMES), now()).unwrap();
    let der = pem::parse(&pair.certificate).unwrap().into_contents();
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(leaf.subject().to_string(), "O=etcd-peer, CN=etcd-peer");
    assert_eq!(leaf.issuer().to_string(), "CN=etcd-ca");
    assert_eq!(leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 8);
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth);
    assert_eq!(leaf.validity().not_before.timestamp(), now().as_second() - 300);
    assert_eq!(leaf.validity().not_after.timestamp(), now().as_second() + 365 * 86_400);
    assert!(!leaf.is_ca());

    let pair = authority.issue(&operator_etcd_client(), now()).unwrap();
    let der = pem::parse(&pair.certificate).unwrap().into_contents();
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
}

#[test]
fn every_group_of_a_user_is_an_organization() {
    let groups = ["a", "b", "c"].map(String::from);
    let leaf = Leaf { key: Some(KeyKind::EcdsaP256), ..cluster_admin("jane", &groups, 30) };
    let pair = etcd_authority().issue(&leaf, now()).unwrap();
    let der = pem::parse(&pair.certificate).unwrap().into_contents();
    let (_, found) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(found.subject().to_string(), "O=a, O=b, O=c, CN=jane");
    assert!(pair.key.expose_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn h11_a_leaf_stays_until_a_third_of_its_life_is_left() {
    let authority = etcd_authority();
    let wanted = etcd_leaf("etcd-server", &NAMES);
    let pair = authority.issue(&wanted, now()).unwrap();
    let ask = |at| {
        fit(pair.certificate.as_bytes(), pair.key.expose(), &wanted.sans, &authority, Renewal::ThirdLeft, at)
    };
    let Fit::Fits { renew_at: Some(due), not_after } = ask(now()) else { panic!("{:?}", ask(now())) };
    assert_eq!(not_after, now() + days(365));
    assert!(due > now() + days(243) && due < now() + days(244), "{due}");
    assert!(matches!(ask(due - SignedDuration::from_secs(1)), Fit::Fits { .. }));
    assert_eq!(ask(due), Fit::Misfit(Misfit::Due(due)));
    assert!(matches!(ask(now() - days(1)), Fit::Misfit(Misfit::NotYetValid(_))));
}

#[test]
fn h11_a_missing_name_or_another_authority_needs_a_new_leaf() {
    let authority = etcd_authority();
    let pair = authority.issue(&etcd_leaf("etcd-server", &NAMES), now()).unwrap();
    let ask = |sans: &[San], authority: &Authority| {
        fit(pair.certificate.as_bytes(), pair.key.expose(), sans, authority, Renewal::ThirdLeft, now())
    };
    // Fewer names than it carries are no reason.
    assert!(matches!(ask(&[San::new("localhost"), San::new("127.0.0.1")], &authority), Fit::Fits { .. }));
    for name in ["kmc-a-etcd-client", "10.0.0.1", "fd00::1"] {
        assert_eq!(ask(&[San::new(name)], &authority), Fit::Misfit(Misfit::MissingName(San::new(name))));
    }
    // The same name, another key: only the signature tells them apart.
    assert_eq!(ask(&[], &etcd_authority()), Fit::Misfit(Misfit::OtherAuthority));
    let other = authority.issue(&operator_etcd_client(), now()).unwrap();
    let mixed =
        fit(pair.certificate.as_bytes(), other.key.expose(), &[], &authority, Renewal::ThirdLeft, now());
    assert_eq!(mixed, Fit::Misfit(Misfit::OtherKey));
    let broken = fit(b"no", pair.key.expose(), &[], &authority, Renewal::ThirdLeft, now());
    assert!(matches!(broken, Fit::Misfit(Misfit::Unreadable(_))));
}

#[test]
fn a_bad_host_name_is_refused_by_name() {
    let leaf = Leaf { sans: vec![San::Dns("übel".into())], ..operator_etcd_client() };
    let refusal = etcd_authority().issue(&leaf, now()).unwrap_err();
    assert!(refusal.to_string().contains("\"übel\""), "{refusal}");
}

#[test]
fn the_ingress_server_is_called_as_workers_call_it() {
    let leaf = ingress_haproxy("child.local", "10.96.0.1".parse().unwrap());
    assert!(texts(&leaf.sans).contains(&"kubernetes.default.svc.child.local".to_owned()));
    assert!(texts(&leaf.sans).contains(&"10.96.0.1".to_owned()));
    assert_eq!(San::new("[fd00::1]"), San::Ip("fd00::1".parse().unwrap()));
}
