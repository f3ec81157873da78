//! SSH keys: a machine's own, and pairs for whoever logs in.

use super::shell;
use anyhow::{Context, Result};
use std::path::Path;

/// The types a machine has; RSA is left out because making one takes longer than booting.
pub(super) const TYPES: [&str; 2] = ["ed25519", "ecdsa"];

/// Makes (or replaces) the pair `file` and `file.pub`, without a passphrase.
pub(super) fn generate(file: &Path, kind: &str, comment: &str) -> Result<()> {
    let public = file.with_extension("pub");
    for old in [file, public.as_path()] {
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", old.display()));
            }
            _ => {}
        }
    }
    let name = file.to_str().context("the key file's name is not UTF-8")?;
    shell::run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", comment, "-f", name])?;
    Ok(())
}

/// Makes the pair unless it is there; returns the public line.
pub(super) fn ensure_pair(file: &Path) -> Result<String> {
    if !file.exists() {
        generate(file, "ed25519", "testbed")?;
    }
    let public = file.with_extension("pub");
    let line = std::fs::read_to_string(&public).with_context(|| format!("reading {}", public.display()))?;
    Ok(line.trim().to_owned())
}
