//! What the whole-system test stands on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::bed::{Bed, NAMESPACE};
use e2e::demo::kubectl;
use e2e::machines;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use testbed::control_plane::AuditEntry;
use testbed::machine::fleet::{self, FleetMachine};

/// Far above what anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(4);

/// Waits for something.
pub async fn eventually<F: Future<Output = Result<bool>>>(what: &str, yes: impl Fn() -> F) -> Result<()> {
    let began = Instant::now();
    let mut last = None;
    loop {
        match yes().await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => last = Some(error),
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what} {}",
            last.map_or_else(String::new, |e| format!("({e:#})"))
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Applies objects by kubectl, as a user does.
pub fn apply(kubeconfig: &Path, objects: &[Value]) -> Result<()> {
    let file = std::env::temp_dir().join(format!("k0smotron-whole-{}.json", std::process::id()));
    std::fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
    let applied = kubectl(
        kubeconfig,
        &["apply", "--server-side", "--force-conflicts", "-f", &file.display().to_string()],
    );
    std::fs::remove_file(&file)?;
    applied.map(drop)
}

/// Deletes objects and waits until they are gone.
pub fn delete(kubeconfig: &Path, what: &[&str]) -> Result<()> {
    kubectl(kubeconfig, &[&["delete", "--ignore-not-found", "--timeout=120s"], what].concat()).map(drop)
}

/// A host of the test's own.
pub struct Fleet {
    pub machines: Vec<FleetMachine>,
    pub key: PathBuf,
    state: PathBuf,
}

impl Fleet {
    pub async fn start(bed: &Bed) -> Result<Self> {
        let state = bed.cluster.state().to_owned();
        // An interrupted run leaves a host that belongs to a cluster of its own.
        fleet::down(&state).await?;
        Ok(Self { machines: machines::up(1, &state, &bed.k0s).await?, key: fleet::ssh_key(&state), state })
    }

    pub async fn stop(self) -> Result<()> {
        fleet::down(&self.state).await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // After a failure: the next run's start would remove it as well.
        let state = self.state.clone();
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(fleet::down(&state)))
        })
        .join();
    }
}

/// Requests of our managers, leases apart: those are how they stay leaders.
pub struct Traffic {
    pub requests: Vec<AuditEntry>,
}

impl Traffic {
    pub fn all(bed: &Bed) -> Result<Self> {
        let ours = format!("system:serviceaccount:{NAMESPACE}:");
        let requests = bed
            .cluster
            .audit()?
            .into_iter()
            .filter(|entry| entry.user.starts_with(&ours) && entry.resource != "leases");
        Ok(Self { requests: requests.collect() })
    }

    pub async fn during(bed: &Bed, how_long: Duration) -> Result<Self> {
        Self::of(bed, async {
            tokio::time::sleep(how_long).await;
            Ok(())
        })
        .await
    }

    pub async fn of(bed: &Bed, act: impl Future<Output = Result<()>>) -> Result<Self> {
        let before = Self::all(bed)?.requests.len();
        act.await?;
        Ok(Self { requests: Self::all(bed)?.requests.split_off(before) })
    }

    /// `verb resource` of each write.
    pub fn writes(&self) -> Vec<String> {
        self.requests.iter().filter(|entry| entry.is_write()).map(Self::words).collect()
    }

    /// `verb resource` of each read besides watches.
    pub fn reads(&self) -> Vec<String> {
        self.requests
            .iter()
            .filter(|entry| !entry.is_write() && entry.verb != "watch")
            .map(Self::words)
            .collect()
    }

    fn words(entry: &AuditEntry) -> String {
        format!("{} {} {}/{} by {}", entry.verb, entry.resource, entry.namespace, entry.name, entry.user)
    }
}

/// Waits until ten seconds passed without a write of ours.
pub async fn settle(bed: &Bed) -> Result<()> {
    let began = Instant::now();
    loop {
        let quiet = Traffic::during(bed, Duration::from_secs(10)).await?;
        if quiet.writes().is_empty() {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "it does not settle: {:?}", quiet.writes());
    }
}

