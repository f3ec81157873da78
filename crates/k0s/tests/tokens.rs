//! Join tokens (K0S-10, section 17 of the control-plane chapter).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k0s::{BootstrapToken, JoinToken, Role, TokenFault};
use proptest::prelude::*;

fn token(role: Role, server: &str) -> JoinToken {
    JoinToken {
        role,
        server: server.to_owned(),
        authority: b"-----BEGIN CERTIFICATE-----\n".to_vec(),
        token: BootstrapToken::new("abcdef", "0123456789abcdef").unwrap(),
    }
}

fn unpack(text: &[u8]) -> String {
    let mut yaml = String::new();
    flate2::read::GzDecoder::new(STANDARD.decode(text).unwrap().as_slice())
        .read_to_string(&mut yaml)
        .unwrap();
    yaml
}

fn pack(yaml: &str) -> String {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(yaml.as_bytes()).unwrap();
    STANDARD.encode(gzip.finish().unwrap())
}

#[test]
fn the_golden_tokens_hold_the_kubeconfig_that_k0s_reads() {
    let worker = token(Role::Worker, "https://10.0.0.1:6443").encode().unwrap();
    let yaml = unpack(worker.expose());
    for line in [
        "name: k0s\n",
        "server: https://10.0.0.1:6443\n",
        "current-context: k0s\n",
        "user: kubelet-bootstrap\n",
        "token: abcdef.0123456789abcdef\n",
    ] {
        assert!(yaml.contains(line), "{line:?} in {yaml}");
    }
    assert!(!worker.expose().contains(&b'\n'));
    let controller = token(Role::Controller, "https://[fd00::1]:9443").encode().unwrap();
    let yaml = unpack(controller.expose());
    assert!(yaml.contains("controller-bootstrap") && yaml.contains("https://[fd00::1]:9443"), "{yaml}");
    let again = token(Role::Worker, "https://10.0.0.1:6443").encode().unwrap();
    assert_eq!(worker, again, "equal input gives equal text");
    assert_eq!(unpack(worker.expose()).len(), unpack(again.expose()).len());
}

/// The form that k0s itself prints: other order, other names are no matter.
#[test]
fn tokens_of_k0s_are_read() {
    let text = pack(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: aGk=\n    server: https://h:9443\n  name: k0s\n\
         contexts:\n- context:\n    cluster: k0s\n    user: controller-bootstrap\n  name: k0s\ncurrent-context: k0s\nkind: Config\n\
         preferences: {}\nusers:\n- name: controller-bootstrap\n  user:\n    token: abcdef.0123456789abcdef\n",
    );
    let found = JoinToken::decode(format!("{text}\n").as_bytes()).unwrap();
    assert_eq!(found.role, Role::Controller);
    assert_eq!(found.authority, b"hi");
    assert_eq!(found.token.id(), "abcdef");
}

#[test]
fn k0s10_each_thing_that_is_wrong_has_its_own_error() {
    let good = unpack(token(Role::Worker, "https://h").encode().unwrap().expose());
    let fault = |yaml: &str| JoinToken::decode(pack(yaml).as_bytes()).unwrap_err();
    assert_eq!(JoinToken::decode(b"%%%").unwrap_err(), TokenFault::Base64);
    assert_eq!(JoinToken::decode(b"aGk=").unwrap_err(), TokenFault::Gzip);
    assert!(matches!(fault("["), TokenFault::Kubeconfig(_)));
    assert_eq!(fault(&good.replace("kubelet-bootstrap", "admin")), TokenFault::Role("admin".into()));
    assert_eq!(fault(&good.replace("abcdef.", "ABCDEF.")), TokenFault::Id);
    assert_eq!(fault(&good.replace("0123456789abcdef", "0123")), TokenFault::Secret);
}

/// K0S-11.
#[test]
fn k0s11_no_secret_is_printed() {
    let token = token(Role::Worker, "https://h");
    assert!(!format!("{token:?}").contains("0123456789abcdef"));
    assert!(!format!("{:?}", token.encode().unwrap()).contains("H4s"));
}

#[test]
fn ids_and_secrets_are_drawn_evenly() {
    // Every byte value once: 252 to 255 are passed over, and each character is drawn seven times.
    let mut next = 0_u8;
    let mut fill = |buffer: &mut [u8]| {
        for byte in buffer {
            *byte = next;
            next = next.wrapping_add(1);
        }
    };
    let first = BootstrapToken::generate(&mut fill);
    assert_eq!(first.id(), "abcdef");
    let constant = BootstrapToken::generate_for("abcdef", |buffer| buffer.fill(35)).unwrap();
    assert_eq!(constant.bearer().expose(), b"abcdef.9999999999999999");
}

#[test]
fn an_id_follows_from_owner_and_counter() {
    let id = BootstrapToken::derived_id("8b1f", 0);
    assert_eq!(id, BootstrapToken::derived_id("8b1f", 0));
    assert_ne!(id, BootstrapToken::derived_id("8b1f", 1));
    assert_ne!(id, BootstrapToken::derived_id("8b1e", 0));
    assert!(BootstrapToken::generate_for(&id, |buffer| buffer.fill(0)).is_ok());
}

proptest! {
    #[test]
    fn k0s10_a_token_is_read_back(
        controller: bool, server in "https://[a-z0-9.:\\[\\]-]{1,40}", authority in prop::collection::vec(any::<u8>(), 0..2000),
        id in "[a-z0-9]{6}", secret in "[a-z0-9]{16}",
    ) {
        let role = if controller { Role::Controller } else { Role::Worker };
        let token = JoinToken { role, server, authority, token: BootstrapToken::new(&id, &secret).unwrap() };
        prop_assert_eq!(JoinToken::decode(token.encode().unwrap().expose()).unwrap(), token);
    }
}
