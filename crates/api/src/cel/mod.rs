//! Rules that the API server itself checks, in CEL: they hold without our webhook, and for `/scale` too.
//!
//! The API server checks a rule again only when the part of the object it stands on has changed (ratcheting), so
//! each stands as deep as it can: an object stored before the rule can still be labelled, edited elsewhere and
//! deleted. A rule over several fields stands on their parent and passes when none of them has changed
//! (`optionalOldSelf`). Rules that need loops over unbounded lists would exceed the API server's cost budget; they
//! are in [`crate::faults`].

mod hosted;
mod remote_machine;
mod token;
mod worker;

pub(crate) use hosted::{etcd, hosted_spec, persistence, service, volume_request};
pub(crate) use remote_machine::{provision_job, remote_machine_spec};
pub(crate) use token::join_token_request_spec;
pub(crate) use worker::{file, provisioner, worker_spec};

use schemars::Schema;
use serde_json::{Value, json};

/// A version of k0s, as the k0s crate reads it.
pub(crate) const VERSION: &str = r"^v?[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.]+)?([-+]k0s(\\.[0-9]+)?)?$";

/// Appends a rule to a schema.
fn append(schema: &mut Value, rule: Value) {
    match &mut schema["x-kubernetes-validations"] {
        Value::Array(rules) => rules.push(rule),
        none => *none = Value::Array(vec![rule]),
    }
}

/// Adds a rule about an object.
fn rule(schema: &mut Schema, rule: &str, message: &str) {
    add(schema, json!({"rule": rule, "message": message}));
}

/// Adds a rule about several fields of an object: `unchanged` says, with `oldSelf.value()`, that none of them has
/// changed.
fn rule_unless(schema: &mut Schema, unchanged: &str, rule: &str, message: &str) {
    let rule = format!("(oldSelf.hasValue() && ({unchanged})) || ({rule})");
    add(schema, json!({"rule": rule, "message": message, "optionalOldSelf": true}));
}

fn add(schema: &mut Schema, rule: Value) {
    let mut rules = schema
        .remove("x-kubernetes-validations")
        .map_or_else(|| json!({}), |rules| json!({"x-kubernetes-validations": rules}));
    append(&mut rules, rule);
    schema.insert("x-kubernetes-validations".to_owned(), rules["x-kubernetes-validations"].take());
}

/// Adds a rule about one field of an object.
fn field_rule(schema: &mut Schema, field: &str, rule: &str, message: &str) {
    let field = schema.get_mut("properties").and_then(|properties| properties.get_mut(field));
    debug_assert!(field.is_some(), "a rule for a field that is not there");
    if let Some(field) = field {
        append(field, json!({"rule": rule, "message": message}));
    }
}
