//! From first apply to quiet, and what happens then.

use std::time::Duration;

use anyhow::Result;
use api::HostedCluster;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;
use testbed::faults::FaultHandle;

use crate::lives::every_life;
use crate::mortal::Killed;
use crate::stage::{NAMESPACE, Stage};

fn is(cluster: &HostedCluster, type_: &str, status: &str) -> bool {
    let conditions = cluster.status.as_ref().map(|status| &status.conditions);
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == type_ && one.status == status))
}

pub fn available(cluster: &HostedCluster) -> bool {
    is(cluster, "Available", "True") && is(cluster, "ControlPlaneUpToDate", "True")
}

pub fn sqlite() -> serde_json::Value {
    json!({"version": "v1.36.3+k0s.2", "storage": {"type": "kine"}, "service": {"type": "ClusterIP"}})
}

/// H-21, H-22, design 2: few writes, then silence, also over a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kine_cluster_becomes_available_with_few_writes_and_is_silent_afterwards() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let manager = stage.manager(&faults)?;
    stage.create("one", sqlite()).await?;
    let cluster = stage.until("one", "available", available).await?;
    stage.quiet(&faults, Duration::from_secs(3)).await?;
    let writes: Vec<_> = faults
        .writes()
        .iter()
        .map(|write| format!("{} {} {}", write.verb, write.full_resource(), write.name))
        .collect();
    println!("{} writes, {:?}", writes.len(), faults.requests());
    assert!(writes.len() <= 22, "{} writes: {writes:#?}", writes.len());
    let status = cluster.status.unwrap();
    assert_eq!((status.ready_replicas, status.version.as_deref()), (Some(1), Some("v1.36.3+k0s.2")));
    let kubeconfig = Api::<Secret>::namespaced(stage.admin.clone(), NAMESPACE).get("one-kubeconfig").await?;
    let text = String::from_utf8(kubeconfig.data.unwrap()["value"].0.clone())?;
    assert!(text.contains("https://kmc-one.story.svc:30443"), "{text}");

    drop(manager);
    let again = FaultHandle::new();
    let _manager = stage.manager(&again)?;
    stage.quiet(&again, Duration::from_secs(4)).await?;
    assert!(again.writes().is_empty(), "a restart writes nothing: {:?}", again.writes());
    Ok(())
}

/// H-24, H-23: a change restarts the pod, a repair needs no help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_change_restarts_the_pods_and_a_bad_one_can_be_reverted() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults)?;
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
    let _manager = stage.manager(&faults)?;
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
    let _manager = stage.manager(&faults)?;
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

