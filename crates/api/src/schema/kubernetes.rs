//! What the schemas of Kubernetes' own types lack in k8s-openapi: list keys, defaults, bounds.
//!
//! Without list keys server-side apply would treat such a list as one value; without the defaults of key fields
//! (`protocol: TCP`) the API server refuses the CRD.

use serde_json::{Value, json};

const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";
const REASON: &str = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";
const CONDITION_TYPE: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

/// Lists that are maps: type, field, keys.
const MAP_LISTS: &[(&str, &str, &[&str])] = &[
    ("core.v1.Container", "env", &["name"]),
    ("core.v1.Container", "ports", &["containerPort", "protocol"]),
    ("core.v1.Container", "volumeDevices", &["devicePath"]),
    ("core.v1.Container", "volumeMounts", &["mountPath"]),
    ("core.v1.EphemeralContainer", "env", &["name"]),
    ("core.v1.EphemeralContainer", "ports", &["containerPort", "protocol"]),
    ("core.v1.EphemeralContainer", "volumeDevices", &["devicePath"]),
    ("core.v1.EphemeralContainer", "volumeMounts", &["mountPath"]),
    ("core.v1.PersistentVolumeClaimStatus", "conditions", &["type"]),
    ("core.v1.PodSpec", "containers", &["name"]),
    ("core.v1.PodSpec", "ephemeralContainers", &["name"]),
    ("core.v1.PodSpec", "hostAliases", &["ip"]),
    ("core.v1.PodSpec", "imagePullSecrets", &["name"]),
    ("core.v1.PodSpec", "initContainers", &["name"]),
    ("core.v1.PodSpec", "resourceClaims", &["name"]),
    ("core.v1.PodSpec", "schedulingGates", &["name"]),
    ("core.v1.PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("core.v1.PodSpec", "volumes", &["name"]),
    ("core.v1.ResourceRequirements", "claims", &["name"]),
    ("core.v1.VolumeResourceRequirements", "claims", &["name"]),
];

/// Lists that are sets.
const SET_LISTS: &[(&str, &str)] = &[
    ("core.v1.ContainerRestartRuleOnExitCodes", "values"),
    ("batch.v1.PodFailurePolicyOnExitCodesRequirement", "values"),
];

/// Objects that change as a whole.
const ATOMIC_OBJECTS: &[&str] = &[
    "core.v1.ConfigMapEnvSource",
    "core.v1.ConfigMapKeySelector",
    "core.v1.ConfigMapProjection",
    "core.v1.ConfigMapVolumeSource",
    "core.v1.FileKeySelector",
    "core.v1.LocalObjectReference",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ObjectFieldSelector",
    "core.v1.ResourceFieldSelector",
    "core.v1.SecretEnvSource",
    "core.v1.SecretKeySelector",
    "core.v1.SecretProjection",
    "core.v1.SecretReference",
    "core.v1.TypedLocalObjectReference",
    "meta.v1.LabelSelector",
];

/// Defaults: type, field, value.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("core.v1.AzureDiskVolumeSource", "fsType", "\"ext4\""),
    ("core.v1.AzureDiskVolumeSource", "readOnly", "false"),
    ("core.v1.ConfigMapEnvSource", "name", "\"\""),
    ("core.v1.ConfigMapKeySelector", "name", "\"\""),
    ("core.v1.ConfigMapProjection", "name", "\"\""),
    ("core.v1.ConfigMapVolumeSource", "name", "\"\""),
    ("core.v1.ContainerPort", "protocol", "\"TCP\""),
    ("core.v1.FileKeySelector", "optional", "false"),
    ("core.v1.GRPCAction", "service", "\"\""),
    ("core.v1.ISCSIVolumeSource", "iscsiInterface", "\"default\""),
    ("core.v1.LocalObjectReference", "name", "\"\""),
    ("core.v1.RBDVolumeSource", "keyring", "\"/etc/ceph/keyring\""),
    ("core.v1.RBDVolumeSource", "pool", "\"rbd\""),
    ("core.v1.RBDVolumeSource", "user", "\"admin\""),
    ("core.v1.ScaleIOVolumeSource", "fsType", "\"xfs\""),
    ("core.v1.ScaleIOVolumeSource", "storageMode", "\"ThinProvisioned\""),
    ("core.v1.SecretEnvSource", "name", "\"\""),
    ("core.v1.SecretKeySelector", "name", "\"\""),
    ("core.v1.SecretProjection", "name", "\"\""),
];

