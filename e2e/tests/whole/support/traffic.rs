//! What the managers asked of the API server.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::bed::NAMESPACE;
use testbed::control_plane::AuditEntry;

use super::{Day, PATIENCE};

/// Requests of our managers, leases apart: those are how they stay leaders.
pub struct Traffic {
    pub requests: Vec<AuditEntry>,
}

impl Traffic {
    pub fn all(day: &Day) -> Result<Self> {
        let ours = format!("system:serviceaccount:{NAMESPACE}:");
        let requests = day
            .bed
            .cluster
            .audit()?
            .into_iter()
            .filter(|entry| entry.user.starts_with(&ours) && entry.resource != "leases");
        Ok(Self { requests: requests.collect() })
    }

    pub async fn during(day: &Day, how_long: Duration) -> Result<Self> {
        Self::of(day, async {
            tokio::time::sleep(how_long).await;
            Ok(())
        })
        .await
    }

    pub async fn of(day: &Day, act: impl Future<Output = Result<()>>) -> Result<Self> {
        let before = Self::all(day)?.requests.len();
        act.await?;
        Ok(Self { requests: Self::all(day)?.requests.split_off(before) })
    }

    /// `verb resource` of each write.
    pub fn writes(&self) -> Vec<String> {
        self.requests.iter().filter(|entry| entry.is_write()).map(Self::words).collect()
    }

    /// `verb resource` of each read besides watches.
    pub fn reads(&self) -> Vec<String> {
        self.requests
            .iter()
            .filter(|entry| !entry.is_write() && entry.verb != "watch")
            .map(Self::words)
            .collect()
    }

    fn words(entry: &AuditEntry) -> String {
        format!(
            "{} {} {} {}/{} by {}",
            entry.at, entry.verb, entry.resource, entry.namespace, entry.name, entry.user
        )
    }
}

/// Waits until ten seconds passed without a write of ours.
pub async fn settle(day: &Day) -> Result<()> {
    let began = Instant::now();
    loop {
        let quiet = Traffic::during(day, Duration::from_secs(10)).await?;
        if quiet.writes().is_empty() {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "it does not settle: {:?}", quiet.writes());
    }
}
