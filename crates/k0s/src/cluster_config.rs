//! ClusterConfig, as raw JSON: only the keys that we must are read or changed (k0s.md 5, hosted.md 5).

use serde_json::{Map, Value, json};

const API_VERSION: &str = "k0s.k0sproject.io/v1beta1";
const KIND: &str = "ClusterConfig";

/// Paths under `spec` that each k0s reads from its own file and that are no part of the object in the cluster
/// (k0s.md 6). One list, for pushing, comparing and the stand-in (K0S-8).
pub const NODE_LOCAL: [&str; 7] = [
    "api",
    "storage",
    "network.serviceCIDR",
    "network.clusterDomain",
    "network.primaryAddressFamily",
    "network.controlPlaneLoadBalancing",
    "installConfig",
];

/// What a hosted control plane reads from its file at each start: the node-local part, and konnectivity, whose
/// server takes its ports from the file (hosted.md 5.2). A change of it is a rollout.
pub const STATIC: [&str; 8] = [
    "api",
    "storage",
    "konnectivity",
    "network.serviceCIDR",
    "network.clusterDomain",
    "network.primaryAddressFamily",
    "network.controlPlaneLoadBalancing",
    "installConfig",
];

/// What is wrong with a configuration: where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct ConfigFault {
    /// Path of the field, beginning with `spec`, `kind` or the like.
    pub path: String,
    /// What is wrong, with the value and the remedy.
    pub why: String,
}

/// A ClusterConfig with its apiVersion and kind.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig(Map<String, Value>);

/// The two halves of a `spec`.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// What stands at the listed paths.
    pub listed: Map<String, Value>,
    /// All else.
    pub rest: Map<String, Value>,
}

