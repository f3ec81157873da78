//! etcd and kube-apiserver, and if wanted kube-controller-manager, on free ports of the loopback address: ready in
//! about five seconds, many at once, gone when dropped.

mod audit;
mod objects;
mod start;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

pub use audit::{AuditEntry, read_audit_log};
pub use objects::{apply, apply_crds};
pub(crate) use start::{ready as wait_until_ready, write_audit_policy};

use crate::access::Access;
use crate::authority::{Authority, Pair};
use crate::faults::{self, FaultHandle};
use crate::process::Process;
use crate::run_dir::{Port, RunDir};
use crate::tools::{self, Tool};
use crate::yaml;

/// What is started besides etcd and kube-apiserver, and with which changes.
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneOptions {
    /// kube-controller-manager: garbage collection, namespaces that go away, service accounts, Deployments.
    pub controller_manager: bool,
    /// Further arguments of kube-apiserver, e.g. `--feature-gates=...`.
    pub apiserver_args: Vec<String>,
}

/// A running control plane without nodes.
#[derive(Debug)]
pub struct ControlPlaneOnly {
    // Fields drop in this order: programs before the directory that holds their files.
    controller_manager: Option<Process>,
    apiserver: Process,
    etcd: Process,
    options: ControlPlaneOptions,
    authority: Authority,
    service_account: Pair,
    etcd_port: Port,
    port: Port,
    _etcd_peer_port: Port,
    dir: RunDir,
}

impl ControlPlaneOnly {
    /// etcd and kube-apiserver.
    pub async fn start() -> Result<Self> {
        Self::start_with(ControlPlaneOptions::default()).await
    }

    /// With options.
    pub async fn start_with(options: ControlPlaneOptions) -> Result<Self> {
        start::start(options).await
    }

    /// Its own directory: logs, etcd's data, the audit log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The API server's URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.number())
    }

    /// How a user of this name and these groups (two at most) reaches it.
    pub fn access(&self, user: &str, groups: &[&str]) -> Result<Access> {
        let user = self.authority.client(user, groups)?;
        Ok(Access { server: self.url(), authority: self.authority.certificate(), user })
    }

    /// How the administrator reaches it.
    pub fn admin(&self) -> Result<Access> {
        self.access("testbed-admin", &["system:masters"])
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Result<kube::Client> {
        self.admin()?.client().await
    }

    /// A client with a name of its own, for RBAC and the audit log; it may do what roles bound to it say.
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<kube::Client> {
        self.access(user, groups)?.client().await
    }

    /// A client of this user whose requests fail as the handle says.
    pub async fn faulty_client(
        &self,
        user: &str,
        groups: &[&str],
        faults: &FaultHandle,
    ) -> Result<kube::Client> {
        faults::client_with(self.access(user, groups)?.config().await?, faults)
    }

    /// A kubeconfig file for this user; `testbed-admin` may do everything.
    pub fn kubeconfig_file(&self, user: &str) -> Result<PathBuf> {
        let path = self.dir().join(format!("{}.kubeconfig", user.replace([':', '/'], "-")));
        let access = if user == "testbed-admin" { self.admin()? } else { self.access(user, &[])? };
        access.write(&path)?;
        Ok(path)
    }

    /// Applies the CustomResourceDefinitions in a directory's YAML files and waits until they are served.
    pub async fn apply_crds_dir(&self, dir: &Path) -> Result<()> {
        self.apply_crds(&yaml::read_dir(dir)?).await
    }

    /// Applies CustomResourceDefinitions and waits until they are served.
    pub async fn apply_crds(&self, crds: &[Value]) -> Result<()> {
        apply_crds(&self.client().await?, crds).await
    }

    /// Every request that the API server has answered (or, for watches, begun to answer) up to now, in order.
    pub fn audit(&self) -> Result<Vec<AuditEntry>> {
        read_audit_log(&self.dir().join("audit.log"))
    }

    /// kubectl as the administrator; standard output, or an error with what it said.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let kubeconfig = self.kubeconfig_file("testbed-admin")?;
        run_kubectl(&kubeconfig, args)
    }

    /// Ends kube-apiserver and starts it again on the same data and port.
    pub async fn restart_apiserver(&mut self) -> Result<()> {
        self.stop_apiserver();
        self.start_apiserver().await
    }

    /// Ends kube-apiserver; clients then meet a refused connection.
    pub fn stop_apiserver(&mut self) {
        self.apiserver.stop(Duration::from_secs(5));
    }

    /// Starts kube-apiserver after [`Self::stop_apiserver`].
    pub async fn start_apiserver(&mut self) -> Result<()> {
        self.apiserver = start::apiserver(self.dir.path(), &self.port, &self.etcd_port, &self.options)?;
        start::ready(&self.admin()?, &[&self.etcd, &self.apiserver]).await
    }

    /// The process ids of what runs.
    pub fn pids(&self) -> Vec<i32> {
        let all = [Some(&self.etcd), Some(&self.apiserver), self.controller_manager.as_ref()];
        all.into_iter().flatten().map(Process::pid).collect()
    }

    /// The key pair that signs service account tokens.
    pub fn service_account(&self) -> &Pair {
        &self.service_account
    }
}

impl Drop for ControlPlaneOnly {
    fn drop(&mut self) {
        // Nothing of it is used again, so nothing is asked politely.
        if let Some(controller_manager) = &mut self.controller_manager {
            controller_manager.stop(Duration::ZERO);
        }
        self.apiserver.stop(Duration::ZERO);
        self.etcd.stop(Duration::ZERO);
    }
}

/// kubectl with a kubeconfig file; standard output, or an error with what it said.
pub fn run_kubectl(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    let mut command = std::process::Command::new(tools::path(Tool::Kubectl)?);
    let out = command.arg("--kubeconfig").arg(kubeconfig).args(args).env_remove("KUBECONFIG").output()?;
    if !out.status.success() {
        anyhow::bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
