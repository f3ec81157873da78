//! What our field manager owns in a live object, as a digest that can be compared with what we want.
//!
//! `managedFields` names every field that our last server-side apply set. Reading exactly these fields out of
//! the live object gives back what was applied, unless somebody changed it since; so equal digests mean that
//! applying again would change nothing, and no request is needed to know it.

use std::fmt;

use kube::api::DynamicObject;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::FIELD_MANAGER;

/// The digest of a set of fields with their values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", hex::encode(&self.0[..4]))
    }
}

/// Which part of an object a digest is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// Everything but the status.
    Main,
    /// The status.
    Status,
}

/// The digest of what our field manager owns; `None` if it never applied this object.
pub fn owned_digest(object: &DynamicObject) -> Option<Digest> {
    digest_of_owner(object, Part::Main)
}

pub(crate) fn digest_of_owner(object: &DynamicObject, part: Part) -> Option<Digest> {
    let subresource = match part {
        Part::Main => None,
        Part::Status => Some("status"),
    };
    let ours = object.metadata.managed_fields.iter().flatten().find(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().filter(|s| !s.is_empty()) == subresource
    })?;
    let fields = ours.fields_v1.as_ref()?.0.as_object()?.clone();
    let live = serde_json::to_value(object).ok()?;
    Some(digest(&owned(&live, &fields)))
}

/// The digest that [`owned_digest`] gives after `object` was applied.
pub fn wanted_digest(object: &DynamicObject) -> Digest {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(root) = value.as_object_mut() {
        root.remove("apiVersion");
        root.remove("kind");
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            for identity in ["name", "namespace", "uid", "resourceVersion"] {
                metadata.remove(identity);
            }
            if metadata.is_empty() {
                root.remove("metadata");
            }
        }
    }
    digest(&value)
}

/// The part of `live` that a FieldsV1 tree names.
fn owned(live: &Value, fields: &Map<String, Value>) -> Value {
    if fields.is_empty() {
        return live.clone();
    }
    match live {
        Value::Object(members) => {
            let mut kept = Map::new();
            for (key, below) in fields {
                let Some(name) = key.strip_prefix("f:") else { continue };
                let (Some(member), Some(below)) = (members.get(name), below.as_object()) else { continue };
                kept.insert(name.to_owned(), owned(member, below));
            }
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| {
                    let (_, below) = fields.iter().find(|(key, _)| names_item(key, index, item))?;
                    Some(owned(item, below.as_object()?))
                })
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}

/// Whether a FieldsV1 key (`k:{"name":"x"}`, `v:"x"`, `i:0`) names this item of a list.
fn names_item(key: &str, index: usize, item: &Value) -> bool {
    if let Some(keys) = key.strip_prefix("k:") {
        let Ok(Value::Object(keys)) = serde_json::from_str::<Value>(keys) else { return false };
        keys.iter().all(|(name, value)| item.get(name) == Some(value))
    } else if let Some(value) = key.strip_prefix("v:") {
        serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item)
    } else if let Some(place) = key.strip_prefix("i:") {
        place.parse() == Ok(index)
    } else {
        false
    }
}

fn digest(value: &Value) -> Digest {
    let mut hasher = Sha256::new();
    feed(value, &mut hasher);
    Digest(hasher.finalize().into())
}

/// Feeds a value in a form where the order of an object's members does not count.
fn feed(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            hasher.update(b"{");
            for name in names {
                if members[name].is_null() {
                    continue; // absent and null are the same to the API server
                }
                feed(&Value::String(name.clone()), hasher);
                feed(&members[name], hasher);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(item, hasher);
            }
            hasher.update(b"]");
        }
        scalar => {
            hasher.update(scalar.to_string().as_bytes());
            hasher.update(b",");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(body: Value) -> DynamicObject {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn fields_of_others_and_defaults_do_not_count() {
        let wanted = live(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "n",
            "labels": {"app": "x"}}, "spec": {"ports": [{"name": "api", "port": 1, "targetPort": 1}], "type": "ClusterIP"}}),
        );
        let stored = live(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "n", "uid": "u",
            "labels": {"app": "x", "theirs": "y"}, "managedFields": [{"manager": "k0smotron-operator", "operation": "Apply",
            "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:type": {}, "f:ports": {"k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}, "f:targetPort": {}}}}}}]},
            "spec": {"clusterIP": "10.0.0.1", "type": "ClusterIP", "ports": [
                {"name": "other", "port": 2, "protocol": "TCP"}, {"name": "api", "port": 1, "protocol": "TCP", "targetPort": 1}]}}),
        );
        assert_eq!(owned_digest(&stored), Some(wanted_digest(&wanted)));
    }

    #[test]
    fn an_edit_of_our_field_shows() {
        let wanted = live(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}),
        );
        let stored = live(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": [
            {"manager": "k0smotron-operator", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}}}]}, "data": {"k": "edited"}}),
        );
        assert_ne!(owned_digest(&stored), Some(wanted_digest(&wanted)));
    }

    #[test]
    fn an_object_we_never_applied_has_no_digest() {
        let stored = live(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": [
            {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}}}]}, "data": {"k": "v"}}),
        );
        assert_eq!(owned_digest(&stored), None);
    }
}
