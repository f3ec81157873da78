//! What the watches keep of each object: the facts that decisions need, no more.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::names::ordinal;

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetFact {
    /// Pods that are wanted of it.
    pub replicas: i32,
    /// Its pod template as JSON text: text takes a third of the room of a tree.
    pub template: String,
    /// The controller has seen the newest spec.
    pub current: bool,
    /// Revision of the pods that are to come.
    pub update_revision: String,
}

impl SetFact {
    /// The pod template.
    pub fn template(&self) -> Value {
        serde_json::from_str(&self.template).unwrap_or_default()
    }

    /// Image of the first container.
    pub fn image(&self) -> Option<String> {
        Some(self.template().pointer("/spec/containers/0/image")?.as_str()?.to_owned())
    }
}

/// Reads a StatefulSet.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
pub fn set(object: DynamicObject) -> anyhow::Result<SetFact> {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    Ok(SetFact {
        replicas: number(&spec["replicas"]),
        template: spec["template"].to_string(),
        current: status["observedGeneration"].as_i64() == object.metadata.generation,
        update_revision: text(&status["updateRevision"]),
    })
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodFact {
    /// Revision of its StatefulSet that it was made from.
    pub revision: String,
    /// Since when it has been Ready; `None`: it is not.
    pub ready_since: Option<Timestamp>,
    /// Its address.
    pub ip: Option<String>,
    /// Image of its first container.
    pub image: String,
    /// Its first container runs since then.
    pub running_since: Option<Timestamp>,
    /// Why it does not get on, in the words of scheduler or kubelet.
    pub trouble: Option<String>,
    /// The config Secret that it mounts.
    pub config: Option<String>,
}

/// Reads a pod.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
pub fn pod(object: DynamicObject) -> anyhow::Result<PodFact> {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let condition = |type_: &str| status["conditions"].as_array()?.iter().find(|one| one["type"] == type_);
    let ready = condition("Ready").filter(|ready| ready["status"] == "True");
    let labels = object.metadata.labels.unwrap_or_default();
    let first = spec["containers"][0]["name"].as_str().unwrap_or_default();
    let container =
        status["containerStatuses"].as_array().into_iter().flatten().find(|one| one["name"] == first);
    let unscheduled = condition("PodScheduled").filter(|scheduled| scheduled["status"] == "False");
    Ok(PodFact {
        revision: labels.get("controller-revision-hash").cloned().unwrap_or_default(),
        ready_since: ready.and_then(|ready| time(&ready["lastTransitionTime"])),
        ip: status["podIP"].as_str().filter(|ip| !ip.is_empty()).map(ToOwned::to_owned),
        image: text(&spec["containers"][0]["image"]),
        running_since: container.and_then(|container| time(&container["state"]["running"]["startedAt"])),
        trouble: unscheduled
            .and_then(|why| why["message"].as_str().map(ToOwned::to_owned))
            .or_else(|| container.and_then(container_trouble)),
        config: config_secret(spec),
    })
}

/// Why a container does not run, in the kubelet's words.
fn container_trouble(status: &Value) -> Option<String> {
    let waiting = &status["state"]["waiting"];
    let ended = &status["state"]["terminated"];
    let last = &status["lastState"]["terminated"];
    let words = |state: &Value| {
        let reason = state["reason"].as_str()?;
        // These are on the way, not in trouble.
        if matches!(reason, "ContainerCreating" | "PodInitializing" | "Completed") {
            return None;
        }
        let message = state["message"].as_str().map(|message| format!(": {}", message.trim()));
        let code = state["exitCode"].as_i64().map(|code| format!(" (exit code {code})"));
        Some(format!("{reason}{}{}", code.unwrap_or_default(), message.unwrap_or_default()))
    };
    match (words(waiting), words(last)) {
        (Some(now), Some(before)) => Some(format!("{now}; before that {before}")),
        (Some(now), None) => Some(now),
        (None, _) => words(ended),
    }
}

/// The volume that holds the k0s configuration names its Secret.
pub fn config_secret(pod_spec: &Value) -> Option<String> {
    let volumes = pod_spec["volumes"].as_array()?;
    let config = volumes.iter().find(|volume| volume["name"] == "k0s-config")?;
    Some(config["secret"]["secretName"].as_str()?.to_owned())
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceFact {
    /// Its addresses inside the cluster.
    pub cluster_ips: Vec<String>,
    /// Node ports by port name.
    pub node_ports: BTreeMap<String, u16>,
    /// The first address of the load balancer.
    pub balancer: Option<String>,
}

/// Reads a Service.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
pub fn service(object: DynamicObject) -> anyhow::Result<ServiceFact> {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let ports = spec["ports"].as_array().into_iter().flatten();
    let node_port = |port: &Value| {
        let number = u16::try_from(port["nodePort"].as_u64()?).ok()?;
        Some((port["name"].as_str()?.to_owned(), number))
    };
    let ips = spec["clusterIPs"].as_array().into_iter().flatten().filter_map(|ip| ip.as_str());
    let first = &status["loadBalancer"]["ingress"][0];
    let address = first["ip"].as_str().or_else(|| first["hostname"].as_str());
    Ok(ServiceFact {
        cluster_ips: ips.filter(|ip| !ip.is_empty() && *ip != "None").map(ToOwned::to_owned).collect(),
        node_ports: ports.filter_map(node_port).collect(),
        balancer: address.map(ToOwned::to_owned),
    })
}

/// A Secret: what can be said of it without its bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretFact {
    /// Its type.
    pub type_: String,
    /// Its keys.
    pub keys: Vec<String>,
    /// Digest of its data.
    pub digest: String,
    /// Digest of the certificate or public key in `tls.crt`.
    pub certificate: Option<String>,
    /// Life of that certificate, or of the client certificate in a kubeconfig.
    pub life: Option<(Timestamp, Timestamp)>,
    /// Server in a kubeconfig.
    pub server: Option<String>,
}

/// Reads a Secret.
pub fn secret(object: DynamicObject) -> anyhow::Result<SecretFact> {
    let typed: k8s_openapi::api::core::v1::Secret = reconcile::typed(object)?;
    Ok(secret_fact(&typed))
}

/// Reads a Secret that was got by name.
pub fn secret_fact(secret: &k8s_openapi::api::core::v1::Secret) -> SecretFact {
    let data = secret.data.clone().unwrap_or_default();
    let certificate = data.get("tls.crt").map(|bytes| &*bytes.0);
    let kubeconfig = data.get("value").and_then(|bytes| pki::Kubeconfig::parse(&bytes.0).ok());
    let client = kubeconfig.as_ref().and_then(|kubeconfig| match &kubeconfig.credentials {
        pki::Credentials::Certificate { certificate, .. } => Some(&**certificate),
        _ => None,
    });
    SecretFact {
        type_: secret.type_.clone().unwrap_or_default(),
        keys: data.keys().cloned().collect(),
        digest: digest_of(data.iter().map(|(key, bytes)| (&**key, &*bytes.0))),
        certificate: certificate.and_then(|pem| pki::certificates_digest(pem).ok()),
        life: certificate.or(client).and_then(life),
        server: kubeconfig.map(|kubeconfig| kubeconfig.server),
    }
}

/// Digest of the data of a Secret.
pub fn digest_of<'a>(data: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (key, bytes) in data {
        for part in [key.as_bytes(), bytes] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    hex::encode(&hash.finalize()[..16])
}

