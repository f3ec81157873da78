//! Status: written only if it differs, condition times moved only when the condition's status moves.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::effect::Condition;

/// The conditions list as the API shows it, with times kept from `live` where the status is the same.
pub(crate) fn conditions(
    wanted: &[Condition],
    live: &Value,
    generation: Option<i64>,
    now: Timestamp,
) -> Value {
    let live = live.get("conditions").and_then(Value::as_array);
    wanted
        .iter()
        .map(|condition| {
            let same = live
                .into_iter()
                .flatten()
                .find(|old| old["type"] == condition.type_ && old["status"] == condition.status.as_str());
            let since = same.and_then(|old| old["lastTransitionTime"].as_str().map(ToOwned::to_owned));
            let mut value = json!({
                "type": condition.type_,
                "status": condition.status.as_str(),
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": since.unwrap_or_else(|| seconds(now)),
            });
            if let (Some(generation), Some(members)) = (generation, value.as_object_mut()) {
                members.insert("observedGeneration".into(), generation.into());
            }
            value
        })
        .collect()
}

/// RFC 3339 with whole seconds, as metav1.Time is stored.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Whether the status or reason of one condition is another than in the live object.
pub(crate) fn condition_changed(wanted: &Condition, live: &Value) -> bool {
    let old = condition(live, wanted.type_);
    old.is_none_or(|old| old["status"] != wanted.status.as_str() || old["reason"] != wanted.reason)
}

/// Whether the message of one condition is another than in the live object.
pub(crate) fn message_changed(wanted: &Condition, live: &Value) -> bool {
    condition(live, wanted.type_).is_none_or(|old| old["message"] != wanted.message)
}

fn condition<'a>(live: &'a Value, type_: &str) -> Option<&'a Value> {
    live.get("conditions")?.as_array()?.iter().find(|old| old["type"] == type_)
}

/// The JSON merge patch that turns `live` into `wanted`; `None` if they are equal.
pub(crate) fn merge_patch(live: &Value, wanted: &Value) -> Option<Value> {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let mut patch = Map::new();
            for (key, value) in wanted.iter().filter(|(_, value)| !value.is_null()) {
                match live.get(key) {
                    None => {
                        patch.insert(key.clone(), value.clone());
                    }
                    Some(old) => {
                        if let Some(below) = merge_patch(old, value) {
                            patch.insert(key.clone(), below);
                        }
                    }
                }
            }
            for key in live.keys().filter(|key| wanted.get(*key).is_none_or(Value::is_null)) {
                patch.insert(key.clone(), Value::Null);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (live, wanted) => (live != wanted).then(|| wanted.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_status_needs_no_patch() {
        assert_eq!(merge_patch(&json!({"a": {"b": [1]}}), &json!({"a": {"b": [1]}, "c": null})), None);
    }

    #[test]
    fn a_patch_changes_adds_and_removes() {
        let patch =
            merge_patch(&json!({"a": {"b": 1, "c": 2}, "d": [1]}), &json!({"a": {"b": 3}, "d": [2], "e": 4}));
        assert_eq!(patch, Some(json!({"a": {"b": 3, "c": null}, "d": [2], "e": 4})));
    }

    #[test]
    fn the_time_of_a_condition_moves_with_its_status_only() {
        let live = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "A", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        let now = "2026-02-02T00:00:00.5Z".parse().unwrap();
        let same = conditions(&[Condition::new("Ready", false, "B", "")], &live, Some(1), now);
        assert_eq!(same[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        let moved = conditions(&[Condition::new("Ready", true, "B", "")], &live, Some(1), now);
        assert_eq!(moved[0]["lastTransitionTime"], "2026-02-02T00:00:00Z");
    }
}
