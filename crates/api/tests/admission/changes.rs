//! Changes of stored objects: kind, spec, merge patch of the spec, words of the refusal if there is one.

use serde_json::{Value, json};

type Change = (&'static str, Value, Value, Option<&'static str>);

const SKEW: &str =
    "upgrading more than one minor version at a time is not allowed by the Kubernetes skew policy";

pub fn changes() -> Vec<Change> {
    vec![
        ("Cluster", json!({}), json!({"storage": {"type": "kine"}}), Some("storage.type cannot be changed")),
        (
            "K0smotronControlPlane",
            json!({"storage": {"type": "kine"}}),
            json!({"storage": null}),
            Some("storage.type cannot be changed"),
        ),
        ("Cluster", json!({}), json!({"storage": {"type": "etcd"}}), None),
        // A template speaks of objects to come.
        (
            "K0smotronControlPlaneTemplate",
            json!({"template": {"spec": {"storage": {"type": "kine"}}}}),
            json!({"template": {"spec": {"storage": {"type": "etcd"}}}}),
            None,
        ),
        (
            "Cluster",
            json!({"storage": {"type": "nats"}}),
            json!({"replicas": 3}),
            Some("replicas cannot be changed with storage nats"),
        ),
        (
            "Cluster",
            json!({"storage": {"type": "kine"}}),
            json!({"replicas": 2}),
            Some("replicas must be 1 with storage kine"),
        ),
        (
            "Cluster",
            json!({"storage": {"type": "kine", "kine": {"dataSourceSecretName": "s"}}}),
            json!({"replicas": 2}),
            None,
        ),
        ("Cluster", json!({"version": "v1.33.1+k0s.0"}), json!({"version": "v1.34.0+k0s.0"}), None),
        ("Cluster", json!({"version": "v1.33.1+k0s.0"}), json!({"version": "v1.35.0+k0s.0"}), Some(SKEW)),
        (
            "K0smotronControlPlane",
            json!({"version": "v1.33.1-k0s.0"}),
            json!({"version": "1.35.0"}),
            Some(SKEW),
        ),
        (
            "Cluster",
            json!({"version": "v1.33.1+k0s.0"}),
            json!({"version": "v2.33.1"}),
            Some("another major version"),
        ),
        // The controller holds it, and knows whether it is a rollback; admission does not (8.2).
        ("Cluster", json!({"version": "v1.33.1+k0s.0"}), json!({"version": "v1.32.0+k0s.0"}), None),
        (
            "Cluster",
            json!({"storage": {"etcd": {"persistence": {"size": "2Gi"}}}}),
            json!({"storage": {"etcd": {"persistence": {"size": "1500Mi"}}}}),
            Some("size cannot shrink"),
        ),
        (
            "Cluster",
            json!({"storage": {"etcd": {"persistence": {"size": "1024Mi"}}}}),
            json!({"storage": {"etcd": {"persistence": {"size": "1Gi"}}}}),
            None,
        ),
        (
            "Cluster",
            json!({"storage": {"etcd": {"persistence": {"size": 1_000_000_000}}}}),
            json!({"storage": {"etcd": {"persistence": {"size": "2Gi"}}}}),
            None,
        ),
    ]
}
