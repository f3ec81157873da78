//! Cluster API in a [`Cluster`], by `clusterctl init` itself, from a repository of files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::Cluster;
use crate::image::ImageBuilder;
use crate::run::output;
use crate::tools::{self, Files, Tool};

/// Core's image; it has only the binary.
const CORE_IMAGE: &str = "testbed.local/cluster-api-controller:1";

/// A provider to be installed beside the core.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name with clusterctl, e.g. `k0smotron`.
    pub name: String,
    /// What it provides.
    pub kind: ProviderKind,
    /// e.g. `v3.0.0`.
    pub version: String,
    /// The folder with its component file and `metadata.yaml`.
    pub dir: PathBuf,
}

/// What a provider provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Cluster API itself.
    Core,
    /// Data with which machines begin.
    Bootstrap,
    /// Control planes.
    ControlPlane,
    /// Machines.
    Infrastructure,
}

impl ProviderKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Core => "",
            Self::Bootstrap => "bootstrap-",
            Self::ControlPlane => "control-plane-",
            Self::Infrastructure => "infrastructure-",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Core => "CoreProvider",
            Self::Bootstrap => "BootstrapProvider",
            Self::ControlPlane => "ControlPlaneProvider",
            Self::Infrastructure => "InfrastructureProvider",
        }
    }

    fn components(self) -> &'static str {
        match self {
            Self::Core => "core-components.yaml",
            Self::Bootstrap => "bootstrap-components.yaml",
            Self::ControlPlane => "control-plane-components.yaml",
            Self::Infrastructure => "infrastructure-components.yaml",
        }
    }
}

/// This project's three providers, from a folder with their component files and `metadata.yaml`.
pub fn our_providers(dir: &Path, version: &str) -> Vec<Provider> {
    let kinds = [ProviderKind::Bootstrap, ProviderKind::ControlPlane, ProviderKind::Infrastructure];
    kinds
        .into_iter()
        .map(|kind| Provider {
            name: "k0smotron".to_owned(),
            kind,
            version: version.to_owned(),
            dir: dir.to_owned(),
        })
        .collect()
}

/// Installs this project's three providers (and core, if it is not there yet) from the component files in `dir`, with
/// images made from this `manager` program under the names that the files say, and waits until they are Available.
pub async fn install_ours(cluster: &Cluster, dir: &Path, manager: &Path) -> Result<()> {
    let providers = our_providers(dir, concat!("v", env!("CARGO_PKG_VERSION")));
    let mut images = BTreeSet::new();
    for provider in &providers {
        let path = dir.join(provider.kind.components());
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let lines = text
            .lines()
            .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("image: "));
        images.extend(lines.map(|image| image.trim().trim_matches('"').to_owned()));
    }
    for image in &images {
        let image = ImageBuilder::new(image)
            .program(manager, "/manager")
            .directory("/tmp", 0o1777)
            .entrypoint(["/manager"])
            .user("65532:65532");
        cluster.import(&image.build_cached()?)?;
    }
    install(cluster, &providers).await?;
    available(cluster, "k0smotron").await
}

