//! Design 2, rule 6: a manager that is killed at any write ends in the same objects, from the creation of a cluster
//! to its end.

use anyhow::{Context as _, Result, ensure};
use api::HostedCluster;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::etcds::Etcds;
use crate::lives::{FATES, Life, every_life};
use crate::members::{cluster_id, etcd_is, id_of, members, root};
use crate::stage::Stage;
use crate::stories::available;

/// So many replicas of this version serve, and no others.
fn serves(replicas: i32, version: &str) -> impl Fn(&HostedCluster) -> bool {
    move |one| {
        let status = one.status.clone().unwrap_or_default();
        available(one)
            && (status.replicas, status.ready_replicas) == (Some(replicas), Some(replicas))
            && status.version.as_deref() == Some(version)
    }
}

/// H-23, H-34, H-56: on an SQL database, so that replicas can come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_on_sql_is_the_same_at_every_station_of_its_life_whenever_the_manager_is_killed()
-> Result<()> {
    const FIRST: &str = "v1.36.3+k0s.2";
    const THEN: &str = "v1.36.4+k0s.0";
    let courses = every_life(&Stage::set().await?, &FATES, async |life| {
        let db: Secret = serde_json::from_value(json!({
            "metadata": {"name": "db"}, "stringData": {"K0SMOTRON_KINE_DATASOURCE_URL": "postgres://a:b@c/d"},
        }))?;
        life.stage.api().create(&PostParams::default(), &db).await?;
        let storage = json!({"type": "kine", "kine": {"dataSourceSecretName": "db"}});
        let spec = json!({"version": FIRST, "service": {"type": "ClusterIP"}, "storage": storage});
        life.stage.create("one", spec).await?;
        life.arrives("one replica", serves(1, FIRST)).await?;
        life.stage.patch("one", json!({"spec": {"replicas": 3}})).await?;
        life.arrives("three replicas", serves(3, FIRST)).await?;
        life.stage.patch("one", json!({"spec": {"version": THEN}})).await?;
        life.arrives("another version", serves(3, THEN)).await?;
        life.stage.patch("one", json!({"spec": {"replicas": 1}})).await?;
        life.arrives("one replica again", serves(1, THEN)).await?;
        life.stage.delete("one").await?;
        life.leaves(&["Secret | db | /type: \"Opaque\""]).await
    })
    .await?;
    // H-23: each pod restarted once, for the other version, and for nothing else.
    for course in courses {
        for pod in ["kmc-one-0", "kmc-one-1", "kmc-one-2"] {
            course.wrote(&format!("delete pods {pod}"), 1)?;
        }
    }
    Ok(())
}

/// H-36, H-56: on a volume that keeps its data and goes in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_on_a_claim_keeps_it_to_its_end_whenever_the_manager_is_killed() -> Result<()> {
    const FIRST: &str = "v1.36.3+k0s.2";
    const THEN: &str = "v1.36.4+k0s.0";
    let courses = every_life(&Stage::set().await?, &FATES, async |life| {
        let claim = json!({
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        });
        let spec = json!({
            "version": FIRST, "service": {"type": "ClusterIP"}, "storage": {"type": "kine"},
            "persistence": {"type": "pvc", "autoDeletePVCs": true, "persistentVolumeClaim": claim},
        });
        life.stage.create("one", spec).await?;
        life.arrives("one replica", serves(1, FIRST)).await?;
        life.stage.patch("one", json!({"spec": {"version": THEN}})).await?;
        life.arrives("another version", serves(1, THEN)).await?;
        life.stage.delete("one").await?;
        life.leaves(&[]).await
    })
    .await?;
    for course in courses {
        course.saw("PersistentVolumeClaim data-kmc-one-0", 1)?;
        course.wrote("delete pods kmc-one-0", 1)?;
    }
    Ok(())
}

/// H-21, H-30 to H-32, 9.4, 9.5: on real members of etcd, with what was written to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_keeps_quorum_and_data_through_its_life_whenever_the_manager_is_killed() -> Result<()> {
    if !root() {
        return Ok(());
    }
    every_life(&Stage::set().await?, &FATES[..3], etcd_life).await?;
    Ok(())
}

async fn etcd_life(life: &mut Life) -> Result<()> {
    let healthy = |size: usize| {
        move |one: &HostedCluster| members(one) == size && etcd_is(one, "AllMembersHealthy") && available(one)
    };
    life.etcds = Some(Etcds::of(&life.stage, "one")?);
    let storage = json!({"etcd": {"scaleDownDelaySeconds": 0}});
    let spec = json!({"version": "v1.36.3+k0s.2", "service": {"type": "ClusterIP"}, "storage": storage});
    life.stage.create("one", spec).await?;
    life.arrives("one member", healthy(1)).await?;
    let id = cluster_id(&ctl(life, 0, &["endpoint", "status", "-w", "json"]).await?)?;
    ctl(life, 0, &["put", "a", "1"]).await?;

    life.stage.patch("one", json!({"spec": {"replicas": 3}})).await?;
    life.arrives("three members", healthy(3)).await?;
    ctl(life, 2, &["put", "b", "2"]).await?;

    let former = id_of(&life.stage.clusters().get("one").await?, "kmc-one-etcd-1");
    let claims = life.stage.api::<PersistentVolumeClaim>();
    claims.delete("etcd-data-kmc-one-etcd-1", &DeleteParams::default()).await?;
    life.stage.api::<Pod>().delete("kmc-one-etcd-1", &DeleteParams::default()).await?;
    life.arrives("a lost member is replaced", |one| {
        let now = id_of(one, "kmc-one-etcd-1");
        now.is_some() && now != former && healthy(3)(one)
    })
    .await?;
    ensure!(ctl(life, 1, &["get", "b"]).await?.contains('2'), "b is lost");

    life.stage.patch("one", json!({"spec": {"replicas": 1}})).await?;
    life.arrives("one member again", healthy(1)).await?;
    ensure!(ctl(life, 0, &["get", "a"]).await?.contains('1'), "a is lost");
    ensure!(ctl(life, 0, &["get", "b"]).await?.contains('2'), "b is lost");
    let now = cluster_id(&ctl(life, 0, &["endpoint", "status", "-w", "json"]).await?)?;
    ensure!(now == id, "another cluster of etcd");

    life.stage.delete("one").await?;
    // Nobody asked for the volume to go.
    life.leaves(&["PersistentVolumeClaim | etcd-data-kmc-one-etcd-0"]).await
}

async fn ctl(life: &Life, ordinal: u8, args: &[&str]) -> Result<String> {
    let etcds = life.etcds.as_ref().context("no etcd runs")?;
    etcds.ctl(&format!("kmc-one-etcd-{ordinal}"), args).await
}
