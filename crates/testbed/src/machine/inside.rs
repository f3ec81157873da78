//! Commands and files inside a machine, without the network: through its container.

use super::{Machine, disk, paths};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

/// What a command in a machine said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 + n for a signal n.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Machine {
    /// Runs a shell command as root and returns its output; an exit code other than 0 is an error.
    pub async fn exec(&self, command: &str) -> Result<String> {
        let output = self.try_exec(command).await?;
        if output.code != 0 {
            bail!(
                "`{command}` on {} ended with {}: {}{}",
                self.name(),
                output.code,
                output.stdout,
                output.stderr.trim()
            );
        }
        Ok(output.stdout)
    }

    /// Runs a shell command as root, whatever comes of it.
    pub async fn try_exec(&self, command: &str) -> Result<Output> {
        self.exec_with_input(command, "").await
    }

    /// Runs a shell command as root with `input` on its stdin.
    pub async fn exec_with_input(&self, command: &str, input: &str) -> Result<Output> {
        let mut child = tokio::process::Command::new("runc")
            .args(["--root", paths::RUNC, "exec", &self.id(), "/bin/sh", "-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting runc exec")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends without reading closes the pipe; its exit code tells what happened.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.context("waiting for runc exec")?;
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Reads a file of the running machine.
    pub async fn read_file(&self, path: &str) -> Result<String> {
        let path = path.replace('\'', r"'\''");
        self.exec(&format!("cat -- '{path}'")).await
    }

    /// Writes a file of the running machine; an existing file keeps its mode.
    pub async fn write_file(&self, path: &str, content: &str) -> Result<()> {
        let quoted = path.replace('\'', r"'\''");
        let output = self.exec_with_input(&format!("cat > '{quoted}'"), content).await?;
        if output.code != 0 {
            bail!("writing {path} on {}: {}", self.name(), output.stderr.trim());
        }
        Ok(())
    }

    /// Imports an OCI layout tar of the box into the machine's containerd, where a kubelet finds it.
    pub async fn import_image(&self, tar: &Path) -> Result<()> {
        let (folder, tar) = (self.folder(), tar.to_owned());
        let name = format!("import-{}.tar", std::process::id());
        let inside = tokio::task::spawn_blocking(move || disk::lend(&folder, &tar, &name)).await??;
        let result = self.exec(&format!("ctr -n k8s.io images import {inside}")).await;
        self.exec(&format!("rm -f {inside}")).await?;
        result.map(drop)
    }
}
