//! The management cluster: real pods, real Cluster API, and nothing left of either. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use testbed::cluster::{self, ClusterOptions};
use testbed::cluster_api::{Provider, ProviderKind};
use testbed::control_plane::apply;
use testbed::{Cluster, cluster_api};

/// There is one cluster at a time, and one of these keeps its own.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const METADATA: &str = "apiVersion: clusterctl.cluster.x-k8s.io/v1alpha3
kind: Metadata
releaseSeries:
- {major: 1, minor: 0, contract: v1beta2}
";

const COMPONENTS: &str = "apiVersion: v1
kind: Namespace
metadata: {name: story-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: installed, namespace: story-system}
";

fn said(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program).args(args).output().with_context(|| format!("run {program}"))?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// What of the kernel's and the machine's is of interest: seen with tools that the bed does not use for its own check.
fn machine(state: &Path) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    for (of, text) in [
        ("mount", fs::read_to_string("/proc/mounts")?),
        ("link", said("ip", &["-o", "link"])?),
        ("address", said("ip", &["-o", "address"])?),
        ("route", said("ip", &["route", "show", "table", "all"])?),
        ("netns", said("ip", &["netns", "list"])?),
        ("nft", said("nft", &["list", "tables"])?),
        ("process", said("pgrep", &["-fa", &state.to_string_lossy()])?),
    ] {
        // Machines of other tests come and go at the same time; ours have these marks.
        let ours = |line: &&str| {
            ["k0stestbed", "k0smotron-testbed", "kube-proxy", "10.210.", "10.211.", "10.212.", "cni-"]
                .iter()
                .any(|mark| line.contains(mark))
                || line.contains(&*state.to_string_lossy())
        };
        seen.extend(text.lines().filter(ours).map(|line| format!("{of}: {line}")));
    }
    // Other kubelets of this machine change the settings themselves, too: what is compared is who claims them.
    let held = fs::read_to_string("/run/k0smotron-testbed/sysctls.json").unwrap_or_default();
    if held.contains("management-cluster") {
        seen.insert(format!("settings: {held}"));
    }
    for folder in ["/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers"] {
        if Path::new(folder).exists() {
            seen.insert(folder.to_owned());
        }
    }
    Ok(seen)
}

fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            other if start.elapsed() > Duration::from_mins(1) => bail!("not {what}: {:?}", other.err()),
            _ => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn web() -> Vec<serde_json::Value> {
    let labels = json!({"app": "web"});
    vec![
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}},
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": labels},
            "spec": {
                "containers": [{
                    "name": "web", "image": testbed::image::BUSYBOX,
                    "command": ["sh", "-c", "echo served > /data/index.html; echo said; exec httpd -f -p 8080 -h /data"],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {
                "type": "LoadBalancer", "selector": labels,
                "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080}],
            },
        }),
    ]
}

#[tokio::test]
async fn a_pod_with_a_claim_is_reached_in_every_way_and_nothing_of_it_is_left() -> Result<()> {
    let _one = ONE.lock().await;
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let before = machine(&state)?;
    let bed = Cluster::start(ClusterOptions { state: state.clone(), ..Default::default() }).await?;
    apply(&bed.client().await?, &web()).await?;
    bed.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"])?;
    assert_eq!(bed.kubectl(&["logs", "web"])?, "said\n");

    let path = "jsonpath={.spec.clusterIP} {.status.loadBalancer.ingress[0].ip}";
    let addresses = eventually("given an address", || {
        let said = bed.kubectl(&["get", "service", "web", "-o", path])?;
        Ok(said
            .split_once(' ')
            .filter(|(_, balancer)| !balancer.is_empty())
            .map(|it| (it.0.to_owned(), it.1.to_owned())))
    })?;
    let node_port = format!("{}:30080", cluster::network::NODE_IP);
    for url in [&addresses.0, &addresses.1, &node_port] {
        eventually("served to the machine", || {
            Ok((said("curl", &["-s", "-m", "2", url])? == "served\n").then_some(()))
        })?;
    }
    for name in ["web.default.svc.cluster.local", addresses.1.as_str()] {
        let url = format!("http://{name}");
        let fetched = bed.kubectl(&["exec", "web", "--", "wget", "-q", "-O", "-", &url])?;
        assert_eq!(fetched, "served\n", "a pod reaches {name}");
    }
    let volumes = bed.dir().join("volumes");
    assert_eq!(fs::read_dir(&volumes)?.count(), 1);
    bed.kubectl(&["delete", "pod/web", "pvc/data", "--grace-period=1"])?;
    eventually("the volume removed", || Ok((fs::read_dir(&volumes)?.count() == 0).then_some(())))?;

    // A pod that nobody deletes is the bed's to end.
    apply(&bed.client().await?, &web()).await?;
    bed.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"])?;
    bed.down()?;
    assert_eq!(cluster::left(&state), Vec::<String>::new());
    assert_eq!(machine(&state)?, before);
    Ok(())
}

