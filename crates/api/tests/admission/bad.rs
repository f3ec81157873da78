//! Objects that must be refused, and words of the refusal.

use serde_json::{Value, json};

pub fn objects() -> Vec<(&'static str, Value, &'static str)> {
    let mut all = Vec::new();
    // The three hosted kinds share one schema; each rule is tried on one of them in turn.
    let hosted = [
        (
            json!({"replicas": 3, "storage": {"type": "kine"}}),
            "replicas must be 1 with storage kine and no data source",
        ),
        (
            json!({"replicas": 2, "storage": {"type": "kine", "kine": {"dataSourceURL": ""}}}),
            "set storage.kine.dataSourceSecretName",
        ),
        (
            json!({"replicas": 2, "storage": {"type": "kine", "kine":
                {"dataSourceURL": "__K0SMOTRON_KINE_DATASOURCE_URL_PLACEHOLDER__"}}}),
            "each pod would have a database of its own",
        ),
        (
            json!({"ingress": {"apiHost": "a", "konnectivityHost": "k"},
                "gateway": {"parentRefs": [{"name": "g"}], "apiHost": "a", "konnectivityHost": "k"}}),
            "ingress and gateway exclude each other",
        ),
        (json!({"replicas": -1}), "replicas must not be negative"),
        (json!({"version": "latest"}), "version must look like v1.34.1+k0s.0 or v1.34.1-k0s.0"),
        (json!({"version": "v1.34"}), "version must look like"),
        (json!({"version": "v1.34.1+rke2"}), "version must look like"),
        (json!({"service": {"apiPort": 70000}}), "apiPort must be between 1 and 65535"),
        (json!({"service": {"apiPort": -1}}), "apiPort must be between 1 and 65535"),
        (json!({"service": {"konnectivityPort": 65536}}), "konnectivityPort must be between 1 and 65535"),
        (json!({"service": {"apiPort": 30132}}), "apiPort and konnectivityPort must differ"),
        (
            json!({"service": {"apiPort": 6443, "konnectivityPort": 6443}}),
            "apiPort and konnectivityPort must differ",
        ),
        (json!({"service": {"portAllocation": "Auto"}}), "portAllocation Auto needs type NodePort"),
        (
            json!({"service": {"type": "ExternalName"}}),
            "supported values: \"ClusterIP\", \"NodePort\", \"LoadBalancer\"",
        ),
        (json!({"service": {"externalTrafficPolicy": "Some"}}), "supported values: \"Cluster\", \"Local\""),
        (json!({"service": {"ipFamilies": ["IPv4", "IPv6", "IPv4"]}}), "must have at most 2 items"),
        (json!({"persistence": {"type": "nfs"}}), "persistence.type must be emptyDir, hostPath or pvc"),
        (
            json!({"persistence": {"type": "pvc"}}),
            "persistence.type pvc needs persistence.persistentVolumeClaim",
        ),
        (json!({"persistence": {"type": "hostPath"}}), "needs an absolute path in persistence.hostPath"),
        (json!({"persistence": {"type": "hostPath", "hostPath": "data"}}), "needs an absolute path"),
        (json!({"storage": {"type": "sqlite"}}), "supported values: \"etcd\", \"kine\", \"nats\""),
        (json!({"storage": {"etcd": {"replicas": 2}}}), "storage.etcd.replicas must be 1, 3, 5 or 7"),
        (json!({"storage": {"etcd": {"replicas": 9}}}), "storage.etcd.replicas"),
        (json!({"storage": {"etcd": {"scaleDownDelaySeconds": -1}}}), "should be greater than or equal to 0"),
        (
            json!({"storage": {"etcd": {"persistence": {"size": "much"}}}}),
            "spec.storage.etcd.persistence.size",
        ),
        (json!({"certificateRefs": [{"type": "client"}]}), "spec.certificateRefs[0].type: Unsupported value"),
        (json!({"certificateRefs": [{"name": "x"}]}), "spec.certificateRefs[0].type: Required value"),
        (json!({"manifests": [{"configMap": {"name": "m"}}]}), "spec.manifests[0].name: Required value"),
        (json!({"mounts": [{"configMap": {"name": "m"}}]}), "spec.mounts[0].path: Required value"),
        (
            json!({"patches": [{"target": {"kind": "Service", "component": "x"}, "patch": {"type": "sed", "content": ""}}]}),
            "supported values: \"json\", \"strategic\", \"merge\"",
        ),
        (json!({"rollout": {"progressDeadlineSeconds": 0}}), "should be greater than or equal to 1"),
        (json!({"kubeconfig": {"validityDays": 0}}), "should be greater than or equal to 1"),
        (
            json!({"gateway": {"apiHost": "a", "konnectivityHost": "k", "parentRefs": []}}),
            "should have at least 1 items",
        ),
    ];
    for (index, (spec, words)) in hosted.into_iter().enumerate() {
        match index % 3 {
            0 => all.push(("Cluster", spec, words)),
            1 => all.push(("K0smotronControlPlane", spec, words)),
            _ => all.push(("K0smotronControlPlaneTemplate", json!({"template": {"spec": spec}}), words)),
        }
    }
    let worker = [
        (json!({"version": "1.34"}), "version must look like v1.34.1+k0s.0"),
        (json!({"workingDir": "tmp"}), "workingDir must be an absolute path"),
        (json!({"k0sInstallDir": "bin"}), "k0sInstallDir must be an absolute path"),
        (json!({"downloadURL": "ftp://host/k0s"}), "downloadURL must begin with https://, http:// or oci://"),
        (json!({"downloadURL": "/tmp/k0s"}), "downloadURL must begin with"),
        (json!({"files": [{"path": "/a"}]}), "exactly one of content and contentFrom must be given"),
        (
            json!({"files": [{"path": "/a", "content": "x", "contentFrom": {"secretRef": {"name": "s", "key": "k"}}}]}),
            "exactly one of content and contentFrom must be given",
        ),
        (
            json!({"files": [{"path": "/a", "content": "x", "rendering": "Yes"}]}),
            "\"Auto\", \"Literal\", \"Jinja\"",
        ),
        (
            json!({"provisioner": {"type": "ignition"}}),
            "provisioner.type ignition needs provisioner.ignition",
        ),
        (json!({"provisioner": {"type": "powershell"}}), "need provisioner.platform windows"),
        (json!({"provisioner": {"platform": "plan9"}}), "supported values: \"linux\", \"windows\""),
    ];
    for (index, (spec, words)) in worker.into_iter().enumerate() {
        match index % 2 {
            0 => all.push(("K0sWorkerConfig", spec, words)),
            _ => all.push(("K0sWorkerConfigTemplate", json!({"template": {"spec": spec}}), words)),
        }
    }
    for (spec, words) in [
        (json!({"port": 65536}), "port must be between 1 and 65535; 0 means 22"),
        (json!({"port": -22}), "port must be between 1 and 65535; 0 means 22"),
        (json!({"workingDir": "k0smotron"}), "workingDir must be an absolute path"),
        (json!({"workingDir": "/a\nb"}), "workingDir must be an absolute path"),
        (
            json!({"address": "-oProxyCommand=x"}),
            "address must not contain white space nor begin with a dash",
        ),
        (json!({"address": "10.0.0.1 "}), "address must not contain white space nor begin with a dash"),
        (json!({"user": "root; rm"}), "user must not contain white space nor begin with a dash"),
        (json!({"hostKeyPolicy": "Pinned"}), "hostKeyPolicy Pinned needs hostKeys or hostKeysRef"),
        (json!({"hostKeyPolicy": "Maybe"}), "\"TrustOnFirstUse\", \"Pinned\", \"Insecure\""),
        (json!({"timeouts": {"totalSeconds": 0}}), "should be greater than or equal to 1"),
        (json!({"cleanUpPolicy": "Never"}), "\"Required\", \"BestEffort\", \"Skip\""),
        (json!({"sshKeyRef": {}}), "spec.sshKeyRef.name: Required value"),
        (
            json!({"provisionJob": {"jobSpecTemplate": {"spec": {}}}}),
            "jobSpecTemplate.spec.template: Required value",
        ),
        (
            json!({"provisionJob": {"jobSpecTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}}),
            "provisionJob.jobSpecTemplate needs at least one container",
        ),
    ] {
        all.push(("RemoteMachine", spec, words));
    }
    for (kind, spec, words) in [
        (
            "RemoteMachineTemplate",
            json!({"template": {"spec": {}}}),
            "spec.template.spec.pool: Required value",
        ),
        (
            "RemoteCluster",
            json!({"controlPlaneEndpoint": {"host": "h", "port": 0}}),
            "greater than or equal to 1",
        ),
        ("RemoteCluster", json!({"controlPlaneEndpoint": {"host": "", "port": 1}}), "at least 1 chars long"),
        ("RemoteClusterTemplate", json!({"template": {}}), "spec.template.spec: Required value"),
        ("JoinTokenRequest", json!({}), "spec.clusterName: Required value"),
        ("JoinTokenRequest", json!({"clusterName": ""}), "at least 1 chars long"),
        (
            "JoinTokenRequest",
            json!({"clusterName": "c", "expiry": "1h; id"}),
            "expiry must be a duration such as 90m",
        ),
        (
            "JoinTokenRequest",
            json!({"clusterName": "c", "expiry": "1d"}),
            "expiry must be a duration such as 90m",
        ),
        (
            "JoinTokenRequest",
            json!({"clusterName": "c", "expiry": "-1h"}),
            "expiry must be a duration such as 90m",
        ),
        (
            "JoinTokenRequest",
            json!({"clusterName": "c", "role": "admin"}),
            "supported values: \"worker\", \"controller\"",
        ),
    ] {
        all.push((kind, spec, words));
    }
    all
}
