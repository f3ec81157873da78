//! From Rust types to the structural schemas of CRDs.
//!
//! Three steps: schemars makes a schema with definitions; the definitions of Kubernetes' own types are completed
//! (see `kubernetes`), which k8s-openapi leaves without list keys, defaults and bounds; then every reference is
//! replaced by what it refers to, and what a structural schema does not know (null types, titles, one-of-constants)
//! is folded into what it does.

mod kubernetes;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// A plain `integer` without a format, as the released schema has it for ports.
pub(crate) fn no_format(schema: &mut Schema) {
    schema.remove("format");
}

/// The structural schema of a type.
pub(crate) fn structural<T: JsonSchema>() -> Value {
    let mut root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    let mut definitions = match root.get_mut("$defs").map(Value::take) {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    for (name, definition) in &mut definitions {
        kubernetes::complete(name, definition);
    }
    if let Value::Object(fields) = &mut root {
        for key in ["$defs", "$schema", "title"] {
            fields.remove(key);
        }
    }
    resolve(root, &definitions)
}

/// Replaces references and folds what a structural schema does not know.
fn resolve(schema: Value, definitions: &Map<String, Value>) -> Value {
    let Value::Object(mut fields) = schema else { return schema };
    fields.remove("title");
    if let Some(Value::String(reference)) = fields.remove("$ref") {
        let name =
            reference.rsplit("$defs/").next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
        let target = definitions.get(&name).cloned().unwrap_or_else(|| json!({}));
        return resolve(overlay(target, fields), definitions);
    }
    for key in ["anyOf", "oneOf"] {
        match fields.remove(key) {
            Some(Value::Array(branches)) => match fold(branches) {
                Folded::One(branch) => return resolve(overlay(branch, fields), definitions),
                Folded::Words(words) => {
                    fields.insert("type".to_owned(), "string".into());
                    fields.insert("enum".to_owned(), words.into());
                }
                Folded::Many(branches) => {
                    fields.insert(key.to_owned(), branches.into());
                }
            },
            Some(other) => drop(fields.insert(key.to_owned(), other)),
            None => {}
        }
    }
    if let Some(Value::Array(types)) = fields.get("type") {
        let type_ = types.iter().find(|type_| *type_ != "null").cloned().unwrap_or_default();
        fields.insert("type".to_owned(), type_);
    }
    if let Some(Value::Array(words)) = fields.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    for (key, child) in &mut fields {
        match key.as_str() {
            "properties" => {
                if let Value::Object(properties) = child {
                    for property in properties.values_mut() {
                        *property = resolve(property.take(), definitions);
                    }
                }
            }
            "items" | "additionalProperties" => *child = resolve(child.take(), definitions),
            _ => {}
        }
    }
    Value::Object(fields)
}

enum Folded {
    One(Value),
    Words(Vec<Value>),
    Many(Vec<Value>),
}

/// "This or null" becomes "this", "one of these constants" becomes their list.
fn fold(branches: Vec<Value>) -> Folded {
    let mut branches: Vec<Value> =
        branches.into_iter().filter(|branch| branch.get("type") != Some(&Value::from("null"))).collect();
    let mut words = Vec::new();
    for branch in &branches {
        match (branch.get("const"), branch.get("enum")) {
            (Some(word), _) => words.push(word.clone()),
            (None, Some(Value::Array(several))) => words.extend(several.iter().cloned()),
            _ => {
                return if branches.len() == 1 {
                    Folded::One(branches.remove(0))
                } else {
                    Folded::Many(branches)
                };
            }
        }
    }
    Folded::Words(words)
}

/// What stands beside a reference wins over what it refers to.
fn overlay(target: Value, beside: Map<String, Value>) -> Value {
    match target {
        Value::Object(mut fields) => {
            fields.extend(beside);
            Value::Object(fields)
        }
        other => other,
    }
}

/// Removes every rule that holds only against a former object. Templates have none: what an object may not change,
/// its template may, for objects to come. Rules that merely excuse what has not changed stay.
pub(crate) fn without_transitions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(rules)) = fields.get_mut("x-kubernetes-validations") {
                rules.retain(|rule| {
                    let text = rule.get("rule").and_then(Value::as_str).unwrap_or_default();
                    rule.get("optionalOldSelf").is_some() || !text.contains("oldSelf")
                });
                if rules.is_empty() {
                    fields.remove("x-kubernetes-validations");
                }
            }
            fields.values_mut().for_each(without_transitions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_transitions),
        _ => {}
    }
}
