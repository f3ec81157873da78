//! H-31, 9.5, 8.1: 1-3-1, a version change and a lost volume, while a client writes every 100 ms - and the manager
//! dies again and again.

use anyhow::{Result, ensure};
use e2e::k0s::K0s;
use e2e::{images, machines};
use serde_json::json;
use testbed::Cluster;

use crate::support::pods;
use crate::support::{CLUSTER, Day, Hunted, Writer, eventually, hosted, hosted_ready, member};

/// The longest time without an acknowledged write that hosted.md allows.
const LONGEST_GAP: f64 = 5.0;

pub async fn a_hosted_etcd_grows_shrinks_and_heals_under_a_writer(day: &Day) -> Result<()> {
    story(day, "calm", 30550).await
}

/// The same under a manager that is killed at random moments.
pub async fn a_hosted_etcd_holds_while_its_manager_is_killed_again_and_again(day: &Day) -> Result<()> {
    let hunted = Hunted::start(day).await?;
    let story = story(day, "etcd", 30560).await;
    let kills = hunted.stop(day).await?;
    story?;
    day.say(&format!("the manager was killed {kills} times in this story"));
    ensure!(kills > 10, "{kills} kills prove little");
    Ok(())
}

async fn story(day: &Day, name: &str, port: u16) -> Result<()> {
    let spec = |replicas: i64, version: &str| {
        let spec = json!({"version": version, "replicas": replicas,
            "service": {"type": "NodePort", "apiPort": port, "konnectivityPort": port + 1},
            "storage": {"type": "etcd", "etcd": {"scaleDownDelaySeconds": 0, "autoDeletePVCs": true}}});
        [hosted(name, &spec)]
    };
    let version = day.version();
    day.apply(&spec(1, version)).await?;
    hosted_ready(day, name, 1, 1).await?;
    day.say(&format!("{name}: one control plane with one etcd member"));
    let writer = Writer::start(day, name).await?;
    let acknowledged = |what: &str| {
        let gap = writer.longest_gap();
        day.say(&format!("{name}: {what}; longest gap {gap:.1} s"));
        ensure!(gap < LONGEST_GAP, "{name}: {what}: {gap:.1} s without an acknowledged write (H-31)");
        Ok(())
    };

    day.apply(&spec(3, version)).await?;
    hosted_ready(day, name, 3, 3).await?;
    acknowledged("three and three")?;

    let pod = format!("kmc-{name}-etcd-1");
    let lost = member(day, name, &pod).await?;
    ensure!(!lost.is_empty(), "{pod} has no member id");
    day.bed.cluster.kubectl(&["delete", "pvc", &format!("etcd-data-{pod}"), "--wait=false"])?;
    day.bed.cluster.kubectl(&["delete", "pod", &pod, "--grace-period=1", "--wait=false"])?;
    eventually("the member with the lost volume is another one", || async {
        let now = member(day, name, &pod).await?;
        Ok(!now.is_empty() && now != lost)
    })
    .await?;
    hosted_ready(day, name, 3, 3).await?;
    acknowledged("a lost member was replaced")?;

    let mut version = version.to_owned();
    if let Some(next) = next_version(day).await? {
        version.clone_from(&next.version);
        day.apply(&spec(3, &version)).await?;
        let tag = version.replace("+k0s", "-k0s");
        eventually("all replicas run the new version", || async {
            let seen = day.get(CLUSTER, name).await?;
            let pods = pods(day, name).await?;
            let control_plane = pods.iter().filter_map(|pod| {
                let labels = pod.metadata.labels.as_ref()?;
                let spec = pod.spec.as_ref()?;
                (labels.get("component")? == "cluster").then(|| spec.containers[0].image.clone())?
            });
            let images: Vec<String> = control_plane.collect();
            Ok(seen["status"]["updatedReplicas"] == 3
                && images.len() == 3
                && images.iter().all(|image| image.ends_with(&tag)))
        })
        .await?;
        hosted_ready(day, name, 3, 3).await?;
        acknowledged(&format!("three replicas run {version}"))?;
    }

    day.apply(&spec(1, &version)).await?;
    hosted_ready(day, name, 1, 1).await?;
    let (written, gap) = writer.stop(day, name).await?;
    day.say(&format!(
        "{name}: back to one; {written} acknowledged writes, none lost; longest gap {gap:.1} s"
    ));
    ensure!(gap < LONGEST_GAP, "{name}: shrinking: {gap:.1} s without an acknowledged write (H-31)");
    day.delete(CLUSTER, name).await
}

/// The version to change to, with its image in the bed. It may have to be built, which must not hold up what else
/// goes on.
async fn next_version(day: &Day) -> Result<Option<K0s>> {
    let (k0s, state) = (day.bed.k0s.clone(), day.bed.cluster.state().to_owned());
    tokio::task::spawn_blocking(move || {
        let next = machines::next_version(&k0s)?;
        if let Some(next) = &next {
            images::import_k0s(&Cluster::attach(&state)?, next)?;
        }
        Ok(next)
    })
    .await?
}
