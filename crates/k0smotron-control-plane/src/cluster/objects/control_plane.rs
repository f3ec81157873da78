//! The StatefulSet of the control plane (hosted.md 6 and 7).

use api::hosted::CertificateType;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::config::Discovered;
use crate::cluster::labels::Component;
use crate::cluster::template::Template;
use crate::cluster::wanted::{DataVolume, Wanted, canonical};

/// Prepares the PKI and becomes k0s. `server.*` go, so that k0s issues them with the names of the present config.
/// k0s issues its other certificates for a year at each start (H-12).
const SCRIPT: &str = "mkdir -p /var/lib/k0s/pki\n\
    rm -f /var/lib/k0s/pki/server.*\n\
    cp /run/k0smotron/pki/* /var/lib/k0s/pki/\n";
const RUN: &str = "exec k0s \"$@\"\n";
/// 305 days: data on an emptyDir would go with the pod, so the container is started anew in place (H-12).
const RUN_FOR_305_DAYS: &str = "exec timeout 26352000 k0s \"$@\"\n";

/// Readable by k0s' unprivileged components.
const MODE_PUBLIC: u32 = 0o444;
/// Certificates among the PKI; k0s' own mode for them.
const MODE_CERTIFICATE: u32 = 0o644;
/// Keys among the PKI; k0s' own mode for them.
const MODE_KEY: u32 = 0o640;
/// The configuration may hold the password of a database; k0s itself reads it as root.
const MODE_CONFIG: u32 = 0o600;

/// The StatefulSet, with a template that is new or kept.
pub fn stateful_set(wanted: &Wanted<'_>, template: &Template) -> DynamicObject {
    let claims = match &wanted.data {
        DataVolume::Claim(spec) => Some(json!([claim_template(&wanted.data_name, spec.clone())])),
        DataVolume::EmptyDir | DataVolume::HostPath(_) => None,
    };
    let retention = wanted.spec.auto_delete_claims().then(|| json!({"whenDeleted": "Delete"}));
    let body = json!({"spec": {
        "replicas": wanted.spec.effective_replicas(),
        "selector": {"matchLabels": wanted.origin.control_plane_selector()},
        "serviceName": "",
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "OnDelete"},
        "persistentVolumeClaimRetentionPolicy": retention.filter(|_| claims.is_some()),
        "volumeClaimTemplates": claims,
        "template": template.body,
    }});
    let labels = wanted.origin.labels(Component::ControlPlane);
    wanted.origin.object_with(
        ("apps/v1", "StatefulSet"),
        &wanted.names.control_plane(),
        labels,
        template.annotations.clone(),
        body,
    )
}

/// A claim template as the API server stores it: the list is one value to it, so its defaults must be in it.
pub fn claim_template(name: &str, mut spec: Value) -> Value {
    if spec.get("volumeMode").is_none() {
        spec["volumeMode"] = json!("Filesystem");
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec,
        "status": {"phase": "Pending"},
    })
}

/// The pod template of layout 1: a pure function of the user's wishes and the static configuration (H-18).
pub fn template(wanted: &Wanted<'_>, discovered: &Discovered<'_>, config_secret: &str) -> Value {
    let (api, konnectivity) = discovered.ports;
    let run = if wanted.loses_data_with_its_pod() { RUN_FOR_305_DAYS } else { RUN };
    let mut args = vec![
        json!("/bin/sh"),
        json!("-ec"),
        json!(format!("{SCRIPT}{run}")),
        json!("k0smotron"),
        json!("controller"),
    ];
    args.extend(wanted.flags.iter().map(|flag| json!(flag)));
    let mut mounts = vec![
        json!({"name": wanted.data_name, "mountPath": "/var/lib/k0s"}),
        json!({"name": "certs", "mountPath": "/run/k0smotron/pki", "readOnly": true}),
        json!({"name": "k0s-config", "mountPath": "/etc/k0s/k0s.yaml", "subPath": "k0s.yaml", "readOnly": true}),
    ];
    if wanted.probes_anonymously() {
        mounts.push(json!({"name": "k0s-config", "mountPath": "/etc/k0s/authentication.yaml", "subPath": "authentication.yaml", "readOnly": true}));
    }
    if wanted.uses_etcd() {
        mounts.push(json!({"name": "etcd-client", "mountPath": "/run/k0smotron/etcd", "readOnly": true}));
    }
    mounts.push(json!({"name": wanted.names.own_volume("telemetry"), "mountPath": "/var/lib/k0s/manifests/k0s-telemetry", "readOnly": true}));
    mounts.push(json!({"name": wanted.names.own_volume("endpoint"), "mountPath": "/var/lib/k0s/manifests/k0smotron-endpoint", "readOnly": true}));
    for volume in &wanted.volumes {
        mounts.push(json!({"name": volume.name, "mountPath": volume.path, "readOnly": volume.read_only.then_some(true)}));
    }
    let low_port = api.min(konnectivity) < 1024;
    let mut pod_security = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    if low_port {
        pod_security["sysctls"] = json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]);
    }
    let (restart_at, _) = wanted.restart_at();
    canonical_template(json!({
        "metadata": {
            "labels": wanted.origin.control_plane_pod(),
            "annotations": restart_at.map(|value| json!({"k0smotron.io/restart-at": value})),
        },
        "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "serviceAccountName": wanted.spec.wanted_service_account(),
            "terminationGracePeriodSeconds": 60,
            "securityContext": pod_security,
            "affinity": affinity(&json!(wanted.origin.control_plane_selector())),
            "topologySpreadConstraints": spread(wanted),
            "containers": [{
                "name": "controller",
                "image": wanted.image,
                "imagePullPolicy": "IfNotPresent",
                "args": args,
                "ports": [
                    {"name": "api", "containerPort": api, "protocol": "TCP"},
                    {"name": "konnectivity", "containerPort": konnectivity, "protocol": "TCP"},
                ],
                "resources": wanted.spec.resources.as_ref().map(|resources| canonical(json!(resources))).filter(says_something),
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"]},
                },
                // The Service forgets the pod before the API stops.
                "lifecycle": {"preStop": {"exec": {"command": ["sleep", "3"]}}},
                "startupProbe": readiness(wanted, api, &STARTING),
                "readinessProbe": readiness(wanted, api, &SERVING),
                "livenessProbe": {"tcpSocket": {"port": api}, "periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 6},
                "volumeMounts": mounts,
            }],
            "volumes": volumes(wanted, config_secret),
        },
    }))
}

