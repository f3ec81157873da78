//! The cluster: one real node with the images, and the manager as its users install it.

use std::fs;

use anyhow::{Context, Result};
use e2e::images;
use e2e::k0s::K0s;
use kube::Client;
use serde_json::json;
use testbed::control_plane::{AuditEntry, apply};
use testbed::{Cluster, ClusterOptions, cluster_api, debian};

use super::Args;
use crate::manager;

/// Where the control planes are.
pub const NAMESPACE: &str = "bench";

/// The running cluster.
pub struct Bed {
    cluster: Cluster,
    /// May do everything.
    pub admin: Client,
    /// Of k0s.
    pub version: String,
    /// Of k0s, in words.
    pub k0s: String,
}

impl Bed {
    /// Starts it, and waits until the manager is Available.
    pub async fn up(args: &Args) -> Result<Self> {
        debian::require_root()?;
        let program = manager::program(args.manager.as_deref())?;
        let k0s = K0s::find(&args.version)?;
        let files =
            [images::manager(&program)?, images::k0s(&k0s)?, images::etcd()?, testbed::image::busybox()?];
        let cluster = Cluster::start(ClusterOptions { state: args.state.clone(), keep: None }).await?;
        for file in files {
            cluster.import(&file)?;
        }
        let admin = cluster.client().await?;
        let bundle = testbed_output(&program, &["bundle", "standalone", "--image", images::MANAGER])?;
        let path = cluster.dir().join("standalone.yaml");
        fs::write(&path, bundle).with_context(|| path.display().to_string())?;
        let path = path.display().to_string();
        cluster.kubectl(&["apply", "--server-side", "-f", &path])?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        apply(&admin, &[namespace]).await?;
        cluster_api::available(&cluster, e2e::bed::NAMESPACE).await?;
        eprintln!("ready: the manager is Available; using {}", k0s.describe());
        Ok(Self { cluster, admin, version: k0s.version.clone(), k0s: k0s.describe() })
    }

    /// What the manager asked up to now.
    pub fn asked(&self) -> Result<Vec<AuditEntry>> {
        let mut all = self.cluster.audit()?;
        let ours = format!("system:serviceaccount:{}:", e2e::bed::NAMESPACE);
        all.retain(|entry| entry.user.starts_with(&ours));
        Ok(all)
    }

    /// kubectl in [`NAMESPACE`].
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["--namespace", NAMESPACE], args].concat())
    }

    /// Removes it.
    pub fn down(self) -> Result<()> {
        self.cluster.down()
    }
}

fn testbed_output(program: &std::path::Path, args: &[&str]) -> Result<String> {
    let out = std::process::Command::new(program)
        .args(args)
        .output()
        .with_context(|| program.display().to_string())?;
    anyhow::ensure!(
        out.status.success(),
        "{} {}: {}",
        program.display(),
        args.join(" "),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8(out.stdout)?)
}
