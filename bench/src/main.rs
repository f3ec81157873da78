//! Measures the real manager: at scale on simulated pods, and beside the same pods applied by hand.
//!
//! Figures are printed as tables to paste. Nothing here is asserted by the clock: a figure belongs to the machine it
//! was taken on, a ratio of two figures of one run does not.

mod http_get;
mod isolate;
mod manager;
mod ready;
mod requests;
mod scale;
mod simulated;
mod stage;
mod table;
mod usage;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Ratios of memory, CPU, requests and time
#[derive(Parser)]
#[command(name = "bench")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Creates, settles, idles, restarts and deletes so many hosted clusters on simulated pods
    Scale(scale::Args),
    /// Compares a hosted control plane with the same pods applied by hand, on real pods
    Ready(ready::Args),
}

#[tokio::main]
async fn main() -> Result<()> {
    // Another provider in place is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match CommandLine::parse().command {
        Command::Scale(args) => scale::run(args).await,
        Command::Ready(args) => ready::run(args).await,
    }
}
