//! The objects of etcd: two Services, the membership record, the StatefulSet (hosted.md 9.1, 9.3).

use api::hosted::CertificateType;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::control_plane::{affinity, claim_template, says_something, spread};
use crate::cluster::labels::{Component, clean};
use crate::cluster::record::Record;
use crate::cluster::template::Template;
use crate::cluster::wanted::{Wanted, canonical};

/// Starts from what is on the volume, else waits until the record names this member and says how to start.
/// Without a line for it a member never starts: that is what keeps a second cluster from being born (H-30).
///
/// The log decides, as it does for etcd itself: a start that failed leaves the directory `member` without one, and
/// etcd would then begin a cluster of its own if it were not told that the cluster exists.
const SCRIPT: &str = r#"if ls /var/lib/k0s/etcd/member/wal/*.wal > /dev/null 2>&1; then
  set -- --initial-cluster-state=existing "$@"
else
  until [ -s "/etc/k0smotron/etcd/$POD_NAME" ]; do sleep 1; done
  { read -r state; read -r members; } < "/etc/k0smotron/etcd/$POD_NAME"
  set -- "--initial-cluster-state=$state" "--initial-cluster=$members" "$@"
fi
exec etcd "--name=$POD_NAME" "--initial-advertise-peer-urls=https://$POD_NAME.$PEERS:2380" "--advertise-client-urls=https://$POD_NAME.$PEERS:2379" "$@"
"#;

/// Where a member finds its certificates.
const PKI: &str = "/var/lib/k0s/pki/etcd";
/// The group that owns the data of etcd's image.
const GROUP: i64 = 1001;
/// Readable by etcd's group only.
const MODE_KEY: u32 = 0o640;

/// The headless Service, for peers: members must find each other before they are Ready.
pub fn peer_service(wanted: &Wanted<'_>) -> DynamicObject {
    let body = json!({"spec": {
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": wanted.origin.etcd_selector(),
        "ports": [
            {"name": "client", "port": 2379, "protocol": "TCP", "targetPort": 2379},
            {"name": "peer", "port": 2380, "protocol": "TCP", "targetPort": 2380},
        ],
    }});
    wanted.origin.object(("v1", "Service"), &wanted.names.etcd_peers(), Component::Etcd, body)
}

/// The Service for API servers: neither a dead member nor a learner gets their requests.
pub fn client_service(wanted: &Wanted<'_>) -> DynamicObject {
    let body = json!({"spec": {
        "type": "ClusterIP",
        "selector": wanted.origin.etcd_selector(),
        "ports": [{"name": "client", "port": 2379, "protocol": "TCP", "targetPort": 2379}],
    }});
    wanted.origin.object(("v1", "Service"), &wanted.names.etcd_clients(), Component::Etcd, body)
}

/// The ConfigMap that records membership.
pub fn members(wanted: &Wanted<'_>, record: &Record) -> DynamicObject {
    let mut data = record.files(&peers(wanted));
    data.insert("members.json".to_owned(), record.text());
    let body = json!({ "data": data });
    wanted.origin.object(("v1", "ConfigMap"), &wanted.names.etcd_members(), Component::Etcd, body)
}

/// The domain under which peers find each other.
pub fn peers(wanted: &Wanted<'_>) -> String {
    wanted.names.etcd_peers()
}

/// The domain of members' names in their certificates.
pub fn domain(wanted: &Wanted<'_>) -> String {
    format!("{}.{}.svc", wanted.names.etcd_peers(), wanted.origin.namespace)
}

/// The StatefulSet, with a template that is new or kept.
pub fn stateful_set(wanted: &Wanted<'_>, replicas: i32, template: &Template) -> DynamicObject {
    let (size, class) = wanted.spec.etcd_volume();
    let claim = json!({
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": class,
        "resources": {"requests": {"storage": crate::cluster::quantity::canonical(&size.0)}},
    });
    let retention = wanted.spec.auto_delete_etcd_claims().then(|| json!({"whenDeleted": "Delete"}));
    let body = json!({"spec": {
        "replicas": replicas,
        "selector": {"matchLabels": wanted.origin.etcd_selector()},
        "serviceName": wanted.names.etcd_peers(),
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "OnDelete"},
        "persistentVolumeClaimRetentionPolicy": retention,
        "volumeClaimTemplates": [claim_template("etcd-data", clean(claim))],
        "template": template.body,
    }});
    let labels = wanted.origin.labels(Component::Etcd);
    wanted.origin.object_with(
        ("apps/v1", "StatefulSet"),
        &wanted.names.etcd(),
        labels,
        template.annotations.clone(),
        body,
    )
}

