//! Waiting for a machine.

use super::{Machine, container};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

/// How often a waiting test looks again; a machine boots in seconds, so a tenth is neither late nor busy.
const LOOK: Duration = Duration::from_millis(100);

impl Machine {
    /// Waits until sshd greets and lets everybody in, not only root.
    pub async fn wait_for_ssh(&self) -> Result<()> {
        // The recipe answers after 3 s, 8 s when three start at once; a minute leaves room for a busy box.
        let patience = Duration::from_mins(1);
        let start = Instant::now();
        while !(self.greets().await && self.open_for_all()?) {
            if start.elapsed() > patience {
                bail!(
                    "machine {} does not answer ssh after {} s; {}",
                    self.name(),
                    patience.as_secs(),
                    self.trouble()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn greets(&self) -> bool {
        let greeting = async {
            let stream = tokio::net::TcpStream::connect((self.address(), 22)).await?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).await?;
            std::io::Result::Ok(line.starts_with("SSH-2.0-"))
        };
        matches!(tokio::time::timeout(Duration::from_secs(2), greeting).await, Ok(Ok(true)))
    }

    /// systemd keeps users other than root out until it has come that far.
    fn open_for_all(&self) -> Result<bool> {
        Ok(self.proc_root()?.is_some_and(|root| !root.join("run/nologin").exists()))
    }

    /// Waits until cloud-init has done everything at this boot; its complaints are an error.
    pub async fn wait_for_cloud_init(&self) -> Result<()> {
        // A provider's cloud-config may download; what is longer than this a test should wait for itself.
        let patience = Duration::from_mins(3);
        let start = Instant::now();
        loop {
            if let Some(root) = self.proc_root()?
                && let Ok(text) = std::fs::read_to_string(root.join("run/cloud-init/result.json"))
            {
                let result: serde_json::Value =
                    serde_json::from_str(&text).context("parsing cloud-init's result")?;
                let errors = result["v1"]["errors"].as_array().cloned().unwrap_or_default();
                if !errors.is_empty() {
                    bail!("cloud-init of machine {} complains: {errors:?}", self.name());
                }
                return Ok(());
            }
            if start.elapsed() > patience {
                bail!(
                    "cloud-init of {} is not done after {} s; {}",
                    self.name(),
                    patience.as_secs(),
                    self.trouble()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The running machine's root as the box sees it, its own `/run` included. Absolute links lead astray there.
    fn proc_root(&self) -> Result<Option<PathBuf>> {
        let state = container::state(&self.id())?;
        Ok(state
            .filter(|state| state.status != "stopped")
            .map(|state| PathBuf::from(format!("/proc/{}/root", state.pid))))
    }

    fn trouble(&self) -> String {
        let state = container::state(&self.id()).ok().flatten();
        let console = std::fs::read_to_string(self.folder().join("bundle/console.log")).unwrap_or_default();
        format!(
            "its container is {}, its console says {:?}",
            state.map_or("gone".into(), |state| state.status),
            console.trim()
        )
    }
}
