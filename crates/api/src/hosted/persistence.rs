//! The data volume of control plane pods, and volumes that users mount.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Volume};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Map, Value};
use std::borrow::Cow;

use crate::{cel, decode};

/// The data volume of the control plane pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::persistence)]
pub struct Persistence {
    /// `emptyDir` (default): gone with the pod. `hostPath`: a directory of the node. `pvc`: a claim per pod, after
    /// `persistentVolumeClaim`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "emptyDir"))]
    pub type_: Option<String>,
    /// The claim of each pod, for type `pvc`. Its name defaults to `kmc-<name>`.
    #[serde(default, deserialize_with = "decode::claim", skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaim>,
    /// Whether the claims are deleted together with this object. Default false: they stay.
    #[serde(rename = "autoDeletePVCs", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub auto_delete_pvcs: Option<bool>,
    /// Directory of the node, for type `hostPath`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
}

/// A volume that is mounted into the control plane pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mount {
    /// Where it is mounted.
    pub path: String,
    /// Whether it is mounted read-only. ConfigMaps and Secrets always are.
    pub read_only: Option<bool>,
    /// What is mounted. Its name is empty: the name of the volume follows from the path.
    pub source: Volume,
}

impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let path = match fields.remove("path") {
            Some(path) => serde_json::from_value(path).map_err(D::Error::custom)?,
            None => return Err(D::Error::missing_field("path")),
        };
        let read_only =
            fields.remove("readOnly").map(serde_json::from_value).transpose().map_err(D::Error::custom)?;
        fields.remove("name");
        let mut source = Value::Object(fields);
        decode::quantities_to_text(&mut source);
        let source = serde_json::from_value(source).map_err(D::Error::custom)?;
        Ok(Self { path, read_only: read_only.flatten(), source })
    }
}

impl Serialize for Mount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { path, read_only, source } = self;
        let mut fields = match serde_json::to_value(source).map_err(S::Error::custom)? {
            Value::Object(fields) => fields,
            other => return Err(S::Error::custom(format!("a volume became {other}"))),
        };
        fields.remove("name");
        fields.insert("path".to_owned(), path.clone().into());
        if let Some(read_only) = read_only {
            fields.insert("readOnly".to_owned(), (*read_only).into());
        }
        fields.serialize(serializer)
    }
}

impl JsonSchema for Mount {
    fn schema_name() -> Cow<'static, str> {
        "Mount".into()
    }

    /// The schema of a volume, with `path` and `readOnly` instead of `name`.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Volume::json_schema(generator);
        schema
            .insert("description".to_owned(), "A volume that is mounted into the control plane pods.".into());
        schema.insert("required".to_owned(), serde_json::json!(["path"]));
        if let Some(Value::Object(fields)) = schema.get_mut("properties") {
            fields.remove("name");
            fields.insert(
                "path".to_owned(),
                serde_json::json!({"type": "string", "description": "Where the volume is mounted."}),
            );
            fields.insert(
                "readOnly".to_owned(),
                serde_json::json!({"type": "boolean", "description":
                    "Whether the volume is mounted read-only. ConfigMaps and Secrets always are. Default false."}),
            );
        }
        schema
    }
}
