//! The whole set of objects per storage, persistence and exposure, as a person approved it. Order is order of
//! requests (section 7).

use super::world::{exposed, told, with_keys, with_spec};
use crate::cluster::facts::{NodeFact, Seen};
use crate::cluster::plan::plan;

fn set(name: &str, spec: &str) {
    let mut seen = exposed(with_keys(with_spec(spec)));
    if seen.spec.service_type() == api::hosted::ServiceType::NodePort {
        let fact =
            NodeFact { schedulable: true, ready: true, since: None, address: Some("192.0.2.1".into()) };
        seen.nodes.push(Seen { name: "node".into(), fact, ..Seen::default() });
    }
    if seen.spec.kine_source() != api::defaults::KineSource::Sqlite {
        seen.source = crate::cluster::observe::Source::Known("digest of the address".into());
    }
    for service in &mut seen.services {
        service.fact.balancer = Some("192.0.2.9".into());
    }
    insta::assert_yaml_snapshot!(name, told(&plan(&seen)));
}

#[test]
fn sqlite_on_an_emptydir_behind_node_ports() {
    set(
        "sqlite-emptydir-nodeport",
        "version: v1.36.3+k0s.2\nservice: {type: NodePort}\nstorage: {type: kine}",
    );
}

#[test]
fn sqlite_on_a_claim_with_an_older_k0s() {
    set(
        "sqlite-pvc-clusterip",
        "version: v1.34.1\nstorage: {type: kine}\npersistence:\n  type: pvc\n  autoDeletePVCs: true\n  persistentVolumeClaim:\n    metadata: {name: data}\n    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1024Mi}}}",
    );
}

#[test]
fn sql_behind_a_load_balancer_with_everything_a_user_can_add() {
    set(
        "sql-loadbalancer",
        r#"version: v1.36.3+k0s.2
replicas: 2
service: {type: LoadBalancer, apiPort: 443, annotations: {lb: small}, loadBalancerSourceRanges: [10.0.0.0/8]}
storage: {type: kine, kine: {dataSourceSecretName: db}}
persistence: {type: hostPath, hostPath: /data}
serviceAccount: runner
controlPlaneFlags: ["--debug", "--disable-components=konnectivity-server"]
resources: {requests: {cpu: 1000m, memory: 1024Mi}}
manifests: [{name: addons, configMap: {name: addons}}]
mounts: [{path: /etc/audit, secret: {secretName: audit}}, {path: /var/log/audit, emptyDir: {}}]
certificateRefs: [{type: ca, name: one-ca}]
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
k0sConfig:
  spec:
    api: {sans: [api.example.com], extraArgs: {v: "2"}}
    network: {provider: calico, serviceCIDR: 10.100.0.0/16}"#,
    );
}

#[test]
fn three_members_of_etcd() {
    set(
        "etcd-3",
        "version: v1.36.3+k0s.2\nreplicas: 3\nstorage: {etcd: {args: [--quota-backend-bytes=1], autoDeletePVCs: true, persistence: {storageClass: fast, size: 2Gi}}}",
    );
}
