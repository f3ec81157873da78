//! What a namespace holds: a line per object, with what of it must be the same in every life.

use std::collections::BTreeSet;

use anyhow::Result;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use crate::stage::Stage;

const KINDS: [(&str, &str, &str); 7] = [
    ("", "v1", "Secret"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Service"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Pod"),
    ("apps", "v1", "StatefulSet"),
    ("k0smotron.io", "v1beta2", "Cluster"),
];
const CLUSTER_API: [(&str, &str, &str); 3] = [
    ("cluster.x-k8s.io", "v1beta2", "Cluster"),
    ("controlplane.cluster.x-k8s.io", "v1beta2", "K0smotronControlPlane"),
    ("infrastructure.cluster.x-k8s.io", "v1beta2", "RemoteCluster"),
];

const BAR: &str = " | ";

pub type Picture = BTreeSet<String>;

/// Everything in the stage's namespace but what Kubernetes itself puts there.
pub async fn picture(stage: &Stage) -> Result<Picture> {
    let mut lines = BTreeSet::new();
    // Addresses and the namespace are another in each life.
    let mut own = vec![(stage.namespace().to_owned(), "<namespace>".to_owned())];
    for service in stage.api::<Service>().list(&ListParams::default()).await? {
        let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.clone());
        own.extend(address.map(|address| (address, format!("<address of {}>", service.name_any()))));
    }
    let neutral =
        |line: String| own.iter().fold(line, |line, (own, neutral)| line.replace(own.as_str(), neutral));
    let more = if stage.managers.cluster_api { &CLUSTER_API[..] } else { &[] };
    for (group, version, kind) in KINDS.iter().chain(more) {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let plural = format!("{}s", kind.to_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
        let api: Api<DynamicObject> = Api::namespaced_with(stage.admin.clone(), stage.namespace(), &resource);
        for object in api.list(&ListParams::default()).await? {
            if object.name_any() != "kube-root-ca.crt" {
                lines.insert(neutral(line(group, kind, &object)));
            }
        }
    }
    Ok(lines)
}

/// What one has and the other has not; of an object that both have, what differs.
pub fn difference(wanted: &Picture, is: &Picture) -> String {
    let name = |line: &str| line.splitn(3, BAR).take(2).collect::<Vec<_>>().join(BAR);
    let only = |line: &String, others: &Picture| {
        let same: Vec<_> = others.iter().filter(|other| name(other) == name(line)).collect();
        let differs = |part: &&str| same.iter().all(|other| !other.split(BAR).any(|one| one == *part));
        let parts: Vec<_> = line.split(BAR).filter(differs).collect();
        format!("{}: {}\n", name(line), parts.join(BAR))
    };
    let missing = wanted.difference(is).map(|line| format!("- {}", only(line, is)));
    missing.chain(is.difference(wanted).map(|line| format!("+ {}", only(line, wanted)))).collect()
}

fn line(group: &str, kind: &str, object: &DynamicObject) -> String {
    let mut parts = vec![kind.to_owned(), name(object)];
    if !group.is_empty() {
        parts[0] = format!("{kind}.{group}");
    }
    if !object.finalizers().is_empty() && kind != "PersistentVolumeClaim" {
        parts.push(format!("held by {}", object.finalizers().join(", ")));
    }
    let all = object.data.as_object().into_iter().flatten();
    let body: Value = all.map(|(key, value)| (key.clone(), value.clone())).collect();
    for path in matters(kind) {
        if let Some(value) = body.pointer(path).filter(|value| !value.is_null()) {
            parts.push(format!("{path}: {value}"));
        }
    }
    parts.extend(conditions(&body["status"], kind));
    parts.extend(members(&body).map(|members| format!("members: {members}")));
    parts.join(BAR)
}

/// The hash in the name of a configuration comes from addresses, which differ from life to life.
fn name(object: &DynamicObject) -> String {
    let name = object.name_any();
    match name.split_once("-config-") {
        Some((front, hash)) if hash.len() >= 8 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("{front}-config-<hash>")
        }
        _ => name,
    }
}

fn matters(kind: &str) -> &'static [&'static str] {
    match kind {
        "Secret" => &["/type"],
        "Service" => &["/spec/type", "/spec/ports/0/port", "/spec/ports/1/port"],
        "Pod" => &["/spec/containers/0/image"],
        "StatefulSet" => &["/spec/replicas", "/spec/template/spec/containers/0/image"],
        "Cluster" | "K0smotronControlPlane" | "RemoteCluster" => &[
            "/spec/controlPlaneEndpoint",
            "/spec/k0sConfig",
            "/status/initialization",
            "/status/externalManagedControlPlane",
            "/status/replicas",
            "/status/readyReplicas",
            "/status/updatedReplicas",
            "/status/upToDateReplicas",
            "/status/availableReplicas",
            "/status/selector",
            "/status/version",
            "/status/versions",
            "/status/externalAddress",
            "/status/formerExternalAddresses",
            "/status/template/layout",
        ],
        _ => &[],
    }
}

fn conditions(status: &Value, kind: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = status["conditions"].as_array().into_iter().flatten();
    let mut all: Vec<_> = all
        // Of a pod only the readiness is a matter of ours.
        .filter(|one| kind != "Pod" || one["type"] == "Ready")
        .map(|one| format!("{}={} {}", text(&one["type"]), text(&one["status"]), text(&one["reason"])))
        .collect();
    all.sort();
    all
}

/// Members of etcd, as the record and as the status name them.
fn members(body: &Value) -> Option<String> {
    let record: Option<Value> =
        body["data"]["members.json"].as_str().and_then(|text| serde_json::from_str(text).ok());
    let (members, state) = match &record {
        Some(record) => {
            let spare = record["retired"].as_array().map_or(0, Vec::len);
            (&record["members"], format!("{} joining {} retired {spare}", record["phase"], record["joining"]))
        }
        None => (&body["status"]["etcd"]["members"], String::new()),
    };
    let member = |one: &Value| format!("{} ready {} learner {}", one["name"], one["ready"], one["learner"]);
    Some(format!("{} {state}", members.as_array()?.iter().map(member).collect::<Vec<_>>().join(", ")))
}
