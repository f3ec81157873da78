//! What all parts of the day stand on.

mod child;
mod fleet;
mod hosted;
mod managers;
mod objects;
mod traffic;
mod writer;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use e2e::bed::{Bed, BedOptions};
use e2e::k0s;
use e2e::progress::Progress;
use kube::Client;

pub use child::{child, child_config};
pub use fleet::Fleet;
pub use hosted::{hosted, hosted_ready, member, pods};
pub use managers::{Hunted, costs, restart_managers};
pub use objects::{CLUSTER, MACHINE, REMOTE_MACHINE, REQUEST, SECRET, SERVICE, differences, written};
pub use traffic::{Traffic, settle};
pub use writer::Writer;

/// Far above what anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// The bed, and a clock that runs since the morning.
pub struct Day {
    pub bed: Bed,
    pub client: Client,
    pub progress: Progress,
}

impl Day {
    pub async fn begin() -> Result<Self> {
        testbed::debian::require_root()?;
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let progress = Progress::start();
        let state = std::env::var_os("K0SMOTRON_TESTBED")
            .map_or_else(|| std::env::temp_dir().join("k0smotron-whole"), Into::into);
        let options = BedOptions { state, keep: None, version: k0s::VERSION.into() };
        let bed = Bed::up(options, &progress).await?;
        let client = bed.cluster.client().await?;
        Ok(Self { bed, client, progress })
    }

    pub fn say(&self, words: &str) {
        self.progress.say(words);
    }

    /// A folder for what a part of the day needs; it goes with the bed.
    pub fn folder(&self, name: &str) -> Result<std::path::PathBuf> {
        let path = self.bed.cluster.dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The version of k0s that is there.
    pub fn version(&self) -> &str {
        &self.bed.k0s.version
    }

    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.bed.cluster.kubeconfig()
    }
}

/// Waits for something.
pub async fn eventually<F: Future<Output = Result<bool>>>(what: &str, yes: impl Fn() -> F) -> Result<()> {
    let holds = || async { if yes().await? { Ok(()) } else { bail!("it is not so") } };
    answer(what, holds).await
}

/// Asks until there is an answer.
pub async fn answer<T, F: Future<Output = Result<T>>>(what: &str, ask: impl Fn() -> F) -> Result<T> {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if began.elapsed() > PATIENCE => bail!("not within {PATIENCE:?}: {what}: {error:#}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// kubectl, as a user runs it, off the threads that other parts of the day are waiting on.
pub async fn kubectl(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    let (kubeconfig, args) =
        (kubeconfig.to_owned(), args.iter().map(ToString::to_string).collect::<Vec<_>>());
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        e2e::demo::kubectl(&kubeconfig, &args)
    })
    .await?
}
