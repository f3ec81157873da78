//! H-22, H-63: settled clusters cost no request; P-3: a restart changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::support::{Day, Traffic, costs, differences, restart_managers, settle, written};

/// The managers are watched doing nothing for this long.
pub async fn settled_clusters_cost_no_request_and_a_restart_writes_nothing(
    day: &Day,
    window: Duration,
) -> Result<()> {
    settle(day).await?;
    let (before, objects) = (costs()?, written(day).await?);
    let idle = Traffic::during(day, window).await?;
    quiet(day, "while idle", &idle, &objects).await?;
    let seconds = window.as_secs();
    day.say(&format!("{seconds} s without any request of a manager besides watches and leases"));
    for now in costs()? {
        let then = before.iter().find(|then| then.pid == now.pid);
        let then = then.with_context(|| format!("manager {} was restarted", now.mode))?;
        day.say(&format!(
            "  {:14} {:5.1} MiB resident, {:4} ms of CPU in {seconds} s",
            now.mode,
            f64::from(u32::try_from(now.resident_kib)?) / 1024.0,
            now.cpu.checked_sub(then.cpu).unwrap_or_default().as_millis()
        ));
    }
    let objects = written(day).await?;
    let restart = Traffic::of(day, restart_managers(day)).await?;
    ensure!(restart.writes().is_empty(), "writes after a restart: {:#?}", restart.writes());
    let changed = differences(&objects, &written(day).await?);
    ensure!(changed.is_empty(), "a restart changed objects: {changed:#?}");
    day.say("the managers were restarted and wrote nothing");
    Ok(())
}

/// No request; else what became of the objects since then.
async fn quiet(day: &Day, when: &str, seen: &Traffic, before: &BTreeMap<String, Value>) -> Result<()> {
    let requests = [seen.writes(), seen.reads()].concat();
    if requests.is_empty() {
        return Ok(());
    }
    let changed = differences(before, &written(day).await?);
    bail!("requests {when}: {requests:#?}\nchanged since then: {changed:#?}");
}
