//! The parts of an OCI layout: files laid out, packed, and named by their digests.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Entry;
use crate::run::{output, run};

pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(super) fn lay(path: &Path, entry: &Entry) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match entry {
        Entry::File { host, mode } => {
            fs::copy(host, path).with_context(|| host.display().to_string())?;
            fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
        }
        Entry::Text { text, mode } => {
            fs::write(path, text)?;
            fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
        }
        Entry::Symlink { target } => symlink(target, path)?,
        Entry::Directory { mode } => {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
        }
    }
    Ok(())
}

/// The same bytes for the same content: no times, no owners, sorted.
pub(super) fn tar(root: &Path, path: &Path) -> Result<()> {
    let flags = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"];
    output(Command::new("tar").args(flags).arg("-C").arg(root).arg("-cf").arg(path).arg(".")).map(drop)
}

pub(super) fn blob(layout: &Path, bytes: &[u8]) -> Result<Value> {
    let file = tempfile::NamedTempFile::new_in(layout)?;
    fs::write(file.path(), bytes)?;
    blob_file(layout, file.path())
}

/// Puts a file into the layout. `sha256sum` is many times as fast as our own unoptimised code, and layers are large.
pub(super) fn blob_file(layout: &Path, file: &Path) -> Result<Value> {
    let dir = layout.join("blobs/sha256");
    fs::create_dir_all(&dir)?;
    let sum = run("sha256sum", &[file])?;
    let digest = sum.split_whitespace().next().context("sha256sum said nothing")?;
    fs::hard_link(file, dir.join(digest))?;
    Ok(json!({"digest": format!("sha256:{digest}"), "size": fs::metadata(file)?.len()}))
}

pub(super) fn described(blob: &Value, media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": blob["digest"], "size": blob["size"]})
}

/// What `ldd` says a program loads.
pub(super) fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let out = Command::new("ldd").arg(program).output().context("run ldd")?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    if said.contains("not a dynamic executable") || said.contains("statically linked") {
        return Ok(Vec::new());
    }
    let paths = said.lines().filter_map(|line| {
        let line = line.trim();
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        path.split_whitespace().next().filter(|path| path.starts_with('/'))
    });
    Ok(paths.map(PathBuf::from).collect())
}
