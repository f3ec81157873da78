//! The management cluster with Cluster API and our providers, installed by `clusterctl init`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testbed::cluster::{Cluster, ClusterOptions};
use testbed::cluster_api;

use crate::k0s::K0s;
use crate::progress::Progress;
use crate::{images, repo, run};

/// The version under which our bundles are installed.
pub const PROVIDER_VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
/// The namespace of our managers.
pub const NAMESPACE: &str = "k0smotron";

/// A running management cluster with everything in it.
#[derive(Debug)]
pub struct Bed {
    /// The management cluster.
    pub cluster: Cluster,
    /// The k0s that its images hold.
    pub k0s: K0s,
}

/// How a bed is started.
#[derive(Clone, Debug)]
pub struct BedOptions {
    /// The state folder.
    pub state: PathBuf,
    /// It outlives this process: the program to run as `<program> agent --state <state>`.
    pub keep: Option<PathBuf>,
    /// The version of k0s.
    pub version: String,
}

impl Bed {
    /// Starts one, or completes one that runs already.
    pub async fn up(options: BedOptions, progress: &Progress) -> Result<Self> {
        progress.say("building the manager");
        let manager = repo::manager()?;
        let k0s = K0s::find(&options.version)?;
        progress.say(&format!("using {}", k0s.describe()));
        let BedOptions { state, keep, version: _ } = options;
        let cluster = Cluster::attach_or_start(ClusterOptions { state, keep }).await?;
        progress.say("the management cluster runs");
        for image in [images::manager(&manager)?, images::etcd()?, testbed::image::busybox()?] {
            cluster.import(&image)?;
        }
        images::import_k0s(&cluster, &k0s)?;
        progress.say("images are imported");
        let components = bundles(&cluster, &manager)?;
        if !installed(&cluster)? {
            let providers = cluster_api::our_providers(&components, PROVIDER_VERSION);
            cluster_api::install(&cluster, &providers).await?;
        }
        cluster_api::available(&cluster, NAMESPACE).await?;
        progress.say("Cluster API and the k0smotron providers are Available");
        Ok(Self { cluster, k0s })
    }
}

fn installed(cluster: &Cluster) -> Result<bool> {
    let names =
        cluster.kubectl(&["get", "deployments", "-n", NAMESPACE, "-o", "name", "--ignore-not-found"])?;
    Ok(names.contains("infrastructure"))
}

/// The component files as `clusterctl/` has them, with the image of the bed.
fn bundles(cluster: &Cluster, manager: &Path) -> Result<PathBuf> {
    let folder = cluster.state().join("components");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let program = manager.display().to_string();
    for name in ["bootstrap", "control-plane", "infrastructure"] {
        let text = run::output(&program, &["bundle", name, "--image", images::MANAGER])?;
        fs::write(folder.join(format!("{name}-components.yaml")), text)?;
    }
    fs::copy(repo::root().join("metadata.yaml"), folder.join("metadata.yaml"))
        .context("cannot copy metadata.yaml")?;
    Ok(folder)
}
