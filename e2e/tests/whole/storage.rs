//! Five hosted clusters, each with another storage, behind all types of Service.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::{Value, json};
use testbed::cluster::network::{NODE_IP, POD_SUBNET};
use testbed::postgres::Postgres;

use crate::support::{CLUSTER, Day, answer, child, eventually, hosted, hosted_ready, kubectl, pods};

/// The cluster on a claim: a worker joins it by hand later.
pub const ON_A_CLAIM: &str = "claim";
const ON_SQL: &str = "sql";
/// Not Debian's own port, where the machine may have a database.
const PORT: u16 = 15_432;

/// A cluster, and whether its data outlive its pod.
struct Sample {
    name: &'static str,
    members: usize,
    keeps: bool,
    spec: Value,
}

/// The clusters, and the database that one of them is in.
pub struct Storages {
    samples: Vec<Sample>,
    _postgres: Postgres,
}

fn samples(day: &Day) -> Result<Vec<Sample>> {
    let directory = day.folder("host-path")?.join("control-plane");
    let version = day.version();
    let for_workers = e2e::demo::for_workers();
    let sample = |name, keeps, members, spec: Value| Sample { name, members, keeps, spec };
    let claim =
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    Ok(vec![
        sample("empty", false, 0, json!({"version": version, "storage": {"type": "kine"}})),
        sample(
            ON_A_CLAIM,
            true,
            0,
            json!({"version": version, "storage": {"type": "kine"}, "k0sConfig": for_workers,
                "service": {"type": "NodePort", "apiPort": 30570, "konnectivityPort": 30571},
                "persistence": {"type": "pvc", "autoDeletePVCs": true, "persistentVolumeClaim": claim}}),
        ),
        sample(
            "path",
            true,
            0,
            json!({"version": version, "storage": {"type": "kine"}, "service": {"type": "LoadBalancer"},
                "persistence": {"type": "hostPath", "hostPath": directory}}),
        ),
        sample(
            ON_SQL,
            true,
            0,
            json!({"version": version, "storage": {"type": "kine", "kine": {"dataSourceSecretName": "database"}},
                "service": {"type": "LoadBalancer"}}),
        ),
        sample(
            "members",
            true,
            1,
            json!({"version": version, "storage": {"type": "etcd", "etcd": {"autoDeletePVCs": true}},
                "service": {"type": "NodePort", "apiPort": 30580, "konnectivityPort": 30581}}),
        ),
    ])
}

impl Storages {
    /// Makes the clusters, two at a time: the start of a control plane is all computing, and two have two processors
    /// busy.
    pub async fn come_up(day: &Day) -> Result<Self> {
        // A failed run may have left its own.
        let postgres = Postgres::start(&day.bed.cluster.dir(), NODE_IP, PORT, &[POD_SUBNET]).await?;
        let source = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database", "namespace": "default"},
            "stringData": {"K0SMOTRON_KINE_DATASOURCE_URL": postgres.data_source("kine")}});
        day.apply(&[source]).await?;
        let samples = samples(day)?;
        for pair in samples.chunks(2) {
            for sample in pair {
                day.apply(&[hosted(sample.name, &sample.spec)]).await?;
            }
            for sample in pair {
                hosted_ready(day, sample.name, 1, sample.members).await?;
            }
        }
        day.say(
            "five control planes are Available: sqlite on emptyDir, claim and hostPath, PostgreSQL, etcd",
        );
        Ok(Self { samples, _postgres: postgres })
    }

    /// Each is written to, and what should outlive a pod does.
    pub async fn keep_their_data(&self, day: &Day) -> Result<()> {
        for sample in &self.samples {
            write(day, sample.name).await?;
        }
        let kept: Vec<_> = self.samples.iter().filter(|sample| sample.keeps).collect();
        for pair in kept.chunks(2) {
            let mut former = BTreeMap::new();
            for sample in pair {
                let pod = format!("kmc-{}-0", sample.name);
                former.insert(sample.name, uid(day, sample.name, &pod).await?.context("no pod")?);
                day.bed.cluster.kubectl(&["delete", "pod", &pod, "--wait=false"])?;
            }
            for Sample { name, members, .. } in pair.iter().copied() {
                let pod = format!("kmc-{name}-0");
                eventually(&format!("{pod} is replaced"), || async {
                    Ok(uid(day, name, &pod).await?.is_some_and(|uid| uid != former[name]))
                })
                .await?;
                hosted_ready(day, name, 1, *members).await?;
                // The pod is Ready; the node's proxy learns of its address a moment later.
                let note = answer(&format!("{name} answers"), || read(day, name)).await?;
                ensure!(note.as_deref() == Some(name), "{name} has lost what was written: {note:?}");
            }
        }
        day.say("claim, hostPath, PostgreSQL and etcd kept the data of a deleted pod");
        Ok(())
    }

    /// All go, and nothing of them is left.
    pub async fn delete(self, day: &Day) -> Result<()> {
        for sample in &self.samples {
            day.let_go(CLUSTER, sample.name).await?;
        }
        for sample in &self.samples {
            day.gone(CLUSTER, sample.name).await?;
        }
        eventually("nothing of the five clusters is left", || async {
            let kinds = "statefulset,pod,service,configmap,secret,persistentvolumeclaim";
            let left = kubectl(&day.kubeconfig(), &["get", kinds, "-o", "name"]).await?;
            let of = |line: &str, name: &str| {
                line.contains(&format!("kmc-{name}")) || line.contains(&format!("/{name}-"))
            };
            Ok(!left.lines().any(|line| self.samples.iter().any(|sample| of(line, sample.name))))
        })
        .await?;
        day.bed.cluster.kubectl(&["delete", "secret", "database"])?;
        day.say("the five clusters are gone, with their volumes");
        Ok(())
    }
}

async fn uid(day: &Day, cluster: &str, pod: &str) -> Result<Option<String>> {
    let pods = pods(day, cluster).await?;
    let found = pods.into_iter().find(|one| one.metadata.name.as_deref() == Some(pod));
    Ok(found.and_then(|pod| pod.metadata.uid))
}

const NOTE: &str = "note";

async fn write(day: &Day, name: &str) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(child(day, name).await?, "default");
    let data = BTreeMap::from([("cluster".to_owned(), name.to_owned())]);
    let metadata = ObjectMeta { name: Some(NOTE.to_owned()), ..ObjectMeta::default() };
    let note = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
    // Available means that the API answers; the namespace is made by it a moment later.
    eventually(&format!("{name} takes a ConfigMap"), || async {
        Ok(api.create(&PostParams::default(), &note).await.is_ok())
    })
    .await
}

/// What was written; `None` when it is lost.
async fn read(day: &Day, name: &str) -> Result<Option<String>> {
    let api: Api<ConfigMap> = Api::namespaced(child(day, name).await?, "default");
    let note = api.get_opt(NOTE).await?;
    Ok(note.and_then(|note| note.data?.get("cluster").cloned()))
}
