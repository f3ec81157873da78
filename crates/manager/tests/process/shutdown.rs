//! The end of a process (P-32).

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use manager::bundle::Bundle;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::bed::{Bed, Manager, account, eventually};

const ARGS: [&str; 2] = ["--leader-elect", "--insecure-diagnostics"];
/// The grace period of the manager's pod.
const POD_GRACE: Duration = Duration::from_secs(10);

/// Stops and resumes the API server: requests under way stay under way.
struct Frozen(Pid);

impl Frozen {
    fn new(bed: &Bed) -> Result<Self> {
        // etcd is the first, and answers nobody else.
        let pid = Pid::from_raw(bed.server.pids()[1]);
        kill(pid, Signal::SIGSTOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// The writes of a manager in a namespace so far: kinds in their order.
fn written(bed: &Bed, namespace: &str) -> Result<Vec<String>> {
    let ours = account(Bundle::Standalone);
    let all = bed.server.audit()?.into_iter();
    let here = all.filter(|one| one.user == ours && one.namespace == namespace && one.is_write());
    Ok(here.map(|one| one.resource).filter(|resource| resource != "events").collect())
}

/// How much the first pass over a hosted cluster writes: its keys at last; the next one begins with a ConfigMap.
async fn writes_of_a_first_pass(bed: &Bed) -> Result<usize> {
    bed.namespace("whole").await?;
    bed.make_hosted("whole", "a", json!({})).await?;
    eventually("the next pass writes", || async {
        Ok(written(bed, "whole")?.contains(&"configmaps".to_owned()))
    })
    .await?;
    Ok(written(bed, "whole")?.iter().take_while(|resource| *resource != "configmaps").count())
}

/// Freezes the API server while the manager is in the middle of a pass that has writes to come.
async fn frozen_in_a_pass(bed: &Bed, manager: &Manager) -> Result<(String, Frozen)> {
    let whole = writes_of_a_first_pass(bed).await?;
    for attempt in 0..20 {
        let namespace = format!("pass-{attempt}");
        bed.namespace(&namespace).await?;
        bed.make_hosted(&namespace, "a", json!({})).await?;
        eventually("the pass has begun to write", || async { Ok(!written(bed, &namespace)?.is_empty()) })
            .await?;
        let frozen = Frozen::new(bed)?;
        // A pass that reads caches takes a millisecond; one that waits for the API server is still there.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let done = written(bed, &namespace)?.len();
        let works = manager.metric("controller_runtime_active_workers{controller=\"cluster\"}").await?;
        if works > Some(0.0) && done < whole {
            return Ok((namespace, frozen));
        }
    }
    anyhow::bail!("no pass was met in the middle")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_32_sigterm_in_the_middle_of_a_pass_finishes_it_and_the_next_one_leads_at_once() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    let mut first = bed.manager("first", Bundle::Standalone, &ARGS)?;
    first.until_ready().await?;
    eventually("the first leads", || first.leads()).await?;
    let second = bed.manager("second", Bundle::Standalone, &ARGS)?;
    second.until_ready().await?;
    // Connections that say nothing must not hold up the end.
    let _silent: Vec<TcpStream> =
        [first.health, first.diagnostics].map(|port| TcpStream::connect(("127.0.0.1", port)).unwrap()).into();

    let (namespace, frozen) = frozen_in_a_pass(&bed, &first).await?;
    let asked = Instant::now();
    first.signal(Signal::SIGTERM)?;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(first.is_alive()?, "it waits for its pass");
    let before = bed.writes(&account(Bundle::Standalone))?;
    drop(frozen);
    let status = first.ended().await?;
    let (took, ended) = (asked.elapsed(), Instant::now());
    assert_eq!(status.code(), Some(0), "{}", first.log());
    assert!(took < POD_GRACE, "{took:?}");
    let log = first.log();
    assert!(log.contains("gave the lease back") && !log.contains("unfinished"), "{log}");
    assert!(bed.writes(&account(Bundle::Standalone))? > before, "the pass was finished");

    eventually("the second leads", || second.leads()).await?;
    let handed_over = ended.elapsed();
    println!(
        "ended {took:?} after SIGTERM (the API server stood still for 0.7 s of it); led {handed_over:?} after"
    );
    ensure!(handed_over < Duration::from_secs(2), "{handed_over:?}");
    eventually("the second completes it", || async {
        let sets = bed.api("apps/v1", "StatefulSet", "statefulsets", &namespace);
        Ok(!sets.list(&kube::api::ListParams::default()).await?.items.is_empty())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_32_an_api_server_that_does_not_answer_does_not_hold_up_the_end() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    let mut manager = bed.manager("alone", Bundle::Standalone, &ARGS)?;
    manager.until_ready().await?;
    eventually("it leads", || manager.leads()).await?;
    let (_, _frozen) = frozen_in_a_pass(&bed, &manager).await?;
    let asked = Instant::now();
    manager.signal(Signal::SIGTERM)?;
    let status = manager.ended().await?;
    let took = asked.elapsed();
    println!("ended {took:?} after SIGTERM without an API server");
    assert_eq!(status.code(), Some(0), "{}", manager.log());
    assert!(took < POD_GRACE, "{took:?}");
    assert!(manager.log().contains("a pass unfinished"), "it is told: {}", manager.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_32_a_process_that_waits_for_the_api_server_ends_at_once() -> Result<()> {
    let mut bed = Bed::with(Bundle::Standalone).await?;
    bed.server.stop_apiserver();
    for args in [&ARGS[..], &ARGS[1..]] {
        let mut manager = bed.manager("early", Bundle::Standalone, args)?;
        eventually("it answers probes", || async { Ok(manager.health("/healthz").await.is_some()) }).await?;
        let asked = Instant::now();
        manager.signal(Signal::SIGTERM)?;
        assert_eq!(manager.ended().await?.code(), Some(0), "{}", manager.log());
        assert!(asked.elapsed() < Duration::from_secs(2), "{args:?}: {:?}", asked.elapsed());
    }
    Ok(())
}
