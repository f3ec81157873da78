//! ConfigMaps with manifests that k0s applies in the child (hosted.md 3.1).

use kube::api::DynamicObject;
use serde_json::json;

use crate::cluster::exposure::Endpoint;
use crate::cluster::labels::Component;
use crate::cluster::wanted::Wanted;

/// Tells the child who made it.
pub fn telemetry(wanted: &Wanted<'_>) -> DynamicObject {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "k0s-telemetry", "namespace": "kube-system"},
        "data": {"provider": "k0smotron"},
    });
    let body = json!({"data": {"configmap.yaml": yaml(&manifest)}});
    wanted.origin.object(("v1", "ConfigMap"), &wanted.names.telemetry(), Component::Telemetry, body)
}

/// Tells the child where its API is.
pub fn endpoint(wanted: &Wanted<'_>, endpoint: &Endpoint) -> DynamicObject {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "control-plane-endpoint", "namespace": "kube-system"},
        "data": {"apiServerHost": endpoint.host, "apiServerPort": endpoint.port.to_string()},
    });
    let body = json!({"data": {"endpoint.yaml": yaml(&manifest)}});
    wanted.origin.object(("v1", "ConfigMap"), &wanted.names.endpoint(), Component::ControlPlane, body)
}

/// JSON is YAML that no reader of any version misunderstands.
fn yaml(manifest: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(manifest).unwrap_or_default();
    text.push('\n');
    text
}