/// Installs core, and these providers with it, and waits until core is Available. Core that is there already stays;
/// images of the providers must have been imported.
pub async fn install(cluster: &Cluster, providers: &[Provider]) -> Result<()> {
    let began = Instant::now();
    let repository = Repository::write(cluster, providers)?;
    let client = cluster.client().await?;
    let has_core =
        cluster.kubectl(&["get", "deployments", "-n", "capi-system", "-o", "name"])?.contains("capi-");
    if !has_core {
        cluster.import(&core_image()?)?;
        let crds = tools::files(Files::CertManager)?.join("deploy/crds");
        crate::control_plane::apply_crds(&client, &crate::yaml::read_dir(&crds)?).await?;
    }
    let mut args = vec!["init".to_owned()];
    if !has_core {
        args.extend(["--core".to_owned(), format!("cluster-api:{}", core_version()?)]);
    }
    for kind in [ProviderKind::Bootstrap, ProviderKind::ControlPlane, ProviderKind::Infrastructure] {
        let names: Vec<String> = providers
            .iter()
            .filter(|provider| provider.kind == kind)
            .map(|provider| format!("{}:{}", provider.name, provider.version))
            .collect();
        // clusterctl adds kubeadm's unless it is told that none is wanted.
        let none = kind != ProviderKind::Infrastructure && !has_core;
        if names.is_empty() && none {
            args.extend([format!("--{}", kind.prefix().trim_end_matches('-')), "-".to_owned()]);
        } else if !names.is_empty() {
            args.extend([format!("--{}", kind.prefix().trim_end_matches('-')), names.join(",")]);
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    former_trial_is_over(cluster).await?;
    repository.clusterctl(&args)?;
    eprintln!("cluster-api: clusterctl {} ({:.1} s)", args.join(" "), began.elapsed().as_secs_f64());
    available(cluster, "capi-system").await?;
    eprintln!("cluster-api: core is Available ({:.1} s)", began.elapsed().as_secs_f64());
    Ok(())
}

/// clusterctl tries cert-manager with objects in a namespace of their own, and does not wait for their deletion. A next
/// call that meets that namespace on its way out takes it for its own, and waits in vain when it is gone.
async fn former_trial_is_over(cluster: &Cluster) -> Result<()> {
    const NAMESPACE: &str = "cert-manager-test";
    let start = Instant::now();
    while !cluster.kubectl(&["get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"])?.is_empty() {
        if start.elapsed() > Duration::from_mins(1) {
            bail!("namespace {NAMESPACE}, which clusterctl left, does not go");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// clusterctl against this cluster, with the repository that [`install`] wrote; standard output.
pub fn clusterctl(cluster: &Cluster, args: &[&str]) -> Result<String> {
    Repository { dir: cluster.dir().join("clusterctl"), kubeconfig: cluster.kubeconfig() }.clusterctl(args)
}

/// Waits until the Deployments of a namespace are Available.
pub async fn available(cluster: &Cluster, namespace: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        let path =
            "{range .items[*]}{.metadata.name}={.status.conditions[?(@.type==\"Available\")].status} {end}";
        let query = format!("jsonpath={path}");
        let said = cluster.kubectl(&["get", "deployments", "-n", namespace, "-o", &query])?;
        if !said.trim().is_empty() && said.split_whitespace().all(|word| word.ends_with("=True")) {
            return Ok(());
        }
        if start.elapsed() > Duration::from_mins(3) {
            bail!("not Available in {namespace}: {said}");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn core_version() -> Result<String> {
    tools::version(Tool::ClusterApiManager)
}

fn core_image() -> Result<PathBuf> {
    let manager = tools::path(Tool::ClusterApiManager)?;
    ImageBuilder::new(CORE_IMAGE)
        .file(&manager, "/manager", 0o755)
        .directory("/tmp", 0o1777)
        .entrypoint(["/manager"])
        .user("65532:65532")
        .build_cached()
}

struct Repository {
    dir: PathBuf,
    kubeconfig: PathBuf,
}

impl Repository {
    /// `<dir>/<label>/<version>/<components>`, the only layout that clusterctl accepts.
    fn write(cluster: &Cluster, providers: &[Provider]) -> Result<Self> {
        let dir = cluster.dir().join("clusterctl");
        let core = core_provider(&dir)?;
        let mut entries = Vec::new();
        for provider in [&core].into_iter().chain(providers) {
            let Provider { name, kind, version, dir: source } = provider;
            let target = dir.join(format!("{}{name}", kind.prefix())).join(version);
            fs::create_dir_all(&target)?;
            for file in [kind.components(), "metadata.yaml"] {
                let mut from = source.join(file);
                if !from.exists()
                    && let Some(above) = source.parent()
                {
                    // The project's metadata.yaml is above its component files.
                    from = above.join(file);
                }
                if from != target.join(file) {
                    fs::copy(&from, target.join(file)).with_context(|| from.display().to_string())?;
                }
            }
            let url = format!("file://{}", target.join(kind.components()).display());
            entries.push(json!({"name": name, "type": kind.type_name(), "url": url}));
        }
        // The bed's agent does cert-manager's part. Said so, clusterctl waits until it is usable; else it would fetch
        // one over the network.
        let signer = json!({"externallyProvisioned": "true", "timeout": "1m"});
        let config = json!({"providers": entries, "cert-manager": signer});
        fs::write(dir.join("clusterctl.yaml"), format!("{config:#}\n"))?;
        Ok(Self { dir, kubeconfig: cluster.kubeconfig() })
    }

    fn clusterctl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(tools::path(Tool::Clusterctl)?);
        command
            .args(args)
            .arg("--config")
            .arg(self.dir.join("clusterctl.yaml"))
            .env("KUBECONFIG", &self.kubeconfig)
            // Nothing is asked of the network, nothing is written to the home folder.
            .env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true")
            .env("XDG_CONFIG_HOME", self.dir.join("config"))
            .env("KUBECACHEDIR", self.dir.join("cache"))
            .env("CLUSTER_TOPOLOGY", "true")
            .env("EXP_RUNTIME_SDK", "true")
            .env("EXP_IN_PLACE_UPDATES", "true");
        output(&mut command)
    }
}

/// Core's components as its release would have them, with the image that the bed imports.
fn core_provider(repository: &Path) -> Result<Provider> {
    let version = core_version()?;
    let dir = repository.join("cluster-api").join(&version);
    fs::create_dir_all(&dir)?;
    let module = tools::files(Files::ClusterApi)?;
    let mut kustomize = Command::new(tools::path(Tool::Kubectl)?);
    let components = output(kustomize.arg("kustomize").arg(module.join("core/config/default")))?;
    let components: Vec<String> = components.lines().map(with_our_image).collect();
    fs::write(dir.join("core-components.yaml"), components.join("\n") + "\n")?;
    fs::copy(module.join("metadata.yaml"), dir.join("metadata.yaml"))?;
    Ok(Provider { name: "cluster-api".to_owned(), kind: ProviderKind::Core, version, dir })
}

fn with_our_image(line: &str) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    match line.trim_start() {
        image if image.starts_with("image: ") && image.contains("cluster-api") => {
            format!("{indent}image: {CORE_IMAGE}")
        }
        policy if policy.starts_with("imagePullPolicy: ") => format!("{indent}imagePullPolicy: IfNotPresent"),
        _ => line.to_owned(),
    }
}
