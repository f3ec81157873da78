//! A management cluster of one node: this machine. Genuine etcd, kube-apiserver, controller manager, scheduler,
//! containerd, kubelet, kube-proxy and CoreDNS, without a virtual machine and without Docker.
//!
//! One at a time per machine. Everything it makes is in its own folder or under its own name: a bridge, an nftables
//! table, a control group, addresses of [`network`]; [`Cluster::down`] removes all of it, also what an interrupted
//! run left.

mod cgroups;
mod clean;
mod control_plane;
mod host;
pub mod network;
mod node;
mod start;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::Client;

use crate::access::Access;
use crate::agent::InProcessAgent;
use crate::authority::{Authority, Pair};
use crate::control_plane::{AuditEntry, read_audit_log, run_kubectl};
use crate::process::Process;
use crate::run::run;

/// The cluster's only node.
pub const NODE: &str = "testbed";

/// The class that claims get: a directory of this machine, made by the bed's agent.
pub const STORAGE_CLASS: &str = "testbed-local";

/// Where the state is unless told otherwise: `$K0SMOTRON_TESTBED` or `/var/lib/k0smotron-testbed`.
pub fn default_state() -> PathBuf {
    match std::env::var_os("K0SMOTRON_TESTBED").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => "/var/lib/k0smotron-testbed".into(),
    }
}

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The state folder; the cluster's part is `cluster/` in it.
    pub state: PathBuf,
    /// It outlives this process, with the bed's agent as a process of its own: this program, run as
    /// `<program> agent --state <state>`.
    pub keep: Option<PathBuf>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { state: default_state(), keep: None }
    }
}

/// A running cluster. One that was started and not kept is taken down when this value is dropped.
#[derive(Debug)]
pub struct Cluster {
    state: PathBuf,
    agent: Option<InProcessAgent>,
    /// Held while this value owns the cluster.
    owner: Option<File>,
}

impl Cluster {
    /// Starts a cluster, after removing what an interrupted run left. Waits while another process has one.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        start::start(options).await
    }

    /// The cluster that `testbed up` left running in this state folder.
    pub fn attach(state: &Path) -> Result<Self> {
        let cluster = Self { state: std::path::absolute(state)?, agent: None, owner: None };
        if !cluster.kubeconfig().exists() {
            bail!("no cluster in {}: start one with `testbed up`", state.display());
        }
        Ok(cluster)
    }

    /// The kept cluster if there is one, else a new one that ends with this value.
    pub async fn attach_or_start(options: ClusterOptions) -> Result<Self> {
        if is_kept(&options.state) && Self::attach(&options.state)?.is_running() {
            return Self::attach(&options.state);
        }
        Self::start(options).await
    }

    /// Takes it down and says what could not be removed.
    pub fn down(mut self) -> Result<()> {
        drop(self.agent.take());
        let owner = self.owner.take();
        let result = clean::clean(&self.state);
        drop(owner);
        result
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The folder with the cluster's files: logs, etcd's data, the audit log.
    pub fn dir(&self) -> PathBuf {
        dir(&self.state)
    }

    /// The administrator's kubeconfig file.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir().join("kubeconfig")
    }

    /// How a user of this name and these groups (two at most) reaches it.
    pub fn access(&self, user: &str, groups: &[&str]) -> Result<Access> {
        let pki = self.dir().join("pki");
        let user = Authority::read(&pki, control_plane::AUTHORITY)?.client(user, groups)?;
        Ok(Access { server: network::api_server(), authority: Pair::read(&pki, "ca")?.certificate, user })
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Result<Client> {
        self.access("testbed-admin", &["system:masters"])?.client().await
    }

    /// A client with a name of its own, for RBAC and the audit log.
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client> {
        self.access(user, groups)?.client().await
    }

    /// kubectl as the administrator; standard output, or an error with what it said.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        run_kubectl(&self.kubeconfig(), args)
    }

    /// Every request that the API server has answered up to now.
    pub fn audit(&self) -> Result<Vec<AuditEntry>> {
        read_audit_log(&self.audit_log())
    }

    /// The audit log's file.
    pub fn audit_log(&self) -> PathBuf {
        self.dir().join("audit.log")
    }

    /// Imports an image file into the node's containerd.
    pub fn import(&self, image: &Path) -> Result<()> {
        node::import(&self.dir(), image)
    }

    /// The names of the node's images.
    pub fn images(&self) -> Result<Vec<String>> {
        let listed = run("ctr", &["-a", &node::socket(&self.dir()), "-n", "k8s.io", "images", "ls", "-q"])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Gives an image of the node another name besides.
    pub fn tag(&self, image: &str, name: &str) -> Result<()> {
        let socket = node::socket(&self.dir());
        run("ctr", &["-a", &socket, "-n", "k8s.io", "images", "tag", "--force", image, name]).map(drop)
    }

    /// What runs: name and process id.
    pub fn processes(&self) -> Vec<(String, i32)> {
        Process::found_in(&self.dir())
            .iter()
            .map(|process| (process.name().to_owned(), process.pid()))
            .collect()
    }

    /// Whether its API server runs.
    pub fn is_running(&self) -> bool {
        self.processes().iter().any(|(name, _)| name == "kube-apiserver")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.agent.take());
        if self.owner.is_some()
            && let Err(error) = clean::clean(&self.state)
        {
            eprintln!("cluster: {error:#}");
        }
    }
}

/// Takes down whatever cluster is in this state folder, running, kept or left by an interrupted run.
pub fn down(state: &Path) -> Result<()> {
    let state = std::path::absolute(state)?;
    let _owner = host::lock(&state)?;
    clean::clean(&state)
}

/// What is left on this machine of a cluster of this state folder, in words; nothing after [`down`].
pub fn left(state: &Path) -> Vec<String> {
    clean::left(&dir(state))
}

/// Whether `testbed up` left a cluster in this state folder.
pub fn is_kept(state: &Path) -> bool {
    dir(state).join("kept").exists()
}

fn dir(state: &Path) -> PathBuf {
    state.join("cluster")
}

fn file_name(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}
