//! One run: empty manager, creation, idle window, restart, deletion.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use testbed::control_plane::AuditEntry;

use super::Storage;
use super::population::{Created, Population};
use crate::manager::{Counters, Manager, Start};
use crate::requests::Requests;
use crate::simulated::Simulated;
use crate::stage::{PROBE_NAMESPACE, Stage};
use crate::usage::Usage;

/// Without a write for this long a phase is over: nothing that the controller waits for here takes longer.
const QUIET: Duration = Duration::from_secs(5);

/// What is to be run.
pub struct Plan {
    /// How many clusters.
    pub count: usize,
    /// Their storage.
    pub storage: Storage,
    /// How long the idle window is.
    pub idle: Duration,
    /// Their version.
    pub version: String,
    /// The manager's program.
    pub program: PathBuf,
    /// Where its audit log is kept.
    pub audit: Option<PathBuf>,
}

/// What a phase cost.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Seconds.
    pub seconds: f64,
    /// CPU seconds of the manager.
    pub cpu: f64,
    /// Passes and errors of the manager.
    pub passes: f64,
    /// Passes that failed.
    pub errors: f64,
    /// Requests to the clusters' own API servers.
    pub child_requests: usize,
    /// Its requests.
    pub requests: Requests,
    /// At the end of the phase.
    pub usage: Usage,
}

/// What was seen.
pub struct Told {
    /// How many clusters.
    pub count: usize,
    /// Their storage.
    pub storage: Storage,
    /// The manager without any.
    pub empty: Usage,
    /// Seconds until the clusters were Available.
    pub created: Created,
    /// From the first create until the manager wrote no more.
    pub creation: Cost,
    /// The idle window.
    pub idle: Cost,
    /// Seconds from SIGTERM until the manager had ended.
    pub ended: f64,
    /// Seconds from the next one's start until its caches were filled.
    pub synced: f64,
    /// Seconds until a cluster that was made meanwhile had its finalizer.
    pub probe: f64,
    /// From that start until the manager wrote no more, what concerns the new cluster left out.
    pub restart: Cost,
    /// From the deletion until the last was gone.
    pub deletion: Cost,
}

/// Plays it on a stage of its own.
pub async fn play(plan: &Plan) -> Result<Told> {
    let Plan { count, storage, idle, version, program, audit } = plan;
    // One more for the probe.
    let stage = Stage::set((count + 1) * storage.pods(), (count + 1) * storage.claims()).await?;
    let start = Start {
        program: program.clone(),
        kubeconfig: stage.manager_kubeconfig()?,
        dir: stage.dir().to_owned(),
    };
    let population = Population::new(&stage.admin, *count, *storage, version);
    let children = Simulated::serve(&stage.admin, population.places()).await?;

    let manager = Manager::start(&start)?;
    manager.synced().await?;
    manager.quiet(QUIET).await?;
    let empty = manager.usage()?;

    let phase = Phase::begin(&stage, &children, &manager).await?;
    let created = population.create().await?;
    eprintln!("scale: all Available after {:.1} s", created.all);
    manager.settled().await?;
    let creation = phase.end(&stage, &children, &manager).await?;

    let phase = Phase::begin(&stage, &children, &manager).await?;
    eprintln!("scale: idle for {} s", idle.as_secs());
    tokio::time::sleep(*idle).await;
    let idle = phase.end(&stage, &children, &manager).await?;

    let (asked, children_asked) = (stage.asked()?.len(), children.asked());
    let ended = manager.stop();
    let manager = Manager::start(&start)?;
    let (synced, probe) = tokio::join!(manager.synced(), population.probe());
    let (synced, probe) = (synced?, probe?);
    manager.quiet(QUIET).await?;
    let restart = Phase {
        asked,
        children: children_asked,
        seconds: 0.0,
        usage: Usage::default(),
        counters: Counters::default(),
    };
    let restart = restart.end(&stage, &children, &manager).await?;

    let phase = Phase::begin(&stage, &children, &manager).await?;
    let deleted = population.delete().await?;
    let mut deletion = phase.end(&stage, &children, &manager).await?;
    deletion.seconds = deleted;
    manager.stop();
    if let Some(folder) = audit {
        stage.keep_audit(&folder.join(format!("{count}-{}.audit.log", storage.name())))?;
    }
    let (count, storage) = (*count, *storage);
    Ok(Told { count, storage, empty, created, creation, idle, ended, synced, probe, restart, deletion })
}

/// Where a phase began.
struct Phase {
    asked: usize,
    children: usize,
    seconds: f64,
    usage: Usage,
    counters: Counters,
}

impl Phase {
    async fn begin(stage: &Stage, children: &Simulated, manager: &Manager) -> Result<Self> {
        Ok(Self {
            asked: stage.asked()?.len(),
            children: children.asked(),
            seconds: manager.age(),
            usage: manager.usage()?,
            counters: manager.counters().await?,
        })
    }

    async fn end(self, stage: &Stage, children: &Simulated, manager: &Manager) -> Result<Cost> {
        let (usage, counters) = (manager.usage()?, manager.counters().await?);
        let seconds = manager.age() - self.seconds;
        let asked = stage.asked()?;
        let of_probe = |entry: &&AuditEntry| entry.namespace == PROBE_NAMESPACE;
        Ok(Cost {
            seconds,
            cpu: usage.cpu - self.usage.cpu,
            passes: counters.passes - self.counters.passes,
            errors: counters.errors - self.counters.errors,
            child_requests: children.asked() - self.children,
            requests: Requests::of(asked.iter().skip(self.asked).filter(|entry| !of_probe(entry))),
            usage,
        })
    }
}
