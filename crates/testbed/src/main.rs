//! `testbed`: a management cluster that stays between test runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::cluster::{Cluster, ClusterOptions, default_state, down};
use testbed::machine::{MachineOptions, fleet};
use testbed::tools::{self, Tool};
use testbed::{agent, cluster_api, debian};

#[derive(Parser)]
#[command(about = "A real management cluster of one node, and the tools to test with")]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// State folder [default: $K0SMOTRON_TESTBED or /var/lib/k0smotron-testbed]
    #[arg(long, global = true)]
    state: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster that stays until `down`
    Up {
        /// Install Cluster API's core with clusterctl
        #[arg(long)]
        with_cluster_api: bool,
        /// Install the project's providers too: an image is made from this manager program
        #[arg(long, value_name = "PROGRAM")]
        with_providers: Option<PathBuf>,
        /// The folder of the providers' component files
        #[arg(long, default_value = "clusterctl")]
        components: PathBuf,
    },
    /// Remove the machines and the cluster, or what an interrupted run left of one
    Down,
    /// Say what runs; exit code 1 if nothing does
    Status,
    /// Print the path of the administrator's kubeconfig file
    Kubeconfig,
    /// Hosts with systemd and sshd that stay between test runs
    Machines {
        #[command(subcommand)]
        command: Machines,
    },
    /// Build every tool that is missing and print their paths
    Tools,
    /// Do a cloud's and cert-manager's part (started by `up`)
    #[command(hide = true)]
    Agent,
}

#[derive(Subcommand)]
enum Machines {
    /// Start this many, or what is missing of them
    Up {
        #[arg(long, default_value_t = 1)]
        count: usize,
        /// With containerd, for a kubelet
        #[arg(long)]
        worker: bool,
        /// Let them reach the outside
        #[arg(long)]
        internet: bool,
    },
    /// Remove them
    Down,
    /// Print them, and the key that opens them
    List,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Args::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Words for a person: the causes, without a backtrace.
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let state = args.state.unwrap_or_else(default_state);
    match args.command {
        Command::Up { with_cluster_api, with_providers, components } => {
            debian::require_root()?;
            let began = Instant::now();
            let cluster =
                Cluster::start(ClusterOptions { state, keep: Some(std::env::current_exe()?) }).await?;
            match with_providers {
                Some(manager) => cluster_api::install_ours(&cluster, &components, &manager).await?,
                None if with_cluster_api => cluster_api::install(&cluster, &[]).await?,
                None => {}
            }
            eprintln!("testbed: up after {:.1} s; `testbed down` removes it", began.elapsed().as_secs_f64());
            println!("{}", cluster.kubeconfig().display());
        }
        Command::Down => {
            debian::require_root()?;
            fleet::down(&state).await?;
            down(&state)?;
        }
        Command::Status => status(&Cluster::attach(&state)?)?,
        Command::Kubeconfig => println!("{}", Cluster::attach(&state)?.kubeconfig().display()),
        Command::Machines { command } => {
            debian::require_root()?;
            machines(command, &state).await?;
        }
        Command::Tools => {
            let paths = tools::ensure(&Tool::ALL)?;
            for tool in Tool::ALL {
                println!("{:24} {}", tool.name(), paths.get(tool)?.display());
            }
        }
        Command::Agent => Box::pin(agent::run(agent::Options::of(&Cluster::attach(&state)?.dir()))).await?,
    }
    Ok(())
}

async fn machines(command: Machines, state: &Path) -> Result<()> {
    match command {
        Machines::Up { count, worker, internet } => {
            let template = MachineOptions { worker, ..Default::default() };
            fleet::up(count, state, internet, &template).await?;
        }
        Machines::Down => return fleet::down(state).await,
        Machines::List => {}
    }
    for machine in fleet::list(state)? {
        let state = if machine.running { "running" } else { "stopped" };
        println!("{:16} {:16} {state}", machine.name, machine.address.to_string());
    }
    println!("ssh -i {} root@<address>", fleet::ssh_key(state).display());
    Ok(())
}

fn status(cluster: &Cluster) -> Result<()> {
    for (name, pid) in cluster.processes() {
        println!("{name:24} {pid}");
    }
    if !cluster.is_running() {
        anyhow::bail!("the cluster in {} does not run: `testbed down` removes it", cluster.state().display());
    }
    print!("{}", cluster.kubectl(&["get", "nodes", "-o", "wide"])?);
    print!("{}", cluster.kubectl(&["get", "pods", "--all-namespaces"])?);
    Ok(())
}