/// The versions of all objects that the managers may write.
pub fn versions(bed: &Bed) -> Result<BTreeMap<String, String>> {
    let kinds = "kmc,k0smotroncontrolplane,k0sworkerconfig,remotemachine,remotecluster,statefulset,service,configmap,secret,jointokenrequest";
    let text = bed.cluster.kubectl(&["get", kinds, "-o", "json"])?;
    let all: Value = serde_json::from_str(&text)?;
    let items = all["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| format!("{} {}", item["kind"], item["metadata"]["name"]);
    Ok(items.iter().map(|item| (name(item), item["metadata"]["resourceVersion"].to_string())).collect())
}

/// Replaces the pods of the managers and waits until they lead again and have looked at everything.
pub async fn restart_managers(bed: &Bed) -> Result<()> {
    bed.cluster.kubectl(&["delete", "pods", "-n", NAMESPACE, "--all", "--grace-period=5"])?;
    testbed::cluster_api::available(&bed.cluster, NAMESPACE).await?;
    // Leading, listing and looking at a handful of objects takes a second or two.
    tokio::time::sleep(Duration::from_secs(20)).await;
    Ok(())
}

/// Waits until a hosted cluster has so many Ready replicas and etcd members, and nothing is under way.
pub async fn hosted_ready(bed: &Bed, name: &str, replicas: i64, members: usize) -> Result<()> {
    let what = format!("{name} has {replicas} replicas and {members} members, all Ready");
    eventually(&what, || async {
        let seen: Value = serde_json::from_str(&bed.cluster.kubectl(&["get", "kmc", name, "-o", "json"])?)?;
        let status = &seen["status"];
        let known = status["etcd"]["members"].as_array().cloned().unwrap_or_default();
        let voters =
            known.iter().filter(|member| member["ready"] == true && member["learner"] != true).count();
        let pods = bed.cluster.kubectl(&["get", "pods", "-l", &format!("cluster={name}"), "-o", "name"])?;
        let expected = usize::try_from(replicas)? + members;
        Ok(status["observedGeneration"] == seen["metadata"]["generation"]
            && e2e::demo::condition(&seen, "Available")
            && status["readyReplicas"] == replicas
            && status["replicas"] == replicas
            && known.len() == members
            && voters == members
            && pods.lines().count() == expected)
    })
    .await
}

/// A client of a child that writes every 100 ms and remembers what was acknowledged.
pub struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    longest_gap_millis: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    pub async fn start(bed: &Bed, name: &str) -> Result<Self> {
        let client = child(bed, name).await?;
        let writer = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(BTreeSet::new())),
            Arc::new(AtomicU64::new(0)),
        );
        let (stop, acknowledged, gap) = writer.clone();
        let task = tokio::spawn(async move {
            let api: Api<ConfigMap> = Api::namespaced(client, "default");
            let mut last = Instant::now();
            for number in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let name = format!("write-{number}");
                let object = ConfigMap {
                    metadata: kube::core::ObjectMeta { name: Some(name.clone()), ..Default::default() },
                    ..Default::default()
                };
                let sent =
                    tokio::time::timeout(Duration::from_secs(2), api.create(&PostParams::default(), &object))
                        .await;
                if matches!(sent, Ok(Ok(_))) {
                    let millis = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
                    gap.fetch_max(millis, Ordering::Relaxed);
                    last = Instant::now();
                    acknowledged.lock().unwrap().insert(name);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Ok(Self { stop: writer.0, acknowledged: writer.1, longest_gap_millis: writer.2, task })
    }

    /// Seconds of the longest time between two acknowledged writes since this was asked last.
    pub fn longest_gap(&self) -> f64 {
        Duration::from_millis(self.longest_gap_millis.swap(0, Ordering::Relaxed)).as_secs_f64()
    }

    /// Stops and checks that every acknowledged write is there: their number and the longest gap.
    pub async fn stop(self, bed: &Bed, name: &str) -> Result<(usize, f64)> {
        self.stop.store(true, Ordering::Relaxed);
        let gap = self.longest_gap();
        self.task.await.context("the writer")?;
        let api: Api<ConfigMap> = Api::namespaced(child(bed, name).await?, "default");
        let there: BTreeSet<String> =
            api.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        ensure!(
            lost.is_empty(),
            "{} acknowledged writes are lost: {:?}",
            lost.len(),
            &lost[..lost.len().min(5)]
        );
        ensure!(!acknowledged.is_empty(), "nothing was written");
        Ok((acknowledged.len(), gap))
    }
}

async fn child(bed: &Bed, name: &str) -> Result<Client> {
    let demo = e2e::demo::Demo { name: name.into(), namespace: "default".into() };
    let path = demo.kubeconfig(&bed.cluster)?;
    let kubeconfig = kube::config::Kubeconfig::read_from(path)?;
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