/// The pod template of layout 1. It does not depend on the number of members (H-18).
pub fn template(wanted: &Wanted<'_>) -> Value {
    let mut args = vec![json!("/bin/sh"), json!("-ec"), json!(SCRIPT), json!("etcd")];
    args.extend(arguments(wanted).into_iter().map(Value::from));
    let health = json!({"command": [
        "etcdctl", "--endpoints=https://127.0.0.1:2379", format!("--cacert={PKI}/ca.crt"),
        format!("--cert={PKI}/server.crt"), format!("--key={PKI}/server.key"), "endpoint", "health",
    ]});
    let pair = |purpose: CertificateType, name: &str| {
        json!({"secret": {"name": wanted.certificate_secret(purpose), "items": [
            {"key": "tls.crt", "path": format!("{name}.crt")},
            {"key": "tls.key", "path": format!("{name}.key"), "mode": MODE_KEY},
        ]}})
    };
    let (_, restart_at) = wanted.restart_at();
    let resources = wanted.spec.etcd().and_then(|etcd| etcd.resources.as_ref());
    clean(json!({
        "metadata": {
            "labels": wanted.origin.etcd_pod(),
            "annotations": restart_at.map(|value| json!({"k0smotron.io/restart-at": value})),
        },
        "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "serviceAccountName": wanted.spec.wanted_service_account(),
            "securityContext": {"fsGroup": GROUP, "seccompProfile": {"type": "RuntimeDefault"}},
            "affinity": affinity(&json!(wanted.origin.etcd_selector())),
            "topologySpreadConstraints": spread(wanted),
            "containers": [{
                "name": "etcd",
                "image": wanted.etcd_image,
                "imagePullPolicy": "IfNotPresent",
                "command": args,
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "PEERS", "value": peers(wanted)},
                ],
                "ports": [
                    {"name": "client", "containerPort": 2379, "protocol": "TCP"},
                    {"name": "peer", "containerPort": 2380, "protocol": "TCP"},
                ],
                "resources": resources.map(|resources| canonical(json!(resources))).filter(says_something),
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "startupProbe": {"exec": health, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 300},
                "readinessProbe": {"exec": health, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
                "livenessProbe": {"tcpSocket": {"port": 2379}, "periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 6},
                "volumeMounts": [
                    {"name": "etcd-data", "mountPath": "/var/lib/k0s/etcd"},
                    {"name": "certs", "mountPath": PKI, "readOnly": true},
                    {"name": "members", "mountPath": "/etc/k0smotron/etcd", "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "certs", "projected": {"sources": [
                    {"secret": {"name": wanted.certificate_secret(CertificateType::Etcd), "items": [{"key": "tls.crt", "path": "ca.crt"}]}},
                    pair(CertificateType::EtcdServer, "server"),
                    pair(CertificateType::EtcdPeer, "peer"),
                ]}},
                // A member with data starts without the record, which may have been deleted (H-30).
                {"name": "members", "configMap": {"name": wanted.names.etcd_members(), "optional": true}},
            ],
        },
    }))
}

/// Arguments of etcd that are the same for every member; the user's come before the data directory.
fn arguments(wanted: &Wanted<'_>) -> Vec<String> {
    let mut args: Vec<String> = [
        "--listen-peer-urls=https://0.0.0.0:2380",
        "--listen-client-urls=https://0.0.0.0:2379",
        "--client-cert-auth=true",
        "--peer-client-cert-auth=true",
        "--tls-min-version=TLS1.2",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
    ]
    .map(ToOwned::to_owned)
    .into();
    args.push(format!("--initial-cluster-token={}", wanted.origin.uid));
    for (flag, file) in [
        ("--trusted-ca-file", "ca.crt"),
        ("--cert-file", "server.crt"),
        ("--key-file", "server.key"),
        ("--peer-trusted-ca-file", "ca.crt"),
        ("--peer-cert-file", "peer.crt"),
        ("--peer-key-file", "peer.key"),
    ] {
        args.push(format!("{flag}={PKI}/{file}"));
    }
    if minor(&wanted.etcd_image).is_some_and(|version| version < (3, 6)) {
        // etcd 3.6 chose better by itself.
        args.push("--snapshot-count=10000".to_owned());
    }
    args.extend(wanted.spec.etcd().into_iter().flat_map(|etcd| etcd.args.iter().cloned()));
    args.push("--data-dir=/var/lib/k0s/etcd".to_owned());
    args
}

/// Major and minor version in the tag of an image.
pub fn minor(image: &str) -> Option<(u32, u32)> {
    let (_, tag) = image.rsplit_once(':')?;
    let mut numbers = tag.trim_start_matches('v').split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn the_version_of_etcd_is_read_from_its_tag() {
        assert_eq!(minor("quay.io/k0sproject/etcd:v3.5.13"), Some((3, 5)));
        assert_eq!(minor("host:5000/etcd:3.6.0-k0s.0"), Some((3, 6)));
        assert_eq!(minor("host:5000/etcd"), None);
    }
}
