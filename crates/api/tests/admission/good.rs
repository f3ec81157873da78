//! Objects that must pass, and come back with what they said.

use serde_json::{Value, json};

use crate::losses::{again, lost};

pub fn objects() -> Vec<(&'static str, Value)> {
    let mount = json!([{"path": "/etc/x", "configMap": {"name": "m"}}, {"path": "/y", "readOnly": true, "emptyDir": {"sizeLimit": 1024}}]);
    let hosted = vec![
        json!({}),
        json!({"replicas": 0}),
        json!({"version": ""}),
        json!({"version": "v1.27.9-k0s.0"}),
        json!({"version": "v1.34.1"}),
        json!({"version": "v1.34.1+k0s"}),
        json!({"version": "1.34.1-rc.1+k0s.0"}),
        json!({"persistence": {"type": ""}}),
        json!({"persistence": {"type": "hostPath", "hostPath": "/data"}}),
        json!({"persistence": {"type": "pvc", "persistentVolumeClaim": {"spec":
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": 1_073_741_824}}}}}}),
        json!({"service": {"type": "NodePort", "apiPort": 31000, "konnectivityPort": 31001, "portAllocation": "Auto"}}),
        json!({"service": {"type": "LoadBalancer", "apiPort": 0, "konnectivityPort": 0, "labels": {"a": "b"}}}),
        json!({"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}),
        json!({"mounts": mount, "manifests": [{"name": "m", "secret": {"secretName": "s"}}]}),
        json!({"k0sConfig": {"apiVersion": "k0s.k0sproject.io/v1beta1", "spec": {"anything": {"goes": [1, "two", null]}}}}),
        json!({"storage": {"type": "kine", "kine": {"dataSourceSecretName": "dsn"}}, "replicas": 3}),
        json!({"storage": {"etcd": {"replicas": 3, "args": ["--quota-backend-bytes=1"]}}}),
        json!({"ingress": {"apiHost": "a", "konnectivityHost": "k"}, "hibernate": true, "monitoring": {"enabled": false}}),
        json!({"podTemplate": {"spec": {"priorityClassName": "high", "containers": [{"name": "x", "image": "y"}]}}}),
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
    ];
    let mut all = Vec::new();
    for spec in hosted {
        all.push(("Cluster", spec.clone()));
        all.push(("K0smotronControlPlane", spec.clone()));
        all.push(("K0smotronControlPlaneTemplate", json!({"template": {"spec": spec}})));
    }
    all.extend([
        ("JoinTokenRequest", json!({"clusterName": "c"})),
        ("JoinTokenRequest", json!({"clusterName": "c", "expiry": "1h30m", "role": "controller"})),
        ("JoinTokenRequest", json!({"clusterName": "c", "expiry": "1.5h"})),
        ("K0sWorkerConfig", json!({})),
        ("K0sWorkerConfig", json!({"version": "v1.34.1-k0s.0", "args": ["--labels=a=b"], "files": [
            {"path": "/a", "content": "", "permissions": "0600"},
            {"path": "/b", "content": "", "contentFrom": {"configMapRef": {"name": "m", "key": "k"}}}]})),
        ("K0sWorkerConfig", json!({"downloadURL": "oci://host/k0s@sha256:0", "k0sInstallDir": "C:\\k0s"})),
        ("K0sWorkerConfig", json!({"provisioner": {"type": "ignition", "ignition": {"variant": "fcos", "version": "1.0.0"}}})),
        ("K0sWorkerConfigTemplate", json!({"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"preInstalledK0s": true}}})),
        // As clients of the Go types write it.
        ("RemoteMachine", json!({"sshKeyRef": {"name": ""}, "port": 0, "address": "10.0.0.1", "user": ""})),
        ("RemoteMachine", json!({"address": "fd00::1", "useSudo": true, "user": "debian", "cleanUpCommands": []})),
        ("RemoteMachine", json!({"hostKeyPolicy": "Pinned", "hostKeys": ["SHA256:abc"]})),
        ("RemoteMachine", json!({"provisionJob": {"jobSpecTemplate": {"spec": {"template": {"spec":
            {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": 1}}}]}}}}}})),
        ("RemoteMachineTemplate", json!({"template": {"spec": {"pool": "p"}}})),
        ("RemoteCluster", json!({})),
        ("RemoteCluster", json!({"controlPlaneEndpoint": {"host": "h", "port": 6443}})),
        ("RemoteClusterTemplate", json!({"template": {"spec": {}}})),
    ]);
    all
}

/// Everything that `wanted` says is in `stored`, and our types read what is stored without losing anything of it.
pub fn keeps(wanted: &Value, stored: &Value, wrong: &mut Vec<String>) {
    if let Some(path) = lost(&wanted["spec"], &stored["spec"], "spec") {
        wrong.push(format!("{wanted}\n  lost {path}: {stored}"));
    }
    match again(stored) {
        Err(error) => wrong.push(format!("{stored}\n  cannot be read: {error}")),
        Ok(read) => {
            if let Some(path) = lost(&stored["spec"], &read["spec"], "spec") {
                wrong.push(format!("{stored}\n  our type loses {path}: {read}"));
            }
        }
    }
}
