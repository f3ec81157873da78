//! Who leads (P-7, P-32).

use std::time::{Duration, Instant};

use anyhow::Result;
use manager::bundle::Bundle;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::bed::{Bed, Manager, SHORT_LEASE, eventually};

const PLAIN: &[&str] = &["--insecure-diagnostics"];

/// The first leads, the second stands by.
async fn two(bed: &Bed, args: &[&str]) -> Result<(Manager, Manager)> {
    let args = [PLAIN, args].concat();
    let first = bed.manager("first", Bundle::Standalone, &args)?;
    first.until_ready().await?;
    eventually("the first leads", || first.leads()).await?;
    let second = bed.manager("second", Bundle::Standalone, &args)?;
    second.until_ready().await?;
    Ok((first, second))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_7_one_of_two_managers_leads_and_the_metrics_tell_which() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    bed.namespace("one").await?;
    let (first, mut second) = two(&bed, &["--leader-elect"]).await?;
    bed.make_hosted("one", "a", json!({})).await?;
    eventually("the leader works", || async { Ok(bed.secrets("one").await? > 0) }).await?;
    assert!(bed.holder().await?.is_some_and(|holder| holder.starts_with("first_")));
    assert!(first.leads().await? && !second.leads().await?);
    let line = "leader_election_master_status{name=\"083a7d1ebf6f499af0c1b1bb489b4941.k0smotron.io\"}";
    assert_eq!((first.metric(line).await?, second.metric(line).await?), (Some(1.0), Some(0.0)));
    let passes = second.ask(None, "GET", "/metrics", "").await?.body;
    assert!(!passes.contains("controller_runtime_reconcile_total{"), "who stands by makes no pass");
    // Ready does not depend on leadership: else a rollout would wait for ever for the second.
    assert_eq!(second.health("/readyz").await.map(|(code, _)| code), Some(200));

    second.signal(Signal::SIGTERM)?;
    assert_eq!(second.ended().await?.code(), Some(0));
    assert!(first.leads().await? && bed.holder().await?.is_some_and(|holder| holder.starts_with("first_")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_32_after_sigkill_the_next_one_leads_when_the_lease_has_run_out() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    let (mut first, second) = two(&bed, &SHORT_LEASE).await?;
    first.signal(Signal::SIGKILL)?;
    let killed = Instant::now();
    first.ended().await?;
    eventually("the second leads", || second.leads()).await?;
    let after = killed.elapsed();
    println!("after SIGKILL the next one leads in {after:?}; the lease is 4 s long");
    // It was renewed at most a renewal's interval (1 s) before.
    assert!(after > Duration::from_millis(2500) && after < Duration::from_secs(6), "{after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_7_a_leader_that_was_frozen_beyond_its_deadline_writes_nothing_and_ends() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    bed.namespace("frozen").await?;
    let (mut first, second) = two(&bed, &SHORT_LEASE).await?;
    first.signal(Signal::SIGSTOP)?;
    eventually("the second leads", || second.leads()).await?;
    // Work that the frozen one finds in its watches when it wakes.
    bed.make_hosted("frozen", "a", json!({})).await?;
    eventually("the second has worked", || async { Ok(bed.secrets("frozen").await? > 0) }).await?;
    first.signal(Signal::SIGCONT)?;
    assert_eq!(first.ended().await?.code(), Some(1), "{}", first.log());
    assert!(first.log().contains("leadership is lost"), "{}", first.log());
    assert!(!first.log().contains("\"controller\":"), "it began no pass: {}", first.log());
    assert!(second.leads().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_7_a_leader_that_cannot_reach_the_api_server_ends_at_its_deadline_and_its_next_life_waits()
-> Result<()> {
    let mut bed = Bed::with(Bundle::Standalone).await?;
    bed.namespace("away").await?;
    let args = [PLAIN, &SHORT_LEASE].concat();
    let mut manager = bed.manager("away", Bundle::Standalone, &args)?;
    eventually("it leads", || async {
        Ok(manager.health("/readyz").await.is_some() && manager.leads().await?)
    })
    .await?;
    bed.server.stop_apiserver();
    let gone = Instant::now();
    assert_eq!(manager.ended().await?.code(), Some(1));
    let after = gone.elapsed();
    assert!(after < Duration::from_secs(4), "before the next one may lead: {after:?}");

    let mut next = bed.manager("next", Bundle::Standalone, &args)?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(next.is_alive()?, "it waits for the API server: {}", next.log());
    bed.server.start_apiserver().await?;
    eventually("the next life leads", || next.leads()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_lease_is_made_again_by_its_holder_and_a_taken_one_ends_it() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    let args = [PLAIN, &SHORT_LEASE].concat();
    let mut manager = bed.manager("holder", Bundle::Standalone, &args)?;
    manager.until_ready().await?;
    eventually("it leads", || manager.leads()).await?;
    let leases = bed.api("coordination.k8s.io/v1", "Lease", "leases", manager::bundle::NAMESPACE);
    let name = "083a7d1ebf6f499af0c1b1bb489b4941.k0smotron.io";
    leases.delete(name, &kube::api::DeleteParams::default()).await?;
    eventually("the lease is there again", || async {
        Ok(bed.holder().await?.is_some_and(|holder| holder.starts_with("holder_")))
    })
    .await?;
    assert!(manager.leads().await?);
    let theft = kube::api::Patch::Merge(json!({"spec": {"holderIdentity": "thief"}}));
    leases.patch(name, &kube::api::PatchParams::default(), &theft).await?;
    assert_eq!(manager.ended().await?.code(), Some(1));
    assert_eq!(bed.holder().await?.as_deref(), Some("thief"));
    Ok(())
}