impl ClusterConfig {
    /// From what a user wrote, or nothing. A missing apiVersion or kind is filled; another one is refused (H-15).
    pub fn from_user(given: Option<&Value>) -> Result<Self, ConfigFault> {
        let mut object = match given {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(object)) => object.clone(),
            Some(other) => return Err(fault("k0s configuration", format!("{other} is no object"))),
        };
        for (key, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            match object.get(key) {
                None | Some(Value::Null) => {
                    object.insert(key.to_owned(), wanted.into());
                }
                Some(found) if found == wanted => {}
                Some(found) => return Err(fault(key, format!("{found} must be {wanted:?} or absent"))),
            }
        }
        for section in ["spec", "metadata"] {
            if object.get(section).is_some_and(|value| !value.is_object() && !value.is_null()) {
                return Err(fault(section, "must be an object".to_owned()));
            }
        }
        Ok(Self(object))
    }

    /// The whole object.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The value at a dotted path under `spec`, such as `network.serviceCIDR`.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut here = self.0.get("spec")?;
        for key in path.split('.') {
            here = here.get(key)?;
        }
        Some(here).filter(|value| !value.is_null())
    }

    /// The text at a path.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// Puts a value at a dotted path under `spec`, making the maps on the way.
    pub fn set(&mut self, path: &str, value: Value) {
        let nested = path.rsplit('.').fold(value, |inner, key| json!({ key: inner }));
        self.merge_spec(nested);
    }

    /// Puts our values over the user's `spec` (H-15): maps merge, lists and scalars of ours replace, null and
    /// absent values of ours change nothing.
    pub fn merge_spec(&mut self, ours: Value) {
        let mut spec = Value::Object(self.spec());
        merge(&mut spec, ours);
        self.0.insert("spec".to_owned(), spec);
    }

    /// `spec.api.sans` and these, sorted and unique.
    pub fn add_sans(&mut self, more: impl IntoIterator<Item = String>) {
        let own = self.get("api.sans").and_then(Value::as_array).cloned().unwrap_or_default();
        let own = own.iter().filter_map(Value::as_str).map(str::to_owned);
        let mut sans: Vec<String> = own.chain(more).filter(|san| !san.is_empty()).collect();
        sans.sort();
        sans.dedup();
        self.set("api.sans", sans.into());
    }

    /// The `spec`, empty if there is none.
    pub fn spec(&self) -> Map<String, Value> {
        self.0.get("spec").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The `spec` cut along a list of paths ([`NODE_LOCAL`], [`STATIC`]). Merging both halves gives it back.
    pub fn cut(&self, paths: &[&str]) -> Parts {
        let mut rest = self.spec();
        let mut listed = Map::new();
        for path in paths {
            match path.split_once('.') {
                None => {
                    if let Some(value) = rest.shift_remove(*path) {
                        listed.insert((*path).to_owned(), value);
                    }
                }
                Some((section, key)) => {
                    let Some(Value::Object(inner)) = rest.get_mut(section) else { continue };
                    let Some(value) = inner.shift_remove(key) else { continue };
                    if inner.is_empty() {
                        rest.shift_remove(section);
                    }
                    let target = listed.entry(section).or_insert_with(|| json!({}));
                    if let Some(target) = target.as_object_mut() {
                        target.insert(key.to_owned(), value);
                    }
                }
            }
        }
        Parts { listed, rest }
    }

    /// The object `kube-system/k0s` of the child, without the part at `paths` (H-16).
    pub fn dynamic_object(&self, paths: &[&str]) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": { "name": "k0s", "namespace": crate::names::SYSTEM_NAMESPACE },
            "spec": self.cut(paths).rest,
        })
    }

    /// `spec.network.serviceCIDR` or k0s's default.
    pub fn service_cidr(&self) -> &str {
        self.text("network.serviceCIDR").unwrap_or("10.96.0.0/12")
    }

    /// `spec.network.podCIDR` or k0s's default.
    pub fn pod_cidr(&self) -> &str {
        self.text("network.podCIDR").unwrap_or("10.244.0.0/16")
    }

    /// `spec.network.clusterDomain` or k0s's default.
    pub fn cluster_domain(&self) -> &str {
        self.text("network.clusterDomain").unwrap_or("cluster.local")
    }

    /// `spec.network.provider` or k0s's default.
    pub fn network_provider(&self) -> &str {
        self.text("network.provider").unwrap_or("kuberouter")
    }

    /// What k0s cannot change in a cluster that exists (hosted.md 5.2), as it is in force.
    pub fn network(&self) -> Value {
        json!({
            "podCIDR": self.pod_cidr(),
            "serviceCIDR": self.service_cidr(),
            "provider": self.network_provider(),
        })
    }

    /// Whether workers balance over controllers themselves; then no external address may be set (k0s.md 5.1).
    pub fn node_local_load_balancing(&self) -> bool {
        self.get("network.nodeLocalLoadBalancing.enabled").and_then(Value::as_bool).unwrap_or(false)
    }
}

/// Changes that k0s does not survive (hosted.md 5.2), comparing what is in force, so that writing a default down is
/// no change.
pub fn changes_refused(old: &ClusterConfig, new: &ClusterConfig) -> Vec<ConfigFault> {
    let fields = [
        ("spec.network.podCIDR", old.pod_cidr(), new.pod_cidr()),
        ("spec.network.serviceCIDR", old.service_cidr(), new.service_cidr()),
        ("spec.network.provider", old.network_provider(), new.network_provider()),
    ];
    fields
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(path, old, new)| {
            fault(
                path,
                format!("cannot change from {old:?} to {new:?} in a cluster that exists; set it back"),
            )
        })
        .collect()
}

/// Puts `ours` over `theirs`: maps merge, all else of ours replaces, null of ours changes nothing.
pub fn merge(theirs: &mut Value, ours: Value) {
    match (theirs, ours) {
        (_, Value::Null) => {}
        (Value::Object(theirs), Value::Object(ours)) => {
            // Nulls of ours are left out before they could make a key where none was.
            for (key, value) in ours.into_iter().filter(|(_, value)| !value.is_null()) {
                merge(theirs.entry(key).or_insert(Value::Null), value);
            }
        }
        (theirs, Value::Object(ours)) => {
            let mut made = Value::Object(Map::new());
            merge(&mut made, Value::Object(ours));
            *theirs = made;
        }
        (theirs, ours) => *theirs = ours,
    }
}

fn fault(path: &str, why: String) -> ConfigFault {
    ConfigFault { path: path.to_owned(), why }
}
