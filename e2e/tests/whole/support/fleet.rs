//! Hosts of the test's own.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::machines;
use testbed::machine::Machine;
use testbed::machine::fleet::{self, FleetMachine};

use super::Day;

/// Two hosts: one serves a cluster, the other meets with trouble.
pub struct Fleet {
    pub machines: Vec<FleetMachine>,
    pub key: PathBuf,
    state: PathBuf,
}

impl Fleet {
    pub async fn start(day: &Day) -> Result<Self> {
        let state = day.bed.cluster.state().to_owned();
        // An interrupted run leaves a host that belongs to a cluster of its own.
        fleet::down(&state).await?;
        Ok(Self {
            machines: machines::up(2, &state, &day.bed.k0s).await?,
            key: fleet::ssh_key(&state),
            state,
        })
    }

    pub fn machine(&self, index: usize) -> Result<Machine> {
        let member = self.machines.get(index).context("no such host")?;
        Machine::attach(&member.network, &member.name)
    }

    /// A command on a host, over SSH, as its owner runs it.
    pub async fn ssh(&self, index: usize, command: &str, input: &str) -> Result<String> {
        use tokio::io::AsyncWriteExt as _;
        let address = self.machines.get(index).context("no such host")?.address;
        let mut child = tokio::process::Command::new("ssh")
            .arg("-i")
            .arg(&self.key)
            .args([
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args(["-o", "LogLevel=ERROR", &format!("root@{address}"), command])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run ssh")?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let out = child.wait_with_output().await?;
        ensure!(
            out.status.success(),
            "`{command}` on {address}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    pub async fn stop(self) -> Result<()> {
        fleet::down(&self.state).await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // After a failure: the next run's start would remove it as well.
        let state = self.state.clone();
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(fleet::down(&state)))
        })
        .join();
    }
}
