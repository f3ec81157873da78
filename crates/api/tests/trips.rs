//! Every object that a schema accepts is read by its type and comes back with everything it said.
//!
//! The objects are made from the schemas of the CRDs, so a field that is in the schema and not in the type (or is
//! of another type there) is found without being listed here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use api::{crd::crd, kinds::KINDS};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

mod losses;

/// A small generator of its own: a strategy per field of a schema with ten thousand fields would be slow to build,
/// and a seed is all one needs to see a failure again.
struct Dice {
    state: u64,
    /// Of a hundred optional fields, so many are present.
    density: u64,
}

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = usize::try_from(self.roll(from.len() as u64)).unwrap();
        &from[index]
    }

    fn value(&mut self, schema: &Value) -> Value {
        if let Some(words) = schema["enum"].as_array() {
            return self.pick(words).clone();
        }
        if schema["x-kubernetes-int-or-string"] == true {
            let quantity = schema.get("pattern").is_some();
            return match (self.roll(2), quantity) {
                (0, _) => json!(self.roll(70_000)),
                (_, true) => json!(*self.pick(&["1", "10m", "1.5Gi", "100k", "2e3"])),
                (_, false) => json!(*self.pick(&["http", "25%", "80"])),
            };
        }
        match schema["type"].as_str().unwrap_or_default() {
            "object" => self.object(schema),
            "array" => (0..self.roll(3)).map(|_| self.value(&schema["items"])).collect(),
            "boolean" => json!(self.roll(2) == 1),
            "integer" => {
                let largest = if schema["format"] == "int32" { i64::from(i32::MAX) } else { 1 << 53 };
                json!(*self.pick(&[0, 1, 22, 65535, largest]))
            }
            "string" if schema["format"] == "date-time" => json!("2026-01-02T03:04:05Z"),
            "string" => json!(*self.pick(&[
                "",
                "a",
                "Ä ß\n\"quoted\" {{ x }}",
                "true",
                "0",
                "null",
                "-",
                "/a/b",
                "~"
            ])),
            other => panic!("the generator knows no type {other:?}: {schema}"),
        }
    }

    fn object(&mut self, schema: &Value) -> Value {
        let mut object = Map::new();
        if let Some(fields) = schema["properties"].as_object() {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (name, field) in fields {
                if required.contains(&name.as_str()) || self.roll(100) < self.density {
                    object.insert(name.clone(), self.value(field));
                }
            }
        } else if schema["x-kubernetes-preserve-unknown-fields"] == true {
            object.insert("any".to_owned(), json!({"thing": [1, null, {"deep": 1.5}], "": "x"}));
        } else if schema["additionalProperties"].is_object() {
            for key in ["a", "b.c/d"] {
                if self.roll(2) == 1 {
                    object.insert(key.to_owned(), self.value(&schema["additionalProperties"]));
                }
            }
        }
        Value::Object(object)
    }
}

/// An object of a kind, and where its parts come from.
fn object(index: usize, seed: u64, density: u64) -> Value {
    let kind = &KINDS[index];
    let definition = serde_json::to_value(crd(kind).unwrap()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut dice = Dice { state: seed, density };
    let mut object = json!({
        "apiVersion": format!("{}/{}", kind.group, kind.versions[0].name),
        "kind": kind.kind,
        "metadata": {"name": "x", "labels": {"a": "b"}},
    });
    for part in ["spec", "status"] {
        if let Some(schema) = schema["properties"].get(part) {
            object[part] = dice.value(schema);
        }
    }
    object
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_object_survives_the_journey(index in 0..KINDS.len(), seed: u64, density in 1..40_u64) {
        let object = object(index, seed, density);
        let written = losses::again(&object);
        prop_assert!(written.is_ok(), "{object}\n{written:?}");
        let lost = losses::lost(&object, &written.unwrap(), "");
        prop_assert!(lost.is_none(), "{object}\nlost {lost:?}");
    }
}

#[test]
fn every_kind_can_be_read_without_spec_and_status() {
    for kind in KINDS {
        let bare = json!({"apiVersion": format!("{}/v1beta2", kind.group), "kind": kind.kind, "metadata": {"name": "x"}});
        // Templates demand a template inside their spec, but no spec.
        assert!(losses::again(&bare).is_ok() || kind.template, "{}", kind.kind);
    }
}

#[test]
fn what_older_releases_wrote_can_be_read() {
    for text in [
        r#"{"kind": "RemoteMachine", "spec": {"sshKeyRef": {"name": ""}, "port": 0}, "status": {}}"#,
        r#"{"kind": "RemoteCluster", "spec": {"controlPlaneEndpoint": {}}, "status": {"initialization": {}}}"#,
        r#"{"kind": "Cluster", "spec": {"storage": {"type": ""}, "service": {"type": ""}, "persistence": {"type": ""}}}"#,
        r#"{"kind": "Cluster", "spec": {"storage": {"etcd": {"image": "", "persistence": {"size": "0", "storageClass": ""},
            "defragJob": {"enabled": false, "schedule": "", "rule": "", "image": ""}}}}}"#,
        r#"{"kind": "K0smotronControlPlane", "status": {"version": "", "initialization": {"controlPlaneInitialized": false},
            "conditions": [{"type": "Available", "status": "Unknown", "reason": "ControlPlaneDoesNotExist",
            "message": "Waiting", "lastTransitionTime": "1970-01-01T00:00:00Z"}]}}"#,
    ] {
        let object: Value = serde_json::from_str(text).unwrap();
        losses::again(&object).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}
