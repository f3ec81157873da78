//! What a cloud and cert-manager would do for the [`Cluster`](crate::Cluster): directories for claims, addresses for
//! load balancers, certificates for webhooks. It watches, and acts at once.

mod load_balancers;
mod react;
mod signer;
mod storage;

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use crate::access::config_from_file;

/// The name of the volume provisioner in storage classes.
pub const PROVISIONER: &str = "k0smotron.io/testbed";

/// Where the agent finds and keeps things.
#[derive(Clone, Debug)]
pub struct Options {
    kubeconfig: PathBuf,
    volumes: PathBuf,
    pki: PathBuf,
}

impl Options {
    /// For the cluster whose files are in this folder.
    pub fn of(dir: &Path) -> Self {
        Self {
            kubeconfig: dir.join("agent.kubeconfig"),
            volumes: dir.join("volumes"),
            pki: dir.join("signer"),
        }
    }
}

/// Works until it is dropped.
pub async fn run(options: Options) -> Result<()> {
    let client = kube::Client::try_from(config_from_file(&options.kubeconfig).await?)?;
    let authority = signer::authority(&options.pki)?;
    tokio::try_join!(
        storage::provision(client.clone(), options.volumes),
        load_balancers::assign(client.clone()),
        signer::sign(client, authority),
    )?;
    Ok(())
}

/// The agent in a thread of this process; it ends when this value is dropped.
#[derive(Debug)]
pub struct InProcessAgent {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl InProcessAgent {
    /// Starts it, with a runtime of its own: a test's runtime may be busy or ended.
    pub fn start(options: Options) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    // Dropping the sender stops it as well.
                    _ = stopped => {}
                    result = run(options) => {
                        if let Err(error) = result {
                            eprintln!("agent: {error:#}");
                        }
                    }
                }
            });
        };
        let thread =
            std::thread::Builder::new().name("agent".to_owned()).spawn(work).context("start the agent")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for InProcessAgent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
