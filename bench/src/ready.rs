//! A hosted control plane beside the same pods applied by hand, in turns, on a real cluster of one node (H-20).

mod bed;
mod by_hand;
mod hosted;
mod moments;
mod probe;
mod report;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::scale::Storage;

/// Options of `bench ready`.
#[derive(clap::Args)]
pub struct Args {
    /// Runs of each kind
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Storage of the control planes
    #[arg(long, value_enum, default_value = "kine")]
    storage: Storage,
    /// Version of k0s
    #[arg(long, default_value = e2e::k0s::VERSION)]
    version: String,
    /// The manager's program [default: built, profile $K0SMOTRON_PROFILE or release]
    #[arg(long)]
    manager: Option<PathBuf>,
    /// State folder of the cluster that is made for this and removed at the end
    #[arg(long, default_value = "/var/lib/k0smotron-bench")]
    state: PathBuf,
}

/// Runs it and prints the tables.
pub async fn run(args: Args) -> Result<()> {
    ensure!(args.runs > 0, "--runs 0: at least one run is needed for a figure");
    let bed = bed::Bed::up(&args).await?;
    let spec = hosted::Spec { storage: args.storage, version: bed.version.clone() };
    // The first is not counted: it warms the machine up, and its objects are what is applied by hand.
    let (first, frozen) = hosted::first(&bed, &spec).await?;
    eprintln!("ready: the first was Available after {:.1} s; it is not counted", first.available);
    let (mut hands, mut ours) = (Vec::new(), Vec::new());
    for run in 0..args.runs {
        let hand = by_hand::run(&bed, &frozen).await?;
        let our = hosted::run(&bed, &spec, &format!("run{run}")).await?;
        eprintln!(
            "ready: run {run}: by hand {:.1} s to /readyz, hosted {:.1} s to Available",
            hand.answers, our.moments.available
        );
        hands.push(hand);
        ours.push(our);
    }
    report::print(&args, &bed, &hands, &ours);
    bed.down()
}
