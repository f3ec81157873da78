//! One cluster from the shipped template: a control plane in pods, a worker on a host reached by SSH.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testbed::Cluster;
use testbed::machine::fleet::FleetMachine;
use testbed::tools::{self, Tool};

use crate::bed::Bed;
use crate::progress::Progress;
use crate::repo;

/// A cluster of the quickstart or a test.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// How long a step of a whole cluster may take before it counts as failed: many times what it takes.
const PATIENCE: Duration = Duration::from_mins(5);

impl Demo {
    /// Applies the template with what this box needs.
    pub fn apply(
        &self,
        bed: &Bed,
        machine: &FleetMachine,
        ssh_key: &Path,
        edit: impl Fn(&mut Value),
    ) -> Result<()> {
        let key = fs::read(ssh_key).with_context(|| format!("cannot read {}", ssh_key.display()))?;
        let kubernetes = bed.k0s.version.split('+').next().unwrap_or_default();
        let template = repo::root().join("templates/cluster-template-hcp.yaml");
        let out = Command::new(tools::path(Tool::Clusterctl)?)
            .args(["generate", "cluster", &self.name, "--target-namespace", &self.namespace])
            .args(["--kubernetes-version", kubernetes, "--from"])
            .arg(&template)
            .arg("--kubeconfig")
            .arg(bed.cluster.kubeconfig())
            .env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true")
            .env("XDG_CONFIG_HOME", bed.cluster.dir())
            .env("SSH_PRIVATE_KEY", STANDARD.encode(key))
            .env("REMOTE_MACHINE_ADDRESS", machine.address.to_string())
            .output()
            .context("cannot run clusterctl")?;
        ensure!(
            out.status.success(),
            "clusterctl generate cluster: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let text = String::from_utf8(out.stdout).context("clusterctl's output")?;
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text).context("the generated cluster")?;
        for object in &mut objects {
            suit_this_box(object, &bed.k0s.version);
            edit(object);
        }
        let file = bed.cluster.dir().join(format!("{}-{}.json", self.namespace, self.name));
        fs::write(
            &file,
            serde_json::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))?,
        )?;
        if self.namespace != "default" {
            let _ = bed.cluster.kubectl(&["create", "namespace", &self.namespace]);
        }
        bed.cluster.kubectl(&["apply", "-f", &file.display().to_string()])?;
        Ok(())
    }

    /// Waits until control plane and worker are there, and writes the kubeconfig beside the bed's.
    pub async fn ready(&self, cluster: &Cluster, progress: &Progress) -> Result<PathBuf> {
        self.until(cluster, "control plane is Available", &["k0smotroncontrolplane", &self.name], |object| {
            condition(object, "Available")
        })
        .await?;
        progress.say("the control plane is Available");
        let kubeconfig = self.kubeconfig(cluster)?;
        let machine = format!("{}-worker-0", self.name);
        self.until(cluster, "worker has a node", &["machine", &machine], |object| {
            object["status"]["nodeRef"]["name"].is_string()
        })
        .await?;
        progress.say("the worker has joined");
        let began = Progress::start();
        loop {
            let nodes = kubectl(&kubeconfig, &["get", "nodes", "-o", "json"]).unwrap_or_default();
            let nodes: Value = serde_json::from_str(&nodes).unwrap_or_default();
            let items = nodes["items"].as_array().cloned().unwrap_or_default();
            if !items.is_empty() && items.iter().all(|node| condition(node, "Ready")) {
                break;
            }
            ensure!(began.seconds() < PATIENCE.as_secs_f64(), "the node is not Ready: {nodes}");
            pause().await;
        }
        progress.say("the node is Ready");
        Ok(kubeconfig)
    }

    /// The cluster's kubeconfig as a file.
    pub fn kubeconfig(&self, cluster: &Cluster) -> Result<PathBuf> {
        let secret = format!("{}-kubeconfig", self.name);
        let value = cluster.kubectl(&[
            "get",
            "secret",
            "-n",
            &self.namespace,
            &secret,
            "-o",
            "jsonpath={.data.value}",
        ])?;
        let path = cluster.state().join(format!("{}.kubeconfig", self.name));
        fs::write(&path, STANDARD.decode(value.trim()).context("the kubeconfig Secret")?)?;
        Ok(path)
    }

    /// Waits until an object is as wanted; the error shows it as it was last.
    pub async fn until(
        &self,
        cluster: &Cluster,
        what: &str,
        object: &[&str],
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let began = Progress::start();
        loop {
            let args = [&["get", "-n", &self.namespace, "-o", "json"], object].concat();
            let text = cluster.kubectl(&args).unwrap_or_default();
            let seen: Value = serde_json::from_str(&text).unwrap_or_default();
            if wanted(&seen) {
                return Ok(());
            }
            if began.seconds() > PATIENCE.as_secs_f64() {
                bail!(
                    "after {PATIENCE:?} still not: {what}\n{}",
                    serde_json::to_string_pretty(&seen["status"])?
                );
            }
            pause().await;
        }
    }

    /// Deletes the Cluster and waits until it is gone.
    pub fn delete(&self, cluster: &Cluster) -> Result<()> {
        cluster.kubectl(&[
            "delete",
            "cluster",
            "-n",
            &self.namespace,
            &self.name,
            "--ignore-not-found",
            "--timeout=120s",
        ])?;
        Ok(())
    }
}

/// kubectl against a child cluster.
pub fn kubectl(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    testbed::control_plane::run_kubectl(kubeconfig, args)
}

/// Whether a condition of an object is True.
pub fn condition(object: &Value, type_: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == type_ && condition["status"] == "True")
}

async fn pause() {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
    tokio::time::sleep(BETWEEN_LOOKS).await;
}

/// The k0s configuration of a control plane whose workers are hosts of the bed: control groups of version 1, and a
/// box that is nearly full is no reason to evict pods, or to collect images that nobody could pull again.
pub fn for_workers() -> Value {
    json!({
        "apiVersion": "k0s.k0sproject.io/v1beta1",
        "kind": "ClusterConfig",
        "spec": { "workerProfiles": [{ "name": "default", "values": {
            "failCgroupV1": false,
            "evictionHard": { "imagefs.available": "1%", "nodefs.available": "1%", "memory.available": "50Mi" },
            "imageGCHighThresholdPercent": 100,
        } }] },
    })
}

/// Gives an object of a cluster what it needs on this box: hosts of the bed have control groups of version 1, a
/// containerd of their own, and k0s in place.
pub fn suit_this_box(object: &mut Value, version: &str) {
    match object["kind"].as_str() {
        Some("K0smotronControlPlane") => {
            // The template's text means build 0; the bed has the image of one build.
            if !version.ends_with("+k0s.0") {
                object["spec"]["version"] = version.into();
            }
            object["spec"]["k0sConfig"] = for_workers();
        }
        Some("K0sWorkerConfig") => {
            object["spec"]["preInstalledK0s"] = true.into();
            object["spec"]["version"] = version.into();
            object["spec"]["args"] = json!([
                "--ignore-pre-flight-checks",
                "--cri-socket=remote:unix:///run/containerd/containerd.sock",
            ]);
        }
        _ => {}
    }
}
