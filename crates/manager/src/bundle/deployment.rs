//! The Deployment of the manager: non-root, read-only root file system, no capability (packaging-and-api 6).

use serde_json::{Value, json};

use super::objects::selector;
use super::{Bundle, NAMESPACE};

pub(super) fn deployment(bundle: Bundle, image: &str) -> Value {
    let name = format!("k0smotron-controller-manager{}", bundle.suffix());
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": selector(bundle) },
        "spec": {
            "replicas": 1,
            "minReadySeconds": 5,
            "selector": { "matchLabels": selector(bundle) },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": {
                "metadata": {
                    "labels": selector(bundle),
                    "annotations": { "kubectl.kubernetes.io/default-container": "manager" },
                },
                "spec": {
                    "serviceAccountName": name,
                    "terminationGracePeriodSeconds": 10,
                    "nodeSelector": { "kubernetes.io/os": "linux" },
                    "tolerations": [{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }],
                    "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [container(bundle, image)],
                    "volumes": [{ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } }],
                },
            },
        },
    })
}

fn container(bundle: Bundle, image: &str) -> Value {
    json!({
        "name": "manager",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/manager"],
        "args": args(bundle),
        "env": [
            { "name": "POD_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } },
            { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
        ],
        "ports": [
            { "name": "metrics", "containerPort": 8080, "protocol": "TCP" },
            { "name": "health", "containerPort": 8081, "protocol": "TCP" },
        ],
        "livenessProbe": {
            "httpGet": { "path": "/healthz", "port": 8081 }, "initialDelaySeconds": 15, "periodSeconds": 20,
        },
        "readinessProbe": {
            "httpGet": { "path": "/readyz", "port": 8081 }, "initialDelaySeconds": 5, "periodSeconds": 10,
        },
        // No CPU limit: throttling would only make every cluster wait.
        "resources": {
            "requests": { "cpu": "10m", "memory": "64Mi" },
            "limits": { "memory": "256Mi" },
        },
        "securityContext": {
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
    })
}

fn args(bundle: Bundle) -> Vec<String> {
    let mut args = vec![
        "--health-probe-bind-address=:8081".to_owned(),
        "--diagnostics-address=:8080".to_owned(),
        "--leader-elect".to_owned(),
        format!("--enable-controller={}", bundle.mode()),
    ];
    if bundle.is_provider() {
        // Variables of clusterctl, which takes an empty default for none: hence a pair of quotes, which the
        // manager drops, as the Go bundles have it. A plain apply has no variables.
        args.push(r#"--feature-gates=${K0SMOTRON_FEATURE_GATES:=""}"#.to_owned());
        args.push(r#"--watch-filter=${K0SMOTRON_WATCH_FILTER:=""}"#.to_owned());
        args.push("--log-level=${K0SMOTRON_LOG_LEVEL:=info}".to_owned());
    }
    args
}