/// Removes what is absent; user-written parts are canonical already.
fn canonical_template(template: Value) -> Value {
    crate::cluster::labels::clean(template)
}

/// An empty map of the user's is the same as none.
pub fn says_something(value: &Value) -> bool {
    value.as_object().is_none_or(|members| !members.is_empty())
}

/// Pods of one cluster rather go to different zones, and to different nodes.
pub fn affinity(selector: &Value) -> Value {
    let term = |weight: i32, key: &str| json!({"weight": weight, "podAffinityTerm": {"labelSelector": {"matchLabels": selector}, "topologyKey": key}});
    json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        term(100, "topology.kubernetes.io/zone"),
        term(50, "kubernetes.io/hostname"),
    ]}})
}

/// The user's own constraints.
pub fn spread(wanted: &Wanted<'_>) -> Option<Value> {
    let constraints = &wanted.spec.topology_spread_constraints;
    (!constraints.is_empty()).then(|| canonical(json!(constraints)))
}

/// Seconds between two probes, seconds until one has failed, and failures until the pod counts as not ready.
type Timing = (i32, i32, i32);

/// When the API is asked, in either form.
struct Asking {
    https: Timing,
    exec: Timing,
    /// How long the program of the exec form waits for an answer.
    answer: &'static str,
}

/// Probes take turns: one that hangs because a starting API took its question and lost it keeps the next from seeing
/// that it answers, so that one gives up early.
const STARTING: Asking = Asking { https: (1, 5, 600), exec: (1, 5, 600), answer: "--request-timeout=2s" };
const SERVING: Asking = Asking { https: (10, 5, 3), exec: (30, 10, 2), answer: "--request-timeout=9s" };

/// Readiness is the API's own `/readyz` (H-19).
fn readiness(wanted: &Wanted<'_>, api: u16, asking: &Asking) -> Value {
    let (action, probe, (period, timeout, failures)) = if wanted.probes_anonymously() {
        ("httpGet", json!({"path": "/readyz", "port": api, "scheme": "HTTPS"}), asking.https)
    } else {
        let kubectl = ["k0s", "kubectl", "--kubeconfig", k0s::names::ADMIN_KUBECONFIG, asking.answer];
        let command = [&kubectl[..], &["get", "--raw", "/readyz"]].concat();
        ("exec", json!({"command": command}), asking.exec)
    };
    json!({action: probe, "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures})
}

fn volumes(wanted: &Wanted<'_>, config_secret: &str) -> Vec<Value> {
    let mut volumes = Vec::new();
    match &wanted.data {
        DataVolume::EmptyDir => volumes.push(json!({"name": wanted.data_name, "emptyDir": {}})),
        DataVolume::HostPath(path) => volumes
            .push(json!({"name": wanted.data_name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}})),
        DataVolume::Claim(_) => {}
    }
    let source = |purpose: CertificateType, certificate: &str, key: &str| {
        json!({"secret": {"name": wanted.certificate_secret(purpose), "items": [
            {"key": "tls.crt", "path": certificate, "mode": MODE_CERTIFICATE},
            {"key": "tls.key", "path": key, "mode": MODE_KEY},
        ]}})
    };
    volumes.push(json!({"name": "certs", "projected": {"sources": [
        source(CertificateType::Ca, "ca.crt", "ca.key"),
        source(CertificateType::Sa, "sa.pub", "sa.key"),
        source(CertificateType::Proxy, "front-proxy-ca.crt", "front-proxy-ca.key"),
    ]}}));
    let mut files = vec![json!({"key": "k0s.yaml", "path": "k0s.yaml", "mode": MODE_CONFIG})];
    if wanted.probes_anonymously() {
        files.push(json!({"key": "authentication.yaml", "path": "authentication.yaml", "mode": MODE_PUBLIC}));
    }
    volumes.push(json!({"name": "k0s-config", "secret": {"secretName": config_secret, "items": files}}));
    if wanted.uses_etcd() {
        volumes.push(json!({"name": "etcd-client", "projected": {"defaultMode": MODE_PUBLIC, "sources": [
            {"secret": {"name": wanted.certificate_secret(CertificateType::Etcd), "items": [{"key": "tls.crt", "path": "ca.crt"}]}},
            {"secret": {"name": wanted.certificate_secret(CertificateType::ApiserverEtcdClient), "items": [
                {"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"},
            ]}},
        ]}}));
    }
    volumes.push(json!({"name": wanted.names.own_volume("telemetry"), "configMap": {"name": wanted.names.telemetry()}}));
    // The address may become known after the pod: its manifest arrives in the running pod.
    volumes.push(json!({"name": wanted.names.own_volume("endpoint"), "configMap": {"name": wanted.names.endpoint(), "optional": true}}));
    volumes.extend(wanted.volumes.iter().map(|volume| volume.volume.clone()));
    volumes
}
