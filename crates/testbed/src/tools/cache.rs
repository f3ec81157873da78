//! Where built things are kept: a folder per group and content of its inputs.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::group::Group;

/// `$K0SMOTRON_CACHE`, or `k0smotron-rs` in the user's cache folder.
pub fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("K0SMOTRON_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("neither K0SMOTRON_CACHE nor HOME is set: set one of them")?;
    Ok(base.join("k0smotron-rs"))
}

/// The group's folder; the hash covers everything that could change what is built.
pub fn group_dir(group: Group) -> Result<PathBuf> {
    static KNOWN: OnceLock<Mutex<HashMap<Group, PathBuf>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(dir) = known.get(&group) {
        return Ok(dir.clone());
    }
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum", "main.go"] {
        let path = group.dir().join(file);
        match fs::read(&path) {
            Ok(bytes) => hash.update(bytes),
            // Only a group with a program of its own has the last one.
            Err(_) if file == "main.go" => {}
            Err(error) => return Err(error).context(path.display().to_string()),
        }
    }
    hash.update(format!("{:?}", group.recipe()?));
    hash.update(go_version()?);
    let hash = hex::encode(hash.finalize());
    let dir = cache_dir()?.join(format!("{}-{}", group.name(), &hash[..16]));
    known.insert(group, dir.clone());
    Ok(dir)
}

fn go_version() -> Result<String> {
    static VERSION: OnceLock<String> = OnceLock::new();
    if let Some(version) = VERSION.get() {
        return Ok(version.clone());
    }
    let out =
        Command::new("go").args(["env", "GOVERSION", "GOOS", "GOARCH"]).env("GOTOOLCHAIN", "local").output();
    let out =
        out.context("the test bed builds Go programs: install Go 1.26 or newer and put `go` into PATH")?;
    if !out.status.success() {
        bail!("go env: {}", String::from_utf8_lossy(&out.stderr));
    }
    let version = String::from_utf8(out.stdout)?;
    Ok(VERSION.get_or_init(|| version).clone())
}
