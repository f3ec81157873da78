//! Reading what the API server stores but the types of k8s-openapi refuse.
//!
//! The schema lets a quantity be an integer (`cpu: 2`), and the API server keeps it as one. One object that
//! cannot be decoded would stop the watch of its whole kind, so such values are turned into text first.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

/// Maps whose values are quantities, wherever they stand in a pod, a volume or a claim.
const QUANTITY_MAPS: [&str; 5] = ["limits", "requests", "overhead", "capacity", "allocatedResources"];
/// Fields that are a quantity.
const QUANTITY_FIELDS: [&str; 2] = ["sizeLimit", "divisor"];

/// Decodes a value in which quantities may be integers.
pub(crate) fn quantities<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    quantities_to_text(&mut value);
    serde_json::from_value(value).map_err(D::Error::custom)
}

/// Decodes a claim: as [`quantities`], and whatever the user wrote as its `apiVersion` and `kind` is dropped,
/// since there is only one thing it can be.
pub(crate) fn claim<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    if let Value::Object(claim) = &mut value {
        claim.remove("apiVersion");
        claim.remove("kind");
    }
    quantities_to_text(&mut value);
    serde_json::from_value(value).map_err(D::Error::custom)
}

/// Decodes one quantity that may be an integer.
pub(crate) fn quantity<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    number_to_text(&mut value);
    serde_json::from_value(value).map_err(D::Error::custom)
}

fn number_to_text(value: &mut Value) {
    if let Value::Number(number) = value {
        *value = Value::String(number.to_string());
    }
}

pub(crate) fn quantities_to_text(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if QUANTITY_FIELDS.contains(&name.as_str()) {
                    number_to_text(field);
                }
                if let (true, Value::Object(map)) = (QUANTITY_MAPS.contains(&name.as_str()), &mut *field) {
                    map.values_mut().for_each(number_to_text);
                }
                quantities_to_text(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quantities_to_text),
        _ => {}
    }
}

/// Decodes a map of quantities that may be integers.
pub(crate) fn quantity_map<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    if let Value::Object(map) = &mut value {
        map.values_mut().for_each(number_to_text);
    }
    serde_json::from_value(value).map_err(D::Error::custom)
}
