//! The quickstart: a real management cluster and a real cluster in it, on this machine.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Parser, Subcommand};
use e2e::bed::{Bed, BedOptions};
use e2e::demo::Demo;
use e2e::progress::Progress;
use e2e::{k0s, machines, table};
use testbed::cluster::{self, Cluster};
use testbed::{agent, debian};

#[derive(Parser)]
#[command(about = "A real management cluster and a real k0s cluster in it, on this machine")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// State folder [default: $K0SMOTRON_TESTBED or /var/lib/k0smotron-testbed]
    #[arg(long, global = true)]
    state: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything (the default); a second call completes what is missing
    Up,
    /// Show what runs
    Status,
    /// Remove everything
    Down,
    /// Do a cloud's and cert-manager's part in the bed (started by `up`)
    #[command(hide = true)]
    Agent,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let state = args.state.unwrap_or_else(cluster::default_state);
    let demo = Demo { name: "demo".into(), namespace: "default".into() };
    match args.command.unwrap_or(Command::Up) {
        Command::Up => Box::pin(up(&state, &demo)).await,
        Command::Status => status(&state, &demo),
        Command::Down => down(&state, &demo).await,
        Command::Agent => Box::pin(agent::run(agent::Options::of(&Cluster::attach(&state)?.dir()))).await,
    }
}

#[allow(clippy::print_stdout)] // what a person came for
async fn up(state: &Path, demo: &Demo) -> Result<()> {
    debian::require_root()?;
    install_crypto();
    let progress = Progress::start();
    let options = BedOptions {
        state: state.to_owned(),
        keep: Some(std::env::current_exe()?),
        version: k0s::VERSION.into(),
    };
    let bed = Bed::up(options, &progress).await?;
    let fleet = machines::up(1, state, &bed.k0s).await?;
    progress.say("a host answers by SSH");
    demo.apply(&bed, &fleet[0], &testbed::machine::fleet::ssh_key(state), |_| {})?;
    let kubeconfig = demo.ready(&bed.cluster, &progress).await?;
    println!("{}", table::of(demo, &bed.cluster, &kubeconfig)?);
    println!("This is {}.", bed.k0s.describe());
    println!("Use the new cluster:        export KUBECONFIG={}", kubeconfig.display());
    println!("Use the management cluster: export KUBECONFIG={}", bed.cluster.kubeconfig().display());
    println!("Remove everything:          hack/quickstart down");
    progress.say("done");
    Ok(())
}

#[allow(clippy::print_stdout)]
fn status(state: &Path, demo: &Demo) -> Result<()> {
    let cluster = Cluster::attach(state)?;
    println!("{}", table::of(demo, &cluster, &demo.kubeconfig(&cluster)?)?);
    Ok(())
}

async fn down(state: &Path, demo: &Demo) -> Result<()> {
    debian::require_root()?;
    let progress = Progress::start();
    if let Ok(cluster) = Cluster::attach(state)
        && cluster.is_running()
    {
        if let Err(error) = demo.delete(&cluster) {
            progress.say(&format!("cluster {} is removed with everything else: {error:#}", demo.name));
        } else {
            progress.say(&format!("cluster {} is deleted", demo.name));
        }
    }
    testbed::machine::fleet::down(state).await?;
    cluster::down(state)?;
    progress.say("everything is removed");
    Ok(())
}

fn install_crypto() {
    // Another provider in place is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
