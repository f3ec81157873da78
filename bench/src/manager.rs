//! The manager as a process of its own, reached like any operator's: health, metrics, signals, `/proc`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testbed::process::{Life, Process, Program};

use crate::http_get;
use crate::usage::Usage;

/// Many times what a start takes.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longer than the ten seconds after which the controller looks again at a cluster's API that did not answer.
const SETTLED: Duration = Duration::from_secs(11);
/// A manager that is not quiet by then never will be.
const UNREST: Duration = Duration::from_mins(3);

/// How a manager is started.
pub struct Start {
    /// Its program.
    pub program: PathBuf,
    /// Its user's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Where its log goes.
    pub dir: PathBuf,
}

/// A running manager.
pub struct Manager {
    process: Process,
    health: u16,
    metrics: u16,
    started: Instant,
}

/// Counters of its metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Passes of all controllers.
    pub passes: f64,
    /// Passes that failed.
    pub errors: f64,
    /// Writes that it counted itself.
    pub writes: f64,
}

impl Manager {
    /// Starts it; it need not be ready yet.
    pub fn start(start: &Start) -> Result<Self> {
        let (health, metrics) = (free_port()?, free_port()?);
        let process = Program::new("manager", &start.program, Life::WithUs)
            .args(["--kubeconfig".to_owned(), start.kubeconfig.display().to_string()])
            .args(["--enable-controller", "standalone", "--insecure-diagnostics", "--log-level", "warn"])
            .args([format!("--diagnostics-address=127.0.0.1:{metrics}")])
            .args([format!("--health-probe-bind-address=127.0.0.1:{health}")])
            .start(&start.dir)?;
        Ok(Self { process, health, metrics, started: Instant::now() })
    }

    /// Seconds from its start until its caches were filled.
    pub async fn synced(&self) -> Result<f64> {
        while http_get::get(self.health, "/readyz").await.is_err() {
            self.process.check()?;
            if self.started.elapsed() > PATIENCE {
                bail!("the manager is not ready after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(self.started.elapsed().as_secs_f64())
    }

    /// Since its start.
    pub fn age(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What it uses.
    pub fn usage(&self) -> Result<Usage> {
        self.process.check()?;
        Usage::of(self.process.pid())
    }

    /// What it counted.
    pub async fn counters(&self) -> Result<Counters> {
        let text = http_get::get(self.metrics, "/metrics").await?;
        Ok(Counters {
            passes: sum(&text, "controller_runtime_reconcile_total"),
            errors: sum(&text, "controller_runtime_reconcile_errors_total"),
            writes: sum(&text, "k0smotron_api_writes_total"),
        })
    }

    /// Waits until it has written nothing for this long.
    pub async fn quiet(&self, time: Duration) -> Result<()> {
        self.unchanged(time, |counters| counters.writes).await
    }

    /// Waits until it has neither written nor looked at anything for a while.
    pub async fn settled(&self) -> Result<()> {
        self.unchanged(SETTLED, |counters| counters.writes + counters.passes).await
    }

    async fn unchanged(&self, time: Duration, of: impl Fn(Counters) -> f64) -> Result<()> {
        let (mut last, mut since, start) = (-1.0, Instant::now(), Instant::now());
        while since.elapsed() < time {
            let now = of(self.counters().await?);
            if (now - last).abs() > 0.5 {
                (last, since) = (now, Instant::now());
            }
            if start.elapsed() > UNREST {
                bail!("the manager is still busy after {UNREST:?}");
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// Asks it to end; seconds that it took.
    pub fn stop(mut self) -> f64 {
        let start = Instant::now();
        self.process.stop(Duration::from_secs(10));
        start.elapsed().as_secs_f64()
    }
}

/// The sum over all labels of a counter in a Prometheus text.
fn sum(text: &str, family: &str) -> f64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(family).filter(|rest| rest.starts_with(['{', ' '])))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("a free port")?.local_addr()?.port())
}

/// The program: given, or built.
pub fn program(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(path) if path.is_file() => Ok(std::path::absolute(path)?),
        Some(path) => bail!("--manager {}: no such file; leave it out to have it built", path.display()),
        None => e2e::repo::manager(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels_and_no_other_family() {
        let text =
            "a_total{x=\"1 2\"} 3\na_total{x=\"b\"} 4\na_total_more 9\n# HELP a_total words 5\na_total 1\n";
        assert!((sum(text, "a_total") - 8.0).abs() < 1e-9);
    }
}
