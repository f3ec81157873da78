//! The genuine programs, built from their Go modules once and then found in a cache.
//!
//! `e2e/tools/<group>/` says which versions (go.mod, go.sum); [`group`] says how. The cache is
//! `~/.cache/k0smotron-rs/` or `$K0SMOTRON_CACHE`; what is found there under the hash of its inputs is used as it is.

mod build;
mod cache;
mod group;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use cache::cache_dir;
use group::Group;

/// A program of the test bed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // each is the program of that name
pub enum Tool {
    Etcd,
    Etcdctl,
    Etcdutl,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kubectl,
    Kubelet,
    KubeProxy,
    /// The core manager of Cluster API.
    ClusterApiManager,
    Clusterctl,
    Kine,
    KonnectivityServer,
    KonnectivityAgent,
    Coredns,
    Kwok,
    /// What holds a pod's namespaces; static.
    Pause,
}

impl Tool {
    /// Every tool, those that stories need first.
    pub const ALL: [Self; 17] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::Kubectl,
        Self::KubeControllerManager,
        Self::Etcdctl,
        Self::Etcdutl,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Pause,
        Self::ClusterApiManager,
        Self::Clusterctl,
        Self::Coredns,
        Self::Kine,
        Self::KonnectivityServer,
        Self::KonnectivityAgent,
        Self::Kwok,
    ];

    /// The file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Etcdctl => "etcdctl",
            Self::Etcdutl => "etcdutl",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::ClusterApiManager => "cluster-api-manager",
            Self::Clusterctl => "clusterctl",
            Self::Kine => "kine",
            Self::KonnectivityServer => "konnectivity-server",
            Self::KonnectivityAgent => "konnectivity-agent",
            Self::Coredns => "coredns",
            Self::Kwok => "kwok",
            Self::Pause => "pause",
        }
    }
}

/// Files that modules carry beside their programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Cluster API: `core/config/` and `metadata.yaml`.
    ClusterApi,
    /// cert-manager: `deploy/crds/`.
    CertManager,
    /// kwok: `kustomize/stage/`.
    Kwok,
}

/// Where the tools are.
#[derive(Clone, Debug, Default)]
pub struct ToolPaths(BTreeMap<Tool, PathBuf>);

impl ToolPaths {
    /// The path of a tool that was asked for.
    pub fn get(&self, tool: Tool) -> Result<&Path> {
        let path = self.0.get(&tool);
        path.map(PathBuf::as_path)
            .with_context(|| format!("{} was not asked for in tools::ensure", tool.name()))
    }
}

/// Builds what is missing, says so on standard error, and gives the paths. When all is there it takes milliseconds.
pub fn ensure(tools: &[Tool]) -> Result<ToolPaths> {
    let mut paths = ToolPaths::default();
    for &tool in tools {
        let group = Group::of(tool);
        let path = cache::group_dir(group)?.join("bin").join(tool.name());
        if !path.exists() {
            build::tool(tool, group, &path).with_context(|| format!("build {}", tool.name()))?;
        }
        paths.0.insert(tool, path);
    }
    Ok(paths)
}

/// The path of one tool, built if it is missing.
pub fn path(tool: Tool) -> Result<PathBuf> {
    Ok(ensure(&[tool])?.get(tool)?.to_owned())
}

/// The folder of a module's files, in the cache.
pub fn files(files: Files) -> Result<PathBuf> {
    let (group, parts) = group::files(files);
    let path = cache::group_dir(group)?.join("files");
    if !path.exists() {
        build::files(group, parts, &path).with_context(|| format!("copy the files of {}", group.module()))?;
    }
    Ok(path)
}

/// The version of a group's main module, as its go.mod requires it, e.g. `v1.36.3`.
pub fn version(tool: Tool) -> Result<String> {
    group::version(Group::of(tool))
}
