//! Many hosted clusters on simulated pods: what they cost to create, to have, to come back to, and to delete
//! (H-21, H-22, H-63 to H-65).

mod keys;
mod population;
mod report;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use testbed::tools::{self, Files};

use crate::{isolate, manager, stage};

/// Options of `bench scale`.
#[derive(clap::Args)]
pub struct Args {
    /// How many clusters, one run for each number
    #[arg(long, value_delimiter = ',', default_value = "10,100")]
    clusters: Vec<usize>,
    /// Storage of the clusters, one run for each
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kine,etcd")]
    storage: Vec<Storage>,
    /// Seconds of the idle window
    #[arg(long, default_value_t = 300)]
    idle: u64,
    /// Version of k0s in the specs; nothing of it is run
    #[arg(long, default_value = "v1.36.3+k0s.2")]
    version: String,
    /// The manager's program [default: built, profile $K0SMOTRON_PROFILE or release]
    #[arg(long)]
    manager: Option<PathBuf>,
    /// Keep the API server's audit logs in this folder
    #[arg(long)]
    audit: Option<PathBuf>,
    /// Already in a network namespace of its own
    #[arg(long, hide = true)]
    isolated: bool,
}

/// Where a cluster keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Storage {
    /// kine on sqlite in the pod: one pod per cluster
    Kine,
    /// etcd with one member: two pods and a claim per cluster
    Etcd,
}

impl Storage {
    /// As `spec.storage.type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kine => "kine",
            Self::Etcd => "etcd",
        }
    }

    /// Pods per cluster.
    pub fn pods(self) -> usize {
        match self {
            Self::Kine => 1,
            Self::Etcd => 2,
        }
    }

    /// Claims per cluster.
    pub fn claims(self) -> usize {
        match self {
            Self::Kine => 0,
            Self::Etcd => 1,
        }
    }

    /// The most writes that one of them may cost (H-21).
    pub fn most_writes(self) -> usize {
        match self {
            Self::Kine => 22,
            Self::Etcd => 32,
        }
    }
}

/// Runs every combination and prints the tables.
pub async fn run(args: Args) -> Result<()> {
    if !args.isolated {
        // What needs the network is had before it is gone.
        tools::ensure(&stage::TOOLS)?;
        tools::files(Files::Kwok)?;
        let program = manager::program(args.manager.as_deref())?;
        // Clap takes the last of a repeated option only if told so: the path is given once.
        let more: &[&std::path::Path] = match &args.manager {
            Some(_) => &["--isolated".as_ref()],
            None => &["--isolated".as_ref(), "--manager".as_ref(), program.as_ref()],
        };
        return isolate::run_again(more);
    }
    let keys = keys::cost()?;
    let program = manager::program(args.manager.as_deref())?;
    let mut told = Vec::new();
    for storage in &args.storage {
        for count in &args.clusters {
            let plan = story::Plan {
                count: *count,
                storage: *storage,
                idle: Duration::from_secs(args.idle),
                version: args.version.clone(),
                program: program.clone(),
                audit: args.audit.clone(),
            };
            eprintln!("scale: {} clusters with {}", plan.count, storage.name());
            told.push(story::play(&plan).await?);
        }
    }
    report::print(&told, &keys);
    Ok(())
}