/// Completes the definition of that name, if it is one of Kubernetes' types.
pub(super) fn complete(name: &str, definition: &mut Value) {
    let Some(full) = name.strip_prefix("io.k8s.") else { return };
    let short = ["api.", "apimachinery.pkg.apis."]
        .iter()
        .find_map(|prefix| full.strip_prefix(prefix))
        .unwrap_or(full);
    shorten_descriptions(definition);
    match short {
        "apimachinery.pkg.api.resource.Quantity" => {
            *definition = json!({
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "pattern": QUANTITY,
                "x-kubernetes-int-or-string": true,
            });
        }
        "apimachinery.pkg.util.intstr.IntOrString" => {
            *definition = json!({
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "x-kubernetes-int-or-string": true,
            });
        }
        "meta.v1.ObjectMeta" => *definition = embedded_metadata(),
        "meta.v1.Condition" => condition(definition),
        // A template of a claim needs no name.
        "core.v1.PersistentVolumeClaim" => {
            if let Value::Object(fields) = definition {
                fields.remove("required");
            }
        }
        _ => {}
    }
    if ATOMIC_OBJECTS.contains(&short) {
        definition["x-kubernetes-map-type"] = "atomic".into();
    }
    let Some(Value::Object(fields)) = definition.get_mut("properties") else { return };
    for (_, field, keys) in MAP_LISTS.iter().filter(|(type_, _, _)| *type_ == short) {
        if let Some(list) = fields.get_mut(*field) {
            list["x-kubernetes-list-type"] = "map".into();
            list["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    for (_, field) in SET_LISTS.iter().filter(|(type_, _)| *type_ == short) {
        if let Some(list) = fields.get_mut(*field) {
            list["x-kubernetes-list-type"] = "set".into();
        }
    }
    if short == "core.v1.PodSpec"
        && let Some(selector) = fields.get_mut("nodeSelector")
    {
        selector["x-kubernetes-map-type"] = "atomic".into();
    }
    let mut filled = Vec::new();
    for (_, field_name, default) in DEFAULTS.iter().filter(|(type_, _, _)| *type_ == short) {
        if let (Some(field), Ok(default)) =
            (fields.get_mut(*field_name), serde_json::from_str::<Value>(default))
        {
            field["default"] = default;
            filled.push(*field_name);
        }
    }
    // What a default fills need not be demanded.
    if let Some(Value::Array(required)) = definition.get_mut("required") {
        required.retain(|name| !name.as_str().is_some_and(|name| filled.contains(&name)));
    }
    if definition["required"] == json!([])
        && let Value::Object(fields) = definition
    {
        fields.remove("required");
    }
}

/// The metadata of an object inside another: what a user may set there; all else is pruned.
fn embedded_metadata() -> Value {
    json!({
        "type": "object",
        "description": "Standard object metadata.",
        "properties": {
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "finalizers": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "name": {"type": "string"},
            "namespace": {"type": "string"},
        },
    })
}

fn condition(definition: &mut Value) {
    let fields = &mut definition["properties"];
    fields["message"]["maxLength"] = 32768.into();
    fields["observedGeneration"]["minimum"] = 0.into();
    fields["reason"]["minLength"] = 1.into();
    fields["reason"]["maxLength"] = 1024.into();
    fields["reason"]["pattern"] = REASON.into();
    fields["status"]["enum"] = json!(["True", "False", "Unknown"]);
    fields["type"]["maxLength"] = 316.into();
    fields["type"]["pattern"] = CONDITION_TYPE.into();
}

/// The first sentence of each description: the rest is a click away in Kubernetes' own reference, and would make
/// the CRDs ten times as large.
fn shorten_descriptions(definition: &mut Value) {
    match definition {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                let line = text.lines().next().unwrap_or_default();
                let end = line.find(". ").map_or(line.len(), |dot| dot + 1);
                *text = line[..end].to_owned();
            }
            for (key, child) in fields.iter_mut() {
                if key != "description" {
                    shorten_descriptions(child);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten_descriptions),
        _ => {}
    }
}