#[tokio::test]
async fn what_a_killed_run_left_is_removed_by_the_next_one() -> Result<()> {
    let _one = ONE.lock().await;
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let before = machine(&state)?;
    let mut up = Command::new(env!("CARGO_BIN_EXE_testbed")).arg("up").arg("--state").arg(&state).spawn()?;
    eventually("half started", || Ok(state.join("cluster/pids/kubelet").exists().then_some(())))?;
    up.kill()?;
    up.wait()?;
    assert_ne!(machine(&state)?, before, "the run was killed too late or too early to leave anything");

    let bed = Cluster::start(ClusterOptions { state: state.clone(), ..Default::default() }).await?;
    bed.kubectl(&["get", "nodes"])?;
    drop(bed);
    assert_eq!(cluster::left(&state), Vec::<String>::new());
    assert_eq!(machine(&state)?, before);
    Ok(())
}

/// A kept cluster, removed whatever becomes of its test: there is one place for all.
struct Kept<'a>(&'a Path);

impl Kept<'_> {
    fn down(&self) -> Result<bool> {
        let mut down = Command::new(env!("CARGO_BIN_EXE_testbed"));
        Ok(down.arg("down").arg("--state").arg(self.0).status()?.success())
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        // What is down already is down again.
        let _ = self.down();
    }
}

#[tokio::test]
async fn clusterctl_installs_core_and_finds_it_in_a_kept_cluster() -> Result<()> {
    let _one = ONE.lock().await;
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let keep = Some(env!("CARGO_BIN_EXE_testbed").into());
    let kept = Kept(&state);
    drop(Cluster::start(ClusterOptions { state: state.clone(), keep }).await?);

    let bed = Cluster::attach(&state)?;
    cluster_api::install(&bed, &[]).await?;
    // A further provider comes from files, beside the core that is there already.
    let files = dir.path().join("provider");
    fs::create_dir(&files)?;
    fs::write(files.join("metadata.yaml"), METADATA)?;
    fs::write(files.join("infrastructure-components.yaml"), COMPONENTS)?;
    let provider = Provider {
        name: "story".to_owned(),
        kind: ProviderKind::Infrastructure,
        version: "v1.0.0".to_owned(),
        dir: files,
    };
    cluster_api::install(&bed, &[provider]).await?;
    assert_eq!(
        bed.kubectl(&["get", "configmap", "-n", "story-system", "installed", "-o", "name"])?,
        "configmap/installed\n"
    );

    // Core's webhook answers: the signer's authority is where the API server looks.
    let object = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
        "metadata": {"name": "refused", "namespace": "default"},
        "spec": {"clusterNetwork": {"pods": {"cidrBlocks": ["nonsense"]}}},
    });
    let refused =
        apply(&bed.client().await?, &[object]).await.err().context("core's webhook did not answer")?;
    assert!(format!("{refused:#}").contains("cidrBlocks"), "{refused:#}");
    assert!(
        Cluster::start(ClusterOptions { state: state.clone(), keep: None }).await.is_err(),
        "one is kept here"
    );

    assert!(kept.down()?);
    assert_eq!(cluster::left(&state), Vec::<String>::new());
    Ok(())
}
