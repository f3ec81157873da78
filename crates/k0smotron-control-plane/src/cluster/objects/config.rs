//! The k0s configuration: generated values, the user's, and how both reach pods (hosted.md 5).

use std::collections::BTreeMap;

use api::defaults::{KINE_PLACEHOLDER, KineSource};
use api::hosted::StorageType;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::cluster::exposure::Endpoint;
use crate::cluster::labels::Component;
use crate::cluster::wanted::Wanted;

/// What was found out about the outside and enters the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered<'a> {
    /// Where the API is reached.
    pub endpoint: &'a Endpoint,
    /// Addresses of the Service inside the cluster.
    pub cluster_ips: &'a [String],
    /// Ports of API and konnectivity in the pod.
    pub ports: (u16, u16),
    /// Former external addresses: workers that joined under them still use them.
    pub former: &'a [String],
}

impl Discovered<'_> {
    /// Changes when the endpoint moves: that alone makes a new template besides a change of the user's (H-51).
    pub fn digest(&self) -> String {
        let Self { endpoint, cluster_ips, ports, former } = self;
        // The node is not in it: two nodes of one address are the same endpoint.
        digest(&json!([endpoint.host, endpoint.port, cluster_ips, ports.0, ports.1, former]))
    }
}

/// The first 16 hex digits of the SHA-256 of a value, whatever the order of its members.
pub fn digest(value: &Value) -> String {
    hex::encode(&Sha256::digest(sorted(value).to_string())[..8])
}

/// A value with its members in alphabetical order.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> =
                members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        scalar => scalar.clone(),
    }
}

/// The whole configuration. `source` is the address of the SQL database, or the placeholder for people's eyes.
pub fn config(wanted: &Wanted<'_>, discovered: &Discovered<'_>, source: Option<&str>) -> Value {
    let mut config = wanted.config.clone();
    let balanced = config.node_local_load_balancing();
    let external = match (wanted.spec.pinned_address(), config.text("api.externalAddress")) {
        (None, Some(own)) => own.to_owned(),
        (Some(_), _) | (None, None) => discovered.endpoint.host.clone(),
    };
    config.add_sans(sans(wanted, discovered, &external));
    config.merge_spec(json!({
        "api": {
            "port": discovered.ports.0,
            "externalAddress": (!balanced).then_some(&external),
            "extraArgs": wanted.probes_anonymously().then(|| json!({"authentication-config": AUTHENTICATION_FILE})),
        },
        "konnectivity": {"agentPort": discovered.ports.1},
    }));
    let mut whole = config.to_value();
    if let Some(spec) = whole.get_mut("spec").and_then(Value::as_object_mut) {
        // Replaced, not merged: another storage than the one that is generated would be another, empty cluster.
        spec.insert("storage".to_owned(), storage(wanted, source));
        if balanced && let Some(Value::Object(api)) = spec.get_mut("api") {
            api.shift_remove("externalAddress");
        }
    }
    whole["metadata"] = json!({"name": "k0s"});
    sorted(&whole)
}

/// Names and addresses under which the API's certificate is valid.
fn sans(wanted: &Wanted<'_>, discovered: &Discovered<'_>, external: &str) -> Vec<String> {
    let (service, namespace, domain) = (wanted.service_name(), &wanted.origin.namespace, &wanted.domain);
    let mut sans = vec![
        external.to_owned(),
        discovered.endpoint.host.clone(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.{domain}"),
        service,
    ];
    sans.extend(discovered.former.iter().cloned());
    sans.extend(discovered.cluster_ips.iter().cloned());
    sans
}

fn storage(wanted: &Wanted<'_>, source: Option<&str>) -> Value {
    match wanted.spec.storage_type() {
        StorageType::Etcd => json!({"type": "etcd", "etcd": {"externalCluster": {
            "endpoints": [format!("https://{}.{}.svc:2379", wanted.names.etcd_clients(), wanted.origin.namespace)],
            "etcdPrefix": wanted.origin.name,
            "caFile": "/run/k0smotron/etcd/ca.crt",
            "clientCertFile": "/run/k0smotron/etcd/tls.crt",
            "clientKeyFile": "/run/k0smotron/etcd/tls.key",
        }}}),
        StorageType::Kine | StorageType::Nats => match source {
            Some(source) => json!({"type": "kine", "kine": {"dataSource": source}}),
            None => json!({"type": "kine"}),
        },
    }
}

/// The part that k0s reads at its start (5.2).
fn static_part(config: &Value) -> Map<String, Value> {
    k0s::ClusterConfig::from_user(Some(config))
        .map(|config| config.cut(&k0s::STATIC).listed)
        .unwrap_or_default()
}

/// The part that is kept in the child, and its digest (H-16). It depends on the user's wishes alone.
///
/// The agents of konnectivity take their port from there although its server takes it from the file, so it is in
/// both: whoever makes the object first, k0s or we, the agents find the server.
pub fn dynamic_part(wanted: &Wanted<'_>) -> (Value, String) {
    let mut part = Value::Object(wanted.config.cut(&k0s::NODE_LOCAL).rest);
    part["konnectivity"]["agentPort"] = wanted.spec.konnectivity_port().into();
    let part = sorted(&part);
    let digest = digest(&part);
    (part, digest)
}

/// The hash in the name of a config Secret: of the static part, with the data source (5.3).
pub fn revision(wanted: &Wanted<'_>, discovered: &Discovered<'_>, source_digest: Option<&str>) -> String {
    let config = config(wanted, discovered, placeholder(wanted));
    let file = wanted.probes_anonymously().then(authentication);
    let text = sorted(&json!([static_part(&config), source_digest, file])).to_string();
    hex::encode(&Sha256::digest(text)[..5])
}

/// What stands for the data source where no secret may stand.
pub fn placeholder(wanted: &Wanted<'_>) -> Option<&'static str> {
    let sql =
        wanted.spec.storage_type() == StorageType::Kine && wanted.spec.kine_source() != KineSource::Sqlite;
    sql.then_some(KINE_PLACEHOLDER)
}

/// The configuration for people.
pub fn config_map(wanted: &Wanted<'_>, discovered: &Discovered<'_>) -> DynamicObject {
    let text = pretty(&config(wanted, discovered, placeholder(wanted)));
    let body = json!({"data": {"K0SMOTRON_K0S_YAML": text}});
    wanted.origin.object(("v1", "ConfigMap"), &wanted.names.config(), Component::ClusterConfig, body)
}

/// One revision of the configuration for pods. It is immutable: a rollback finds the former one as it was.
pub fn config_secret(
    wanted: &Wanted<'_>,
    name: &str,
    discovered: &Discovered<'_>,
    source: Option<&str>,
) -> DynamicObject {
    let mut files = json!({"k0s.yaml": pretty(&config(wanted, discovered, source))});
    if wanted.probes_anonymously() {
        files["authentication.yaml"] = json!(pretty(&authentication()));
    }
    let body = json!({"type": "Opaque", "immutable": true, "stringData": files});
    wanted.origin.secret(name, Component::ClusterConfig, BTreeMap::new(), body)
}

/// Where the API server finds [`authentication`].
const AUTHENTICATION_FILE: &str = "/etc/k0s/authentication.yaml";

/// Lets anonymous callers ask whether the API is well, and nothing else (section 7).
fn authentication() -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": true,
            "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}],
        },
    })
}

/// JSON is YAML that quotes every text: nothing in a data source can be misread (H-34).
fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