/// Design 2, silence: what the API server stores is what the builders emit, for every kind of cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_cluster_is_recognised_as_settled_by_the_next_process() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let manager = stage.manager(&faults)?;
    stage.server.kubectl(&[
        "-n",
        NAMESPACE,
        "create",
        "secret",
        "generic",
        "db",
        "--from-literal=K0SMOTRON_KINE_DATASOURCE_URL=postgres://a:b|c&d@e/f",
    ])?;
    let kinds = [
        (
            "pvc",
            json!({"version": "v1.34.1", "storage": {"type": "kine"}, "persistence": {"type": "pvc", "autoDeletePVCs": true,
            "persistentVolumeClaim": {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}}}),
        ),
        (
            "sql",
            json!({"version": "v1.36.3+k0s.2", "replicas": 2, "service": {"type": "ClusterIP", "apiPort": 443, "annotations": {"lb": "small"}},
            "externalAddress": "api.example.com", "storage": {"type": "kine", "kine": {"dataSourceSecretName": "db"}},
            "persistence": {"type": "hostPath", "hostPath": "/data"}, "controlPlaneFlags": ["--debug"],
            "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
            "manifests": [{"name": "addons", "configMap": {"name": "addons"}}],
            "mounts": [{"path": "/etc/audit", "secret": {"secretName": "audit"}}, {"path": "/var/log/audit", "emptyDir": {"sizeLimit": "1024Mi"}}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}],
            "k0sConfig": {"spec": {"network": {"provider": "calico"}}}}),
        ),
        (
            "etcd",
            json!({"version": "v1.36.3+k0s.2", "replicas": 3, "service": {"type": "ClusterIP"},
            "storage": {"etcd": {"args": ["--quota-backend-bytes=1"], "autoDeletePVCs": true, "persistence": {"storageClass": "fast", "size": "2048Mi"}, "resources": {"limits": {"memory": "1.5Gi"}}}}}),
        ),
        (
            "lb",
            json!({"version": "v1.36.3+k0s.2", "service": {"type": "LoadBalancer"}, "storage": {"type": "kine"}}),
        ),
    ];
    for (name, spec) in &kinds {
        stage.create(name, spec.clone()).await?;
    }
    for name in ["pvc", "sql"] {
        stage.until(name, "available", available).await?;
    }
    stage
        .eventually("etcd's set exists", || async {
            Ok(stage.objects("etcd").await?.iter().any(|(object, _)| object == "StatefulSet kmc-etcd-etcd"))
        })
        .await?;
    stage
        .until("lb", "told what it waits for", |lb| {
            let conditions = lb.status.as_ref().map(|status| &status.conditions);
            conditions.is_some_and(|all| all.iter().any(|one| one.reason == "WaitingForAddress"))
        })
        .await?;
    stage.quiet(&faults, Duration::from_secs(3)).await?;
    drop(manager);
    let again = FaultHandle::new();
    let _manager = stage.manager(&again)?;
    stage.quiet(&again, Duration::from_secs(4)).await?;
    let writes: Vec<_> = again
        .writes()
        .iter()
        .map(|write| format!("{} {} {}", write.verb, write.full_resource(), write.name))
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");

    // H-34: the password is in Secrets only, and arrives unchanged.
    let everything = stage.server.kubectl(&[
        "-n",
        NAMESPACE,
        "get",
        "configmaps,statefulsets,pods,clusters.k0smotron.io,events",
        "-o",
        "yaml",
    ])?;
    assert!(!everything.contains("b|c&d"), "the password is somewhere else than in a Secret");
    let secrets =
        Api::<Secret>::namespaced(stage.admin.clone(), NAMESPACE).list(&ListParams::default()).await?;
    let config = secrets.iter().find(|secret| secret.name_any().starts_with("kmc-sql-config-")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config.data.as_ref().unwrap()["k0s.yaml"].0)?;
    assert_eq!(config["spec"]["storage"]["kine"]["dataSource"], "postgres://a:b|c&d@e/f");

    // H-37: ready as soon as the balancer has an address.
    stage.server.kubectl(&[
        "-n",
        NAMESPACE,
        "patch",
        "service",
        "kmc-lb-lb",
        "--subresource=status",
        "-p",
        r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}"#,
    ])?;
    let lb = stage.until("lb", "available", available).await?;
    assert_eq!(lb.status.unwrap().external_address.as_deref(), Some("192.0.2.7"));
    Ok(())
}

/// 11.1, and its recovery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_node_port_is_named_with_its_holder_and_recovers() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults)?;
    stage.server.kubectl(&[
        "-n",
        NAMESPACE,
        "create",
        "service",
        "nodeport",
        "holder",
        "--tcp=80",
        "--node-port=30443",
    ])?;
    stage
        .create(
            "one",
            json!({"version": "v1.36.3+k0s.2", "storage": {"type": "kine"}, "service": {"type": "NodePort"}}),
        )
        .await?;
    let told = stage
        .until("one", "told", |one| {
            let conditions = one.status.as_ref().map(|status| &status.conditions);
            conditions.is_some_and(|all| all.iter().any(|one| one.reason == "NodePortTaken"))
        })
        .await?;
    let message = told
        .status
        .unwrap()
        .conditions
        .into_iter()
        .find(|one| one.reason == "NodePortTaken")
        .unwrap()
        .message;
    assert!(message.starts_with("30443 is held by Service story/holder;"), "{message}");
    let events = stage.api::<k8s_openapi::api::events::v1::Event>();
    let told = events.list(&ListParams::default()).await?;
    let told: Vec<_> = told.iter().filter_map(|event| event.reason.as_deref()).collect();
    assert_eq!(told, ["NodePortTaken"], "the cause, once, and no failure besides");
    stage.server.kubectl(&["-n", NAMESPACE, "delete", "service", "holder"])?;
    stage
        .until("one", "waiting for a node", |one| {
            let conditions = one.status.as_ref().map(|status| &status.conditions);
            conditions.is_some_and(|all| all.iter().any(|one| one.reason == "NoReadyNode"))
        })
        .await?;
    Ok(())
}

/// Design 2, rule 6; H-9: killed once, wherever that was, it is completed by the next. (What lies behind the creation:
/// see `whole_lives`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_is_killed_after_each_write_ends_with_the_same_objects() -> Result<()> {
    let fates: Vec<_> = (1..=16).map(Killed::OnceAfterWrite).collect();
    let courses = every_life(&Stage::set().await?, &fates, async |life| {
        life.stage.create("one", sqlite()).await?;
        life.arrives("available", available).await
    })
    .await?;
    let killed = courses.iter().filter(|course| course.deaths > 0).count();
    assert!(killed > 10, "the whole creation took {killed} writes");
    for course in courses {
        course.wrote("delete pods kmc-one-0", 0)?;
    }
    Ok(())
}