/// From when to when the first certificate of a PEM text is valid.
fn life(pem: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let certificate = block.parse_x509().ok()?;
    let validity = certificate.validity();
    let from = Timestamp::from_second(validity.not_before.timestamp()).ok()?;
    Some((from, Timestamp::from_second(validity.not_after.timestamp()).ok()?))
}

/// A ConfigMap of ours: only the membership record is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapFact {
    /// The text of key `members.json`.
    pub members: Option<String>,
    /// The other keys of a membership record.
    pub keys: Vec<String>,
}

/// Reads a ConfigMap.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
pub fn config_map(object: DynamicObject) -> anyhow::Result<ConfigMapFact> {
    let Some(data) = object.data["data"].as_object() else { return Ok(ConfigMapFact::default()) };
    let members = data.get("members.json").map(text);
    let keys = if members.is_some() {
        data.keys().filter(|key| *key != "members.json").cloned().collect()
    } else {
        Vec::new()
    };
    Ok(ConfigMapFact { members, keys })
}

/// A volume claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimFact {
    /// `Pending`, `Bound` or `Lost`.
    pub phase: String,
    /// The volume it is bound to, or was promised.
    pub volume: String,
}

/// Reads a volume claim.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
pub fn claim(object: DynamicObject) -> anyhow::Result<ClaimFact> {
    let data = &object.data;
    Ok(ClaimFact { phase: text(&data["status"]["phase"]), volume: text(&data["spec"]["volumeName"]) })
}

/// A node of the hosting cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeFact {
    /// Whether pods may go there.
    pub schedulable: bool,
    /// Whether it is Ready.
    pub ready: bool,
    /// Since when that has been so.
    pub since: Option<Timestamp>,
    /// Its address for the outside: external before internal.
    pub address: Option<String>,
}

/// Reads a node.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
pub fn node(object: DynamicObject) -> anyhow::Result<NodeFact> {
    let status = &object.data["status"];
    let ready = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
    let addresses = status["addresses"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |type_: &str| {
        addresses.iter().find(|one| one["type"] == type_)?["address"].as_str().map(ToOwned::to_owned)
    };
    Ok(NodeFact {
        schedulable: object.data["spec"]["unschedulable"] != true,
        ready: ready.is_some_and(|ready| ready["status"] == "True"),
        since: ready.and_then(|ready| time(&ready["lastTransitionTime"])),
        address: of("ExternalIP").or_else(|| of("ExternalDNS")).or_else(|| of("InternalIP")),
    })
}

/// An object together with the metadata that decisions need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seen<F> {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// It is being deleted.
    pub deleting: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations of ours.
    pub annotations: BTreeMap<String, String>,
    /// The uid of its controller.
    pub controller: Option<String>,
    /// Kind and name of its controller, for people.
    pub controller_name: Option<String>,
    /// What was read of its body.
    #[serde(flatten)]
    pub fact: F,
}

impl<F: Clone> Seen<F> {
    /// From an entry of a watch cache.
    pub fn of(entry: &reconcile::Entry<F>) -> Self {
        let meta = &entry.meta;
        let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let annotations = meta.annotations.clone().unwrap_or_default();
        Self {
            name: entry.name().to_owned(),
            uid: entry.uid().to_owned(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: entry.deleting(),
            labels: meta.labels.clone().unwrap_or_default(),
            annotations: annotations
                .into_iter()
                .filter(|(key, _)| key.starts_with(super::labels::OURS))
                .collect(),
            controller: controller.map(|owner| owner.uid.clone()),
            controller_name: controller.map(|owner| format!("{} {}", owner.kind, owner.name)),
            fact: entry.fact.clone(),
        }
    }
}

impl<F> Seen<F> {
    /// Its ordinal, if it is a pod or claim of a StatefulSet.
    pub fn ordinal(&self) -> Option<i32> {
        ordinal(&self.name)
    }

    /// One of our annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> i32 {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}
