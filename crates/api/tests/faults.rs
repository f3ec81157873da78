//! What is wrong with a spec, in words (H-3, W2, X1, 8.2).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use api::{
    HostedControlPlaneSpec, JoinTokenRequestSpec, K0sWorkerConfigSpec, RemoteMachineSpec, Validate,
    faults::in_words,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn words<T: Validate + DeserializeOwned>(spec: &Value) -> String {
    let spec: T = serde_json::from_value(spec.clone()).unwrap_or_else(|error| panic!("{spec}: {error}"));
    in_words(&spec.faults(None)).unwrap_or_default()
}

fn each<T: Validate + DeserializeOwned>(table: &[(Value, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .map(|(spec, wanted)| (spec, wanted, words::<T>(spec)))
        .filter(|(_, wanted, said)| said != *wanted)
        .map(|(spec, wanted, said)| format!("{spec}\n  said:   {said}\n  wanted: {wanted}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn h_3_faults_of_a_hosted_control_plane_name_field_value_and_remedy() {
    each::<HostedControlPlaneSpec>(&[
        (json!({}), ""),
        (json!({"replicas": 0, "version": "", "service": {"apiPort": 0, "konnectivityPort": 0}}), ""),
        (
            json!({"replicas": 3, "storage": {"type": "kine"}}),
            "spec.replicas: \"3\": must be 1 with storage kine and no data source: each pod would have a database of its \
             own; set storage.kine.dataSourceSecretName",
        ),
        (json!({"replicas": 3, "storage": {"type": "kine", "kine": {"dataSourceSecretName": "s"}}}), ""),
        (
            json!({"storage": {"etcd": {"replicas": 4}}}),
            "spec.storage.etcd.replicas: \"4\": must be 1, 3, 5 or 7",
        ),
        (
            json!({"version": "latest"}),
            "spec.version: \"latest\": must look like v1.34.1+k0s.0 or v1.34.1-k0s.0",
        ),
        (
            json!({"externalAddress": "https://a/"}),
            "spec.externalAddress: \"https://a/\": must be a host name or IP address without scheme or path",
        ),
        (json!({"externalAddress": "fd00::1"}), ""),
        (
            json!({"service": {"apiPort": 65536}}),
            "spec.service.apiPort: \"65536\": must be between 1 and 65535",
        ),
        (
            json!({"service": {"konnectivityPort": -1}}),
            "spec.service.konnectivityPort: \"-1\": must be between 1 and 65535",
        ),
        (
            json!({"service": {"apiPort": 9443}}),
            "spec.service.apiPort: \"9443\": is k0s' own join port; choose another",
        ),
        (
            json!({"service": {"apiPort": 6443, "konnectivityPort": 6443}}),
            "spec.service.konnectivityPort: \"6443\": must differ from apiPort",
        ),
        (
            json!({"service": {"portAllocation": "Auto"}}),
            "spec.service.portAllocation: \"Auto\": needs type NodePort",
        ),
        (
            json!({"service": {"type": "NodePort", "loadBalancerClass": "x"}}),
            "spec.service.loadBalancerClass: needs type LoadBalancer",
        ),
        (
            json!({"service": {"externalTrafficPolicy": "Local"}}),
            "spec.service.externalTrafficPolicy: needs type NodePort or LoadBalancer",
        ),
        (
            json!({"persistence": {"type": "nfs"}}),
            "spec.persistence.type: \"nfs\": must be emptyDir, hostPath or pvc",
        ),
        (
            json!({"persistence": {"type": "pvc"}}),
            "spec.persistence.persistentVolumeClaim: is needed with type pvc",
        ),
        (
            json!({"persistence": {"type": "hostPath", "hostPath": "x"}}),
            "spec.persistence.hostPath: \"x\": must be an absolute path with type hostPath",
        ),
        (
            json!({"certificateRefs": [{"type": "ca", "name": "a"}, {"type": "ca", "name": "b"}]}),
            "spec.certificateRefs[1].type: \"ca\": is named twice; keep one of them",
        ),
        (
            json!({"manifests": [{"name": "m", "emptyDir": {}}, {"name": "m", "emptyDir": {}}]}),
            "spec.manifests[1].name: \"m\": is the name of spec.manifests[0].name too; choose another",
        ),
        (
            json!({"mounts": [{"path": "/a", "emptyDir": {}}, {"path": "/a/", "emptyDir": {}}]}),
            "spec.mounts[1].path: \"/a/\": is the place of spec.mounts[0].path too; choose another",
        ),
        (
            json!({"manifests": [{"name": "a-b", "emptyDir": {}}], "mounts": [{"path": "/a/b", "emptyDir": {}}]}),
            "spec.mounts[0].path: \"/a/b\": gives the volume the name \"a-b\", which spec.manifests[0].name has too; \
             choose another place",
        ),
        (
            json!({"mounts": [{"path": "data", "emptyDir": {}}]}),
            "spec.mounts[0].path: \"data\": must be an absolute path without a colon or line break",
        ),
        (
            json!({"mounts": [{"path": "/var/lib/k0s/", "emptyDir": {}}]}),
            "spec.mounts[0].path: \"/var/lib/k0s/\": is used by the control plane itself; choose another place",
        ),
        (
            json!({"controlPlaneFlags": ["--debug", "--x=$(id)"]}),
            "spec.controlPlaneFlags[1]: \"--x=$(id)\": has an unquoted '$'; quote it, there is no shell that would expand it",
        ),
        (
            json!({"controlPlaneFlags": ["--enable-worker"]}),
            "spec.controlPlaneFlags[0]: \"--enable-worker\": has --enable-worker, which a control plane in a pod cannot do; \
             remove it",
        ),
        (
            json!({"k0sConfig": {"kind": "Pod"}}),
            "spec.k0sConfig.kind: \"Pod\": must be ClusterConfig or absent",
        ),
        (
            json!({"k0sConfig": {"apiVersion": "v1"}}),
            "spec.k0sConfig.apiVersion: \"v1\": must be k0s.k0sproject.io/v1beta1 or absent",
        ),
        (json!({"k0sConfig": {"spec": []}}), "spec.k0sConfig.spec: must be an object"),
    ]);
}

#[test]
fn a_field_without_effect_is_refused_and_a_wish_for_what_happens_anyway_is_not() {
    let hosts = json!({"apiHost": "a", "konnectivityHost": "k"});
    each::<HostedControlPlaneSpec>(&[
        (
            json!({"ingress": hosts}),
            "spec.ingress: has no effect in this release yet; use service.type LoadBalancer or NodePort",
        ),
        (
            json!({"gateway": {"parentRefs": [{"name": "g"}], "apiHost": "a", "konnectivityHost": "k"}}),
            "spec.gateway: has no effect in this release yet; use service.type LoadBalancer or NodePort",
        ),
        (
            json!({"remoteHostCluster": {"kubeconfigRef": {"name": "n", "namespace": "ns"}}}),
            "spec.remoteHostCluster.kubeconfigRef: has no effect in this release yet; remove it: the pods run in this \
             cluster",
        ),
        (json!({"remoteHostCluster": {}}), ""),
        (
            json!({"storage": {"type": "nats"}}),
            "spec.storage.type: has no effect in this release yet; use etcd or kine instead of nats",
        ),
        (
            json!({"patches": [{"target": {"kind": "Service", "component": "c"}, "patch": {"type": "json", "content": ""}}]}),
            "spec.patches: has no effect in this release yet; remove it",
        ),
        (json!({"podTemplate": {}}), "spec.podTemplate: has no effect in this release yet; remove it"),
        (
            json!({"storage": {"etcd": {"podTemplate": {}}}}),
            "spec.storage.etcd.podTemplate: has no effect in this release yet; remove it",
        ),
        (
            json!({"storage": {"etcd": {"defragJob": {"enabled": true}}}}),
            "spec.storage.etcd.defragJob.enabled: has no effect in this release yet; set it to false",
        ),
        (
            json!({"networkPolicy": {"enabled": true}}),
            "spec.networkPolicy.enabled: has no effect in this release yet; set it to false",
        ),
        (
            json!({"podDisruptionBudget": {"enabled": true}}),
            "spec.podDisruptionBudget.enabled: has no effect in this release yet; remove it",
        ),
        (
            json!({"monitoring": {"enabled": true}}),
            "spec.monitoring.enabled: has no effect in this release yet; set it to false",
        ),
        (
            json!({"rollout": {"surge": true}}),
            "spec.rollout.surge: has no effect in this release yet; set it to false",
        ),
        (
            json!({"rollout": {"window": {"schedule": "0 3 * * *", "durationMinutes": 60}}}),
            "spec.rollout.window: has no effect in this release yet; remove it",
        ),
        (json!({"hibernate": true}), "spec.hibernate: has no effect in this release yet; set it to false"),
        (
            json!({"hibernate": false, "monitoring": {"enabled": false}, "rollout": {"surge": false},
                "networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false},
                "storage": {"etcd": {"defragJob": {"enabled": false}}}}),
            "",
        ),
    ]);
    each::<JoinTokenRequestSpec>(&[
        (json!({"clusterName": "c", "expiry": "1h"}), ""),
        (
            json!({"clusterName": "c", "role": "controller"}),
            "spec.role: has no effect in this release yet; only role worker is served",
        ),
        (
            json!({"clusterName": "c", "expiry": "1h; id"}),
            "spec.expiry: \"1h; id\": must be a duration such as 90m or 1h30m; 0s means never",
        ),
        (json!({"clusterName": ""}), "spec.clusterName: is needed: the name of a Cluster in this namespace"),
    ]);
    each::<RemoteMachineSpec>(&[
        (json!({"pool": ""}), ""),
        (json!({"pool": "p"}), "spec.pool: has no effect in this release yet; name the host in spec.address"),
        (
            json!({"provisionJob": {}}),
            "spec.provisionJob: has no effect in this release yet; remove it: the built-in SSH client is used",
        ),
        (
            json!({"jumpHost": {"address": "j"}}),
            "spec.jumpHost: has no effect in this release yet; remove it: the host must be reached directly",
        ),
    ]);
}

#[test]
fn w_2_and_x_1_faults_of_a_worker_config() {
    let source = json!({"secretRef": {"name": "s", "key": "k"}});
    each::<K0sWorkerConfigSpec>(&[
        (json!({}), ""),
        (json!({"version": "v1.34.1-k0s.0", "downloadURL": "https://get.k0s.sh"}), ""),
        (json!({"version": "one"}), "spec.version: \"one\": must look like v1.34.1+k0s.0"),
        (json!({"workingDir": "x"}), "spec.workingDir: \"x\": must be an absolute path without a line break"),
        (json!({"k0sInstallDir": "C:\\k0s"}), ""),
        (
            json!({"downloadURL": "file:///k0s"}),
            "spec.downloadURL: \"file:///k0s\": must begin with https://, http:// or oci://",
        ),
        (
            json!({"files": [{"path": "/a", "content": ""}, {"path": "/a", "content": ""}]}),
            "spec.files[1].path: \"/a\": is the path of spec.files[0] too",
        ),
        (
            json!({"files": [{"content": "x"}]}),
            "spec.files[0].path: must be an absolute path without a line break",
        ),
        (json!({"files": [{"path": "/a"}]}), "spec.files[0]: needs content or contentFrom"),
        (
            json!({"files": [{"path": "/a", "content": "x", "contentFrom": source}]}),
            "spec.files[0]: must have either content or contentFrom",
        ),
        (json!({"files": [{"path": "/a", "content": "", "contentFrom": source}]}), ""),
        (
            json!({"files": [{"path": "/a", "contentFrom": {}}]}),
            "spec.files[0].contentFrom: must have exactly one of secretRef and configMapRef",
        ),
        (
            json!({"files": [{"path": "/a", "contentFrom": {"configMapRef": {"name": "", "key": "k"}}}]}),
            "spec.files[0].contentFrom.configMapRef: needs name and key",
        ),
        (
            json!({"files": [{"path": "/a", "content": "x", "permissions": "rw-"}]}),
            "spec.files[0].permissions: \"rw-\": must be an octal number such as \"0644\"",
        ),
        (
            json!({"provisioner": {"type": "ignition", "ignition": {"variant": "fcos", "version": "1.0.0"}}}),
            "spec.provisioner.type: has no effect in this release yet; only cloud-config is rendered",
        ),
        (
            json!({"provisioner": {"platform": "windows"}}),
            "spec.provisioner.platform: has no effect in this release yet; only linux is provisioned",
        ),
    ]);
}

#[test]
fn faults_of_a_remote_machine() {
    each::<RemoteMachineSpec>(&[
        (json!({"address": "10.0.0.1", "port": 0, "user": "", "sshKeyRef": {"name": ""}}), ""),
        (json!({"port": 70000}), "spec.port: \"70000\": must be between 1 and 65535; 0 means 22"),
        (
            json!({"address": "-oProxyCommand=id"}),
            "spec.address: \"-oProxyCommand=id\": must not contain white space nor begin with a dash",
        ),
        (json!({"user": "a b"}), "spec.user: \"a b\": must not contain white space nor begin with a dash"),
        (
            json!({"workingDir": "tmp"}),
            "spec.workingDir: \"tmp\": must be an absolute path without a line break",
        ),
        (json!({"hostKeyPolicy": "Pinned"}), "spec.hostKeyPolicy: \"Pinned\": needs hostKeys or hostKeysRef"),
        (
            json!({"hostKeys": ["abc"]}),
            "spec.hostKeys[0]: \"abc\": must be a fingerprint SHA256:... or a public key line such as ssh-ed25519 AAAA...",
        ),
    ]);
}

fn step(old: &Value, new: &Value) -> String {
    let read = |spec: &Value| -> HostedControlPlaneSpec { serde_json::from_value(spec.clone()).unwrap() };
    in_words(&read(new).faults(Some(&read(old)))).unwrap_or_default()
}

#[test]
fn h_3_a_fault_that_was_there_before_is_no_reason_to_refuse_an_edit_elsewhere() {
    let old = json!({"version": "latest"});
    assert_eq!(step(&old, &json!({"version": "latest", "replicas": 3})), "");
    assert!(step(&old, &json!({"version": "newest"})).starts_with("spec.version: \"newest\""));
}

#[test]
fn a_step_that_loses_data_or_skips_a_minor_version_is_refused() {
    let skew = "upgrading more than one minor version at a time is not allowed by the Kubernetes skew policy";
    let network = |cidr: &str| json!({"k0sConfig": {"spec": {"network": {"podCIDR": cidr}}}});
    assert_eq!(
        step(&json!({"version": "v1.33.0"}), &json!({"version": "v1.35.0"})),
        format!("spec.version: \"v1.35.0\": {skew}")
    );
    assert_eq!(step(&json!({"version": "v1.33.0"}), &json!({"version": "v1.34.9+k0s.1"})), "");
    assert_eq!(step(&json!({"version": "v1.33.0"}), &json!({"version": "v1.32.0"})), "");
    assert!(
        step(&json!({}), &json!({"storage": {"type": "kine"}}))
            .starts_with("spec.storage.type: cannot be changed")
    );
    assert_eq!(step(&json!({}), &json!({"storage": {"type": "etcd"}})), "");
    assert!(
        step(&network("10.1.0.0/16"), &network("10.2.0.0/16"))
            .starts_with("spec.k0sConfig.spec.network.podCIDR: cannot")
    );
}

#[test]
fn a_database_password_is_in_no_fault_and_in_no_debug_text() {
    let spec: HostedControlPlaneSpec = serde_json::from_value(json!({
        "replicas": 3,
        "version": "bad",
        "storage": {"type": "kine", "kine": {"dataSourceURL": "postgres://u:hunter2@db/x"}},
        "k0sConfig": {"spec": {"storage": {"kine": {"dataSource": "mysql://u:hunter2@db"}}}},
    }))
    .unwrap();
    let debug = format!("{spec:?} {:?}", spec.faults(None));
    assert!(!debug.contains("hunter2"), "{debug}");
}
