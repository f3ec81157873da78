//! Namespace, Service, NetworkPolicy and the labels of all objects (packaging-and-api 3.2).

use serde_json::{Value, json};

use super::{Bundle, NAMESPACE, PROVIDER_LABEL};

/// The Namespace, which every bundle carries: whichever is applied first makes it.
pub(super) fn namespace(_: Bundle) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": {
            "control-plane": "controller-manager",
            // Not enforced: people may run hosted control planes here.
            "pod-security.kubernetes.io/warn": "restricted",
        }},
    })
}

/// What is neither a CRD, nor a right, nor the Deployment.
pub(super) fn rest(bundle: Bundle) -> Vec<Value> {
    let suffix = bundle.suffix();
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": format!("k0smotron-metrics-service{suffix}"), "namespace": NAMESPACE },
            "spec": {
                "selector": selector(bundle),
                "ports": [{ "name": "metrics", "port": 8080, "protocol": "TCP", "targetPort": "metrics" }],
            },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": { "name": format!("k0smotron-controller-manager{suffix}"), "namespace": NAMESPACE },
            "spec": {
                "podSelector": { "matchLabels": selector(bundle) },
                "policyTypes": ["Ingress"],
                "ingress": [{ "ports": [
                    { "port": 9443, "protocol": "TCP" },
                    { "port": 8080, "protocol": "TCP" },
                    { "port": 8081, "protocol": "TCP" },
                ]}],
            },
        }),
    ]
}

/// The immutable selector of the Deployment, which is also the selector of its Services.
pub(super) fn selector(bundle: Bundle) -> Value {
    let mut labels = json!({ "control-plane": "controller-manager" });
    if bundle.is_provider() {
        labels[PROVIDER_LABEL.0] = PROVIDER_LABEL.1.into();
        labels["k0smotron-provider"] = bundle.mode().into();
    }
    labels
}

/// Puts the labels of every object on one.
pub(super) fn label(object: &mut Value, bundle: Bundle) {
    let component = if object["kind"] == "CustomResourceDefinition" { "crd" } else { "manager" };
    let labels = &mut object["metadata"]["labels"];
    for (key, value) in [
        ("app.kubernetes.io/name", "k0smotron"),
        ("app.kubernetes.io/instance", "k0smotron"),
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/created-by", "k0smotron"),
        ("app.kubernetes.io/part-of", "k0smotron"),
        ("app.kubernetes.io/managed-by", "kustomize"),
        ("app.kubernetes.io/version", env!("CARGO_PKG_VERSION")),
    ] {
        labels[key] = value.into();
    }
    if bundle.is_provider() {
        labels[PROVIDER_LABEL.0] = PROVIDER_LABEL.1.into();
    }
}
