//! What is lost on a journey.

use serde_json::Value;

/// The first path of `from` that `to` lacks or has otherwise.
///
/// No loss: a number in place of a quantity becomes text; an empty list or map is left out; a claim's own
/// `apiVersion` and `kind`, of which only one value makes sense, are replaced by it.
pub fn lost(from: &Value, to: &Value, path: &str) -> Option<String> {
    match (from, to) {
        (Value::Object(from), to) => from.iter().find_map(|(key, value)| {
            let claims_own =
                path.ends_with("persistentVolumeClaim") && (key == "apiVersion" || key == "kind");
            if claims_own { None } else { lost(value, &to[key], &format!("{path}.{key}")) }
        }),
        (Value::Array(from), Value::Null) if from.is_empty() => None,
        (Value::Array(from), to) => from
            .iter()
            .enumerate()
            .find_map(|(index, value)| lost(value, &to[index], &format!("{path}[{index}]"))),
        (Value::Number(from), Value::String(to)) => (from.to_string() != *to).then(|| path.to_owned()),
        (from, to) => (from != to).then(|| path.to_owned()),
    }
}

/// Reads and writes a value by the type of its kind.
pub fn again(object: &Value) -> Result<Value, String> {
    match object["kind"].as_str().unwrap_or_default() {
        "Cluster" => by_type::<api::HostedCluster>(object),
        "K0smotronControlPlane" => by_type::<api::K0smotronControlPlane>(object),
        "K0smotronControlPlaneTemplate" => by_type::<api::K0smotronControlPlaneTemplate>(object),
        "JoinTokenRequest" => by_type::<api::JoinTokenRequest>(object),
        "K0sWorkerConfig" => by_type::<api::K0sWorkerConfig>(object),
        "K0sWorkerConfigTemplate" => by_type::<api::K0sWorkerConfigTemplate>(object),
        "RemoteMachine" => by_type::<api::RemoteMachine>(object),
        "RemoteMachineTemplate" => by_type::<api::RemoteMachineTemplate>(object),
        "RemoteCluster" => by_type::<api::RemoteCluster>(object),
        "RemoteClusterTemplate" => by_type::<api::RemoteClusterTemplate>(object),
        other => Err(format!("no type for kind {other}")),
    }
}

fn by_type<T>(object: &Value) -> Result<Value, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq,
{
    let read: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(&read).map_err(|error| error.to_string())?;
    let read_again: T = serde_json::from_value(written.clone()).map_err(|error| error.to_string())?;
    if read == read_again { Ok(written) } else { Err("differs when read again".to_owned()) }
}
