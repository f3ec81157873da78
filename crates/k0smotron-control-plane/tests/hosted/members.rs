//! Membership of real etcd members (hosted.md 9.4, 9.5).

use std::time::Duration;

use anyhow::Result;
use api::HostedCluster;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use testbed::faults::FaultHandle;

use crate::etcds::Etcds;
use crate::stage::{NAMESPACE, Stage};

pub fn etcd_is(cluster: &HostedCluster, reason: &str) -> bool {
    let conditions = cluster.status.as_ref().map(|status| &status.conditions);
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "EtcdHealthy" && one.reason == reason))
}

pub fn members(cluster: &HostedCluster) -> usize {
    let etcd = cluster.status.as_ref().and_then(|status| status.etcd.as_ref());
    etcd.map_or(0, |etcd| {
        etcd.members.iter().filter(|member| member.learner.is_none() && member.id.is_some()).count()
    })
}

/// The id of a voter that is Ready.
pub fn id_of(cluster: &HostedCluster, name: &str) -> Option<String> {
    let members = &cluster.status.as_ref()?.etcd.as_ref()?.members;
    members
        .iter()
        .find(|member| member.name == name && member.learner.is_none() && member.ready == Some(true))?
        .id
        .clone()
}

pub fn root() -> bool {
    let yes = nix::unistd::geteuid().is_root();
    if !yes {
        eprintln!("skipped: members of etcd run in mount namespaces, which needs root");
    }
    yes
}

/// H-21, H-30 to H-32, 9.5: the whole life of an etcd, with its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_grows_to_three_survives_the_loss_of_a_volume_and_shrinks_to_one_with_its_data() -> Result<()>
{
    if !root() {
        return Ok(());
    }
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults)?;
    let mut etcds = Etcds::of(&stage, "one")?;
    let spec = json!({"version": "v1.36.3+k0s.2", "service": {"type": "ClusterIP"}, "storage": {"etcd": {"scaleDownDelaySeconds": 0}}});
    stage.create("one", spec).await?;
    let healthy = |size: usize| {
        let clusters = stage.clusters();
        move || {
            let clusters = clusters.clone();
            async move {
                let cluster = clusters.get("one").await?;
                Ok(members(&cluster) == size && etcd_is(&cluster, "AllMembersHealthy"))
            }
        }
    };
    etcds.until("one member", healthy(1)).await?;
    let cluster = etcds.ctl("kmc-one-etcd-0", &["endpoint", "status", "-w", "json"]).await?;
    let id = cluster_id(&cluster)?;
    for _ in 0..20 {
        etcds.look().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let writes: Vec<_> = faults
        .writes()
        .iter()
        .map(|write| format!("{} {} {}", write.verb, write.full_resource(), write.name))
        .collect();
    println!("{} writes of a cluster with one member", writes.len());
    assert!(writes.len() <= 32, "{} writes: {writes:#?}", writes.len());
    etcds.ctl("kmc-one-etcd-0", &["put", "a", "1"]).await?;

    stage.patch("one", json!({"spec": {"replicas": 3}})).await?;
    etcds.until("three members", healthy(3)).await?;
    etcds.ctl("kmc-one-etcd-2", &["put", "b", "2"]).await?;

    let claims: Api<PersistentVolumeClaim> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    let former = id_of(&stage.clusters().get("one").await?, "kmc-one-etcd-1");
    claims.delete("etcd-data-kmc-one-etcd-1", &DeleteParams::default()).await?;
    pods.delete("kmc-one-etcd-1", &DeleteParams::default()).await?;
    etcds
        .until("the lost member is replaced", || {
            let (clusters, former) = (stage.clusters(), former.clone());
            async move {
                let cluster = clusters.get("one").await?;
                let now = id_of(&cluster, "kmc-one-etcd-1");
                Ok(now.is_some() && now != former && etcd_is(&cluster, "AllMembersHealthy"))
            }
        })
        .await?;
    assert!(etcds.ctl("kmc-one-etcd-1", &["get", "b"]).await?.contains('2'));

    stage.patch("one", json!({"spec": {"replicas": 1}})).await?;
    etcds.until("one member again", healthy(1)).await?;
    etcds
        .until("the claims of former members go", || {
            let claims = claims.clone();
            async move { Ok(claims.list(&ListParams::default()).await?.items.len() == 1) }
        })
        .await?;
    assert!(etcds.ctl("kmc-one-etcd-0", &["get", "a"]).await?.contains('1'));
    assert!(etcds.ctl("kmc-one-etcd-0", &["get", "b"]).await?.contains('2'));
    assert_eq!(
        cluster_id(&etcds.ctl("kmc-one-etcd-0", &["endpoint", "status", "-w", "json"]).await?)?,
        id,
        "the same cluster all the time"
    );
    Ok(())
}

pub fn cluster_id(status: &str) -> Result<String> {
    let status: serde_json::Value = serde_json::from_str(status)?;
    Ok(status[0]["Status"]["header"]["cluster_id"].to_string())
}
