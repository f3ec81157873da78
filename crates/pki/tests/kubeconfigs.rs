//! Kubeconfigs: made, read, kept or replaced (H-14).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use jiff::{SignedDuration, Timestamp};
use pki::{
    Authority, AuthorityKind, ClientKubeconfig, Credentials, Fit, Kubeconfig, Misfit, SecretBytes,
    cluster_admin, generate_authority,
};
use proptest::prelude::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn authority() -> Authority {
    Authority::from_pair(&generate_authority(AuthorityKind::Cluster, now()).unwrap()).unwrap()
}

fn wanted() -> ClientKubeconfig {
    ClientKubeconfig {
        cluster: "a-k0s".into(),
        user: "a-admin".into(),
        server: "https://10.0.0.1:30443".into(),
        proxy_url: None,
        leaf: cluster_admin("kubernetes-admin", &["system:masters".into()], 365),
    }
}

#[test]
fn names_and_server_are_those_of_hosted_4_4() {
    let yaml = wanted().issue(&authority(), now()).unwrap();
    let text = yaml.expose_str().unwrap();
    let found = Kubeconfig::parse(yaml.expose()).unwrap();
    assert_eq!((found.cluster.as_str(), found.user.as_str()), ("a-k0s", "a-admin"));
    assert_eq!(found.context, "a-admin@a-k0s");
    assert_eq!(found.server, "https://10.0.0.1:30443");
    assert!(text.contains("current-context: a-admin@a-k0s\n"), "{text}");
    assert!(text.contains("apiVersion: v1\nkind: Config\n"), "{text}");
    let Credentials::Certificate { key, .. } = &found.credentials else { panic!("no certificate") };
    assert!(key.expose_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"), "P-256, not RSA");
}

#[test]
fn h14_a_right_one_is_left_alone_until_half_its_life_is_gone() {
    let authority = authority();
    let yaml = wanted().issue(&authority, now()).unwrap();
    let ask = |at| wanted().fit(yaml.expose(), &authority, at);
    let Fit::Fits { renew_at: Some(due), .. } = ask(now()) else { panic!("{:?}", ask(now())) };
    let half = now() + SignedDuration::from_hours(365 * 12);
    assert!((half - SignedDuration::from_mins(5)..=half).contains(&due), "{due}");
    assert_eq!(ask(due), Fit::Misfit(Misfit::Due(due)));
}

#[test]
fn h14_another_server_proxy_authority_or_user_needs_a_new_one() {
    let authority = authority();
    let yaml = wanted().issue(&authority, now()).unwrap();
    let ask = |wanted: ClientKubeconfig| match wanted.fit(yaml.expose(), &authority, now()) {
        Fit::Misfit(misfit) => misfit,
        fits @ Fit::Fits { .. } => panic!("{fits:?}"),
    };
    let server = ask(ClientKubeconfig { server: "https://[fd00::1]:6443".into(), ..wanted() });
    assert_eq!(server, Misfit::Differs("server"));
    let proxy = ask(ClientKubeconfig { proxy_url: Some("http://p:1".into()), ..wanted() });
    assert_eq!(proxy, Misfit::Differs("proxy"));
    let user = ask(ClientKubeconfig { leaf: cluster_admin("jane", &[], 365), ..wanted() });
    assert!(matches!(user, Misfit::OtherSubject { .. }));
    let other = Authority::from_pair(&generate_authority(AuthorityKind::Cluster, now()).unwrap()).unwrap();
    assert_eq!(wanted().fit(yaml.expose(), &other, now()), Fit::Misfit(Misfit::OtherAuthority));
    assert!(matches!(wanted().fit(b"{", &authority, now()), Fit::Misfit(Misfit::Unreadable(_))));
}

/// The form in which Go's client library writes: other order, unknown keys, JSON.
#[test]
fn files_of_other_writers_are_read() {
    let found = Kubeconfig::parse(
        br#"{"preferences":{},"users":[{"name":"u","user":{"token":"abc","extra":1}}],
            "contexts":[{"name":"c","context":{"user":"u","cluster":"k","namespace":"n"}}],
            "clusters":[{"name":"k","cluster":{"server":"https://h","insecure-skip-tls-verify":true}}]}"#,
    )
    .unwrap();
    assert_eq!(found.credentials, Credentials::Token("abc".to_owned().into()));
    assert_eq!(found.server, "https://h");
    let refusal = Kubeconfig::parse(b"current-context: x\ncontexts: []\n").unwrap_err();
    assert!(refusal.to_string().contains("no context named \"x\""), "{refusal}");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        names in prop::array::uniform4("[^\\x00-\\x08\\x0b-\\x1f\\x7f]{1,20}"),
        token in "[a-z0-9]{6}\\.[a-z0-9]{16}",
        authority in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let [cluster, user, context, server] = names;
        let credentials = Credentials::Token(SecretBytes::from(token));
        let written = Kubeconfig { cluster, user, context, server, authority, proxy_url: None, credentials };
        let yaml = written.to_yaml().unwrap();
        prop_assert_eq!(Kubeconfig::parse(yaml.expose()).unwrap(), written);
    }
}
