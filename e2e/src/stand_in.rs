//! The k0s stand-in, built once per source and version into the cache.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use testbed::tools::{self, Tool};

use crate::progress::Progress;
use crate::{repo, run};

/// The tools that it carries.
const PARTS: [Tool; 14] = [
    Tool::KubeApiserver,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kubectl,
    Tool::Kubelet,
    Tool::KubeProxy,
    Tool::Pause,
    Tool::Etcd,
    Tool::Etcdctl,
    Tool::Etcdutl,
    Tool::Kine,
    Tool::KonnectivityServer,
    Tool::KonnectivityAgent,
    Tool::Coredns,
];
/// What it carries of the distribution.
const PACKAGES: [&str; 9] = [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "nftables",
    "iptables",
    "conntrack",
    "ipset",
    "busybox-static",
    "curl",
];

/// Debian's name of this machine's architecture, which is also Go's.
pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// The folder with the program that plays `version`, made if it is missing.
pub fn bundle(version: &str) -> Result<PathBuf> {
    testbed::debian::ensure(&PACKAGES)?;
    let source = repo::root().join("e2e/k0s-stand-in");
    let paths = tools::ensure(&PARTS)?;
    let mut folders = BTreeSet::new();
    for part in PARTS {
        folders.insert(paths.get(part)?.parent().context("a tool without a folder")?.display().to_string());
    }
    let folders: Vec<String> = folders.into_iter().collect();
    let name = format!("k0s-stand-in-{version}-{}", &digest(&source, &folders)?[..16]);
    let folder = tools::cache_dir()?.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let progress = Progress::start();
    let work = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let programs = work.join("build");
    fs::create_dir_all(&programs)?;
    let built = Command::new("go")
        .current_dir(&source)
        .env("CGO_ENABLED", "0")
        .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
        .arg(&programs)
        .args([".", "./network-agent"])
        .status()
        .context("cannot run go")?;
    ensure!(built.success(), "go build of the k0s stand-in failed");
    let (program, out) = (programs.join("k0s-stand-in").display().to_string(), work.display().to_string());
    run::output(&program, &["make-bundle", "--bin", &folders.join(","), "--out", &out, "--play", version])?;
    // The bundle names its files by their paths: it is remade in place rather than moved.
    fs::rename(&work, &folder)?;
    rewrite_paths(&folder, &work)?;
    progress.say(&format!("k0s stand-in {version} is built"));
    Ok(folder)
}

/// `(source, target)` of each file that the image for pods needs.
pub fn pod_files(bundle: &Path) -> Result<Vec<(PathBuf, String)>> {
    let list = bundle.join("pod-files.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(source, target)| (PathBuf::from(source), target.trim().to_owned())).collect())
}

fn rewrite_paths(folder: &Path, before: &Path) -> Result<()> {
    let list = folder.join("pod-files.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    fs::write(&list, text.replace(&before.display().to_string(), &folder.display().to_string()))?;
    Ok(())
}

/// Of the sources and of the tools, whose folders are named by what they were built from.
fn digest(source: &Path, folders: &[String]) -> Result<String> {
    let mut hasher = Sha256::new();
    for folder in folders {
        hasher.update(folder);
    }
    let mut pending = vec![source.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() { pending.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    for file in files {
        hasher.update(file.strip_prefix(source).unwrap_or(&file).display().to_string());
        hasher.update(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(hex::encode(hasher.finalize()))
}
