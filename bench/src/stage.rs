//! A cluster without kubelets: genuine etcd, API server, controller manager and scheduler; pods get Ready by kwok.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use testbed::ControlPlaneOnly;
use testbed::control_plane::{AuditEntry, ControlPlaneOptions, apply};
use testbed::process::{Life, Process, Program};
use testbed::tools::{self, Files, Tool};

use crate::isolate;

/// What it is made of.
pub const TOOLS: [Tool; 6] = [
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::Kubectl,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kwok,
];
/// Where the measured clusters are.
pub const NAMESPACE: &str = "bench";
/// Where one is made to see how soon it is served: its requests are not counted with the others.
pub const PROBE_NAMESPACE: &str = "bench-probe";
/// The manager's user.
pub const USER: &str = "bench-manager";
/// The class of claims without one.
const STORAGE_CLASS: &str = "bench";
/// A node carries this many simulated pods, which cost it nothing.
const PODS_PER_NODE: usize = 250;
/// Nodes are Ready within a second or two.
const PATIENCE: Duration = Duration::from_mins(1);

/// The running stage.
pub struct Stage {
    // Before the control plane, whose directory holds their files.
    _programs: Vec<Process>,
    server: ControlPlaneOnly,
    /// May do everything.
    pub admin: Client,
}

impl Stage {
    /// Starts it with room for so many pods and claims.
    pub async fn set(pods: usize, claims: usize) -> Result<Self> {
        // Its own controller manager asks too slowly for hundreds of StatefulSets at once; ours is started below.
        let server = ControlPlaneOnly::start_with(ControlPlaneOptions::default()).await?;
        server.apply_crds_dir(&e2e::repo::root().join("crds")).await?;
        let admin = server.client().await?;
        let programs = vec![kwok(&server)?, controller_manager(&server)?, scheduler(&server)?];
        apply(&admin, &objects(pods, claims)).await?;
        let stage = Self { _programs: programs, server, admin };
        stage.nodes_ready().await?;
        Ok(stage)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.server.dir()
    }

    /// The manager's kubeconfig file. Its rights are not measured here.
    pub fn manager_kubeconfig(&self) -> Result<std::path::PathBuf> {
        let path = self.dir().join("manager.kubeconfig");
        self.server.access(USER, &["system:masters"])?.write(&path)?;
        Ok(path)
    }

    /// What the manager asked up to now.
    pub fn asked(&self) -> Result<Vec<AuditEntry>> {
        let mut all = self.server.audit()?;
        all.retain(|entry| entry.user == USER);
        Ok(all)
    }

    /// Copies the audit log, which goes with the stage.
    pub fn keep_audit(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::copy(self.dir().join("audit.log"), path).with_context(|| path.display().to_string())?;
        Ok(())
    }

    async fn nodes_ready(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.admin.clone());
        let start = Instant::now();
        loop {
            let all = nodes.list(&ListParams::default()).await?.items;
            let ready = |node: &Node| {
                let status = serde_json::to_value(&node.status).unwrap_or_default();
                e2e::demo::condition(&json!({"status": status}), "Ready")
            };
            if all.iter().all(ready) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("simulated nodes are not Ready after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Nodes, volumes and namespaces.
fn objects(pods: usize, claims: usize) -> Vec<Value> {
    let mut all: Vec<Value> = [NAMESPACE, PROBE_NAMESPACE]
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .into();
    // Nobody schedules onto a node that nobody made Ready; kwok does.
    all.extend((0..=pods / PODS_PER_NODE).map(|number| {
        let room = json!({"cpu": "1000", "memory": "4Ti", "pods": (PODS_PER_NODE + 50).to_string()});
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("simulated-{number}"), "labels": {"type": "kwok"}},
            "status": {"capacity": room, "allocatable": room},
        })
    }));
    if claims > 0 {
        all.push(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "kubernetes.io/no-provisioner",
        }));
    }
    all.extend((0..claims).map(|number| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("simulated-{number}")},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": STORAGE_CLASS,
                "hostPath": {"path": "/nowhere"},
            },
        })
    }));
    all
}

fn kubeconfig(server: &ControlPlaneOnly, name: &str, user: &str) -> Result<String> {
    let path = server.dir().join(format!("{name}.kubeconfig"));
    server.access(user, &["system:masters"])?.write(&path)?;
    Ok(format!("--kubeconfig={}", path.display()))
}

/// At their defaults these two would be the bottleneck: 20 and 50 requests a second.
const HASTE: [&str; 2] = ["--kube-api-qps=500", "--kube-api-burst=500"];

fn controller_manager(server: &ControlPlaneOnly) -> Result<Process> {
    let file = |name: &str| server.dir().join(name).display().to_string();
    Program::new("kube-controller-manager", &tools::path(Tool::KubeControllerManager)?, Life::WithUs)
        .args([
            kubeconfig(server, "controller-manager", "system:kube-controller-manager")?,
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // Nothing that a simulated node does not have.
            "--controllers=*,-node-ipam-controller,-service-lb-controller,-node-route-controller".to_owned(),
            format!("--flex-volume-plugin-dir={}", file("volume-plugins")),
        ])
        .args(HASTE)
        .start(server.dir())
}

fn scheduler(server: &ControlPlaneOnly) -> Result<Process> {
    Program::new("kube-scheduler", &tools::path(Tool::KubeScheduler)?, Life::WithUs)
        .args([kubeconfig(server, "scheduler", "system:kube-scheduler")?])
        .args(["--leader-elect=false", "--secure-port=0"])
        .args(HASTE)
        .start(server.dir())
}

fn kwok(server: &ControlPlaneOnly) -> Result<Process> {
    // Without its stages kwok does nothing.
    let stages = tools::files(Files::Kwok)?.join("kustomize/stage/fast");
    let text = server.kubectl(&["kustomize", &stages.display().to_string()])?;
    let config = server.dir().join("kwok.yaml");
    std::fs::write(&config, text).with_context(|| config.display().to_string())?;
    Program::new("kwok", &tools::path(Tool::Kwok)?, Life::WithUs)
        .args([
            kubeconfig(server, "kwok", "kwok")?,
            format!("--config={}", config.display()),
            "--manage-all-nodes".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
            // Room for more pods than its default network has.
            format!("--cidr={}", isolate::PODS.replace(".0/", ".1/")),
        ])
        .start(server.dir())
}
