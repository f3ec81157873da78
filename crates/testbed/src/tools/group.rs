//! Which program comes from which Go module, and how it is built.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Files, Tool};

/// A folder below `e2e/tools/`: one go.mod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    Etcd,
    Kubernetes,
    ClusterApi,
    Kine,
    Konnectivity,
    Coredns,
    Kwok,
    CertManager,
}

impl Group {
    pub fn of(tool: Tool) -> Self {
        match tool {
            Tool::Etcd | Tool::Etcdctl | Tool::Etcdutl => Self::Etcd,
            Tool::KubeApiserver
            | Tool::KubeControllerManager
            | Tool::KubeScheduler
            | Tool::Kubectl
            | Tool::Kubelet
            | Tool::KubeProxy
            | Tool::Pause => Self::Kubernetes,
            Tool::ClusterApiManager | Tool::Clusterctl => Self::ClusterApi,
            Tool::Kine => Self::Kine,
            Tool::KonnectivityServer | Tool::KonnectivityAgent => Self::Konnectivity,
            Tool::Coredns => Self::Coredns,
            Tool::Kwok => Self::Kwok,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
            Self::ClusterApi => "cluster-api",
            Self::Kine => "kine",
            Self::Konnectivity => "konnectivity",
            Self::Coredns => "coredns",
            Self::Kwok => "kwok",
            Self::CertManager => "cert-manager",
        }
    }

    /// The module whose version names the group's version.
    pub fn module(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kubernetes => "k8s.io/kubernetes",
            Self::ClusterApi => "sigs.k8s.io/cluster-api",
            Self::Kine => "github.com/k3s-io/kine",
            Self::Konnectivity => "sigs.k8s.io/apiserver-network-proxy",
            Self::Coredns => "github.com/coredns/coredns",
            Self::Kwok => "sigs.k8s.io/kwok",
            Self::CertManager => "github.com/cert-manager/cert-manager",
        }
    }

    /// Where its go.mod is.
    pub fn dir(self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/tools")).join(self.name())
    }

    /// Flags and environment of `go build`; a change makes a new cache entry.
    pub fn recipe(self) -> Result<Recipe> {
        let version = version(self)?;
        let mut stamps = Vec::new();
        // Unstamped, `/version` is wrong and Cluster API misbehaves; the values are those of a release build, but for
        // commit and date, which the module does not tell.
        let kubernetes = |package: &str, stamps: &mut Vec<(String, String)>| {
            let mut parts = version.trim_start_matches('v').split('.');
            let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            for (name, value) in [
                ("gitVersion", version.as_str()),
                ("gitMajor", major),
                ("gitMinor", minor),
                ("gitTreeState", "clean"),
                ("gitCommit", "0000000000000000000000000000000000000000"),
                ("buildDate", "2000-01-01T00:00:00Z"),
            ] {
                stamps.push((format!("{package}.{name}"), value.to_owned()));
            }
        };
        let mut recipe = Recipe { cgo: false, tags: "", link: "-s -w".to_owned() };
        match self {
            Self::Kubernetes => {
                kubernetes("k8s.io/component-base/version", &mut stamps);
                kubernetes("k8s.io/client-go/pkg/version", &mut stamps);
                recipe.tags = "providerless";
            }
            Self::ClusterApi => kubernetes("sigs.k8s.io/cluster-api/version", &mut stamps),
            Self::Kine => {
                // k0s passes a data source URI that the sqlite of a build without C cannot open.
                recipe.cgo = true;
                recipe.tags = "osusergo netgo sqlite_omit_load_extension";
                recipe.link.push_str(" -linkmode external -extldflags -static");
                stamps.push(("github.com/k3s-io/kine/pkg/version.Version".to_owned(), version.clone()));
            }
            Self::Etcd | Self::Konnectivity | Self::Coredns | Self::Kwok | Self::CertManager => {}
        }
        for (name, value) in stamps {
            recipe.link.push_str(" -X ");
            recipe.link.push_str(&name);
            recipe.link.push('=');
            recipe.link.push_str(&value);
        }
        Ok(recipe)
    }
}

/// How a group's programs are built.
#[derive(Debug)]
pub struct Recipe {
    pub cgo: bool,
    pub tags: &'static str,
    pub link: String,
}

/// The package of a Go program; none for what is not one.
pub fn package(tool: Tool) -> Option<&'static str> {
    Some(match tool {
        Tool::Etcd => "go.etcd.io/etcd/server/v3",
        Tool::Etcdctl => "go.etcd.io/etcd/etcdctl/v3",
        Tool::Etcdutl => "go.etcd.io/etcd/etcdutl/v3",
        Tool::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
        Tool::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
        Tool::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
        Tool::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
        Tool::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
        Tool::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
        Tool::ClusterApiManager => "sigs.k8s.io/cluster-api/core",
        Tool::Clusterctl => "sigs.k8s.io/cluster-api/cmd/clusterctl",
        Tool::Kine => "github.com/k3s-io/kine",
        Tool::KonnectivityServer => "sigs.k8s.io/apiserver-network-proxy/cmd/server",
        Tool::KonnectivityAgent => "sigs.k8s.io/apiserver-network-proxy/cmd/agent",
        Tool::Coredns => ".",
        Tool::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
        Tool::Pause => return None,
    })
}

/// Which parts of a module's folder are wanted.
pub fn files(files: Files) -> (Group, &'static [&'static str]) {
    match files {
        Files::ClusterApi => (Group::ClusterApi, &["core/config", "metadata.yaml"]),
        Files::CertManager => (Group::CertManager, &["deploy/crds"]),
        Files::Kwok => (Group::Kwok, &["kustomize/stage"]),
    }
}

/// The version that go.mod requires of the group's module.
pub fn version(group: Group) -> Result<String> {
    let path = group.dir().join("go.mod");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines()
        .filter_map(|line| {
            line.trim().trim_start_matches("require ").strip_prefix(group.module())?.strip_prefix(' ')
        })
        .find_map(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .with_context(|| format!("{} does not require {}", path.display(), group.module()))
}
