//! The checkout: where its files are, and its own programs built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the checkout that this program was built from.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The profile that programs for the bed are built with: `release`, or what `K0SMOTRON_PROFILE` says (`dev` spares
/// the tests a second build of everything).
pub fn profile() -> String {
    std::env::var("K0SMOTRON_PROFILE").unwrap_or_else(|_| "release".into())
}

/// The manager: `K0SMOTRON_MANAGER`, else built now. The whole workspace is selected, as the scripts do, because
/// another selection would have other features of the same dependencies, and compile them again.
pub fn manager() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("K0SMOTRON_MANAGER").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let profile = profile();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root())
        .args(["build", "--locked", "--workspace", "--bins", "--profile", &profile])
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "cargo build failed");
    let folder = if profile == "dev" { "debug" } else { &profile };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(folder).join("manager"))
}
