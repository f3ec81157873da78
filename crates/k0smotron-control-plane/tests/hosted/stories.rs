//! From first apply to quiet, and what happens then.

use std::time::Duration;

use anyhow::Result;
use api::HostedCluster;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;
use testbed::faults::FaultHandle;

use crate::stage::{NAMESPACE, Stage};

fn is(cluster: &HostedCluster, type_: &str, status: &str) -> bool {
    let conditions = cluster.status.as_ref().map(|status| &status.conditions);
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == type_ && one.status == status))
}

fn available(cluster: &HostedCluster) -> bool {
    is(cluster, "Available", "True") && is(cluster, "ControlPlaneUpToDate", "True")
}

fn sqlite() -> serde_json::Value {
    json!({"version": "v1.36.3+k0s.2", "storage": {"type": "kine"}, "service": {"type": "ClusterIP"}})
}

/// H-21, H-22, design 2: few writes, then silence, also over a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kine_cluster_becomes_available_with_few_writes_and_is_silent_afterwards() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let manager = stage.manager(&faults).await?;
    stage.create("one", sqlite()).await?;
    let cluster = stage.until("one", "available", available).await?;
    stage.quiet(&faults, Duration::from_secs(3)).await?;
    let writes: Vec<_> = faults
        .writes()
        .iter()
        .map(|write| format!("{} {} {}", write.verb, write.full_resource(), write.name))
        .collect();
    assert!(writes.len() <= 22, "{} writes: {writes:#?}", writes.len());
    let status = cluster.status.unwrap();
    assert_eq!((status.ready_replicas, status.version.as_deref()), (Some(1), Some("v1.36.3+k0s.2")));
    let kubeconfig = Api::<Secret>::namespaced(stage.admin.clone(), NAMESPACE).get("one-kubeconfig").await?;
    let text = String::from_utf8(kubeconfig.data.unwrap()["value"].0.clone())?;
    assert!(text.contains("https://kmc-one.story.svc:30443"), "{text}");

    drop(manager);
    let again = FaultHandle::new();
    let _manager = stage.manager(&again).await?;
    stage.quiet(&again, Duration::from_secs(4)).await?;
    assert!(again.writes().is_empty(), "a restart writes nothing: {:?}", again.writes());
    Ok(())
}

/// H-24, H-23: a change restarts the pod, a repair needs no help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_change_restarts_the_pods_and_a_bad_one_can_be_reverted() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults).await?;
    stage.create("one", sqlite()).await?;
    stage.until("one", "available", available).await?;
    let pods: Api<Pod> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    let first = pods.get("kmc-one-0").await?.uid();
    stage.pods_get_ready(false);
    stage.patch("one", json!({"spec": {"version": "v1.36.4+k0s.0"}})).await?;
    stage
        .eventually("the pod restarts", || async {
            Ok(pods.get_opt("kmc-one-0").await?.is_some_and(|pod| pod.uid() != first))
        })
        .await?;
    stage.patch("one", json!({"spec": {"version": "v1.36.3+k0s.2"}})).await?;
    stage
        .eventually("the pod of the bad revision is replaced", || async {
            let pod = pods.get_opt("kmc-one-0").await?;
            let image = pod.and_then(|pod| pod.spec?.containers[0].image.clone());
            Ok(image.is_some_and(|image| image.ends_with("v1.36.3-k0s.2")))
        })
        .await?;
    stage.pods_get_ready(true);
    stage.until("one", "available", available).await?;
    Ok(())
}

/// H-8: an edited or deleted object is restored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_edited_or_deleted_comes_back() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults).await?;
    stage.create("one", sqlite()).await?;
    stage.until("one", "available", available).await?;
    stage.server.kubectl(&["-n", NAMESPACE, "delete", "configmap", "kmc-one-telemetry-config"])?;
    stage.server.kubectl(&["-n", NAMESPACE, "label", "service", "kmc-one", "cluster-", "--overwrite"])?;
    stage.server.kubectl(&["-n", NAMESPACE, "delete", "secret", "one-kubeconfig"])?;
    stage
        .eventually("all are back", || async {
            let objects = stage.objects("one").await?;
            let there = |name: &str| objects.iter().any(|(object, _)| object == name);
            Ok(there("ConfigMap kmc-one-telemetry-config")
                && there("Service kmc-one")
                && there("Secret one-kubeconfig"))
        })
        .await?;
    stage.quiet(&faults, Duration::from_secs(2)).await
}

/// H-56: everything goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_cluster_leaves_nothing_behind() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults).await?;
    stage.create("one", sqlite()).await?;
    stage.until("one", "available", available).await?;
    stage.delete("one").await?;
    stage
        .eventually("nothing is left", || async {
            let pods = Api::<Pod>::namespaced(stage.admin.clone(), NAMESPACE)
                .list(&ListParams::default())
                .await?
                .items
                .len();
            Ok(stage.clusters().get_opt("one").await?.is_none()
                && stage.objects("one").await?.is_empty()
                && pods == 0)
        })
        .await
}
