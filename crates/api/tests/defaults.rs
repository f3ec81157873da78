//! Effective values: what a user left unset, and what older releases stored for unset (H-1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use api::{
    HostedControlPlaneSpec, K0sWorkerConfigSpec, RemoteMachineSpec,
    defaults::{KineSource, PersistenceType},
    hosted::{CertificateType, ServiceType, StorageType},
    remote_machine::HostKeyPolicy,
};
use serde_json::{Value, json};

fn hosted(spec: Value) -> HostedControlPlaneSpec {
    serde_json::from_value(spec).unwrap()
}

#[test]
fn an_empty_spec_means_one_replica_on_etcd_behind_a_cluster_ip() {
    let spec = hosted(json!({}));
    assert_eq!(spec.effective_replicas(), 1);
    assert_eq!(spec.service_type(), ServiceType::ClusterIp);
    assert_eq!((spec.api_port(), spec.konnectivity_port()), (30443, 30132));
    assert_eq!(spec.storage_type(), StorageType::Etcd);
    assert_eq!(spec.persistence_type(), PersistenceType::EmptyDir);
    assert_eq!(spec.etcd_volume().0.0, "1Gi");
    assert_eq!(spec.kubeconfig_groups(), ["system:masters"]);
}

#[test]
fn h_1_a_value_equal_to_the_schema_default_of_an_image_counts_as_unset() {
    let filled = hosted(json!({
        "image": "quay.io/k0sproject/k0s",
        "storage": {"etcd": {"image": "quay.io/k0sproject/etcd:v3.7.1"}},
    }));
    assert_eq!((filled.own_image(), filled.own_etcd_image()), (None, None));
    let own = hosted(json!({"image": "mirror/k0s", "storage": {"etcd": {"image": "mirror/etcd:v3.7.1"}}}));
    assert_eq!((own.own_image(), own.own_etcd_image()), (Some("mirror/k0s"), Some("mirror/etcd:v3.7.1")));
}

#[test]
fn h_1_zero_values_that_older_releases_stored_mean_unset() {
    let stored = hosted(json!({
        "replicas": 0, "image": "", "version": "", "serviceAccount": "", "externalAddress": "",
        "service": {"type": "", "apiPort": 0, "konnectivityPort": 0},
        "persistence": {"type": ""},
        "storage": {
            "type": "",
            "etcd": {"image": "", "persistence": {"size": "0", "storageClass": ""}},
            "kine": {"dataSourceURL": "__K0SMOTRON_KINE_DATASOURCE_URL_PLACEHOLDER__", "dataSourceSecretName": ""},
        },
    }));
    let empty = hosted(json!({}));
    assert_eq!(stored.effective_replicas(), empty.effective_replicas());
    assert_eq!((stored.own_image(), stored.wanted_version(), stored.pinned_address()), (None, None, None));
    assert_eq!((stored.api_port(), stored.konnectivity_port()), (30443, 30132));
    assert_eq!((stored.service_type(), stored.storage_type()), (empty.service_type(), empty.storage_type()));
    assert_eq!(stored.persistence_type(), empty.persistence_type());
    assert_eq!(stored.etcd_volume(), empty.etcd_volume());
    assert_eq!(stored.kine_source(), KineSource::Sqlite);
}

#[test]
fn etcd_follows_the_replicas_rounded_up_to_odd_unless_it_is_told() {
    for (replicas, members) in [(0, 1), (1, 1), (2, 3), (3, 3), (4, 5), (9, 7)] {
        assert_eq!(hosted(json!({"replicas": replicas})).etcd_replicas(), members, "{replicas}");
    }
    assert_eq!(hosted(json!({"replicas": 3, "storage": {"etcd": {"replicas": 5}}})).etcd_replicas(), 5);
}

#[test]
fn a_secret_with_the_data_source_wins_over_one_in_the_spec() {
    let both = hosted(
        json!({"storage": {"type": "kine", "kine": {"dataSourceURL": "u", "dataSourceSecretName": "s"}}}),
    );
    assert_eq!(both.kine_source(), KineSource::Secret("s"));
    let inline = hosted(json!({"storage": {"type": "kine", "kine": {"dataSourceURL": "u"}}}));
    assert_eq!(inline.kine_source(), KineSource::Inline(&"u".into()));
}

#[test]
fn h_9_a_certificate_secret_is_the_users_or_named_after_cluster_and_purpose() {
    let spec = hosted(json!({"certificateRefs": [{"type": "ca", "name": "mine"}, {"type": "sa"}]}));
    assert_eq!(spec.certificate_secret("c", CertificateType::Ca), "mine");
    assert_eq!(spec.certificate_secret("c", CertificateType::Sa), "c-sa");
    assert_eq!(spec.certificate_secret("c", CertificateType::ApiserverEtcdClient), "c-apiserver-etcd-client");
}

#[test]
fn h_47_tokens_go_to_other_namespaces_only_when_granted() {
    assert!(!hosted(json!({})).grants_tokens_to("a"));
    assert!(hosted(json!({"joinTokenRequests": {"allowedNamespaces": ["a"]}})).grants_tokens_to("a"));
    assert!(!hosted(json!({"joinTokenRequests": {"allowedNamespaces": ["a"]}})).grants_tokens_to("b"));
    assert!(hosted(json!({"joinTokenRequests": {"allowedNamespaces": ["*"]}})).grants_tokens_to("b"));
}

#[test]
fn a_remote_machine_as_older_clients_write_it_means_the_defaults() {
    let spec: RemoteMachineSpec = serde_json::from_value(
        json!({"port": 0, "user": "", "workingDir": "", "pool": "", "sshKeyRef": {"name": ""}, "useSudo": true}),
    )
    .unwrap();
    assert_eq!((spec.effective_port(), spec.effective_user()), (22, "root"));
    assert_eq!(spec.effective_working_dir(), "/etc/k0smotron");
    assert_eq!((spec.ssh_key_secret(), spec.wanted_pool()), (None, None));
    // Root needs no sudo.
    assert!(!spec.needs_sudo());
    assert_eq!(spec.deadlines().total.as_secs(), 3600);
}

#[test]
fn given_host_keys_imply_that_they_are_pinned() {
    let spec: RemoteMachineSpec =
        serde_json::from_value(json!({"hostKeys": ["SHA256:x"], "hostKeyPolicy": "Insecure"})).unwrap();
    assert_eq!(spec.effective_host_key_policy(), HostKeyPolicy::Pinned);
    assert_eq!(RemoteMachineSpec::default().effective_host_key_policy(), HostKeyPolicy::TrustOnFirstUse);
}

#[test]
fn a_worker_keeps_its_token_in_its_working_directory() {
    let spec = |value: Value| serde_json::from_value::<K0sWorkerConfigSpec>(value).unwrap();
    assert_eq!(spec(json!({})).token_path(), "/etc/k0s.token");
    assert_eq!(spec(json!({"workingDir": "/opt/"})).token_path(), "/opt/k0s.token");
    assert_eq!(spec(json!({"downloadURL": "https://get.k0s.sh"})).own_download_url(), None);
    assert_eq!(spec(json!({"k0sInstallDir": ""})).install_dir(), "/usr/local/bin");
}
