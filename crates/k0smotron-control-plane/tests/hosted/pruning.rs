//! H-8: what is no longer wanted goes, after what refers to it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;
use testbed::faults::FaultHandle;

use crate::stage::Stage;
use crate::stories::{available, sqlite};

/// The Secrets that hold a k0s configuration.
async fn configurations(stage: &Stage) -> Result<BTreeSet<String>> {
    let all = stage.api::<Secret>().list(&ListParams::default()).await?;
    Ok(all.iter().map(ResourceExt::name_any).filter(|name| name.starts_with("kmc-one-config-")).collect())
}

async fn volumes(stage: &Stage) -> Result<BTreeSet<String>> {
    let set = stage.api::<StatefulSet>().get("kmc-one").await?;
    let pod = set.spec.and_then(|spec| spec.template.spec);
    Ok(pod.and_then(|pod| pod.volumes).into_iter().flatten().map(|volume| volume.name).collect())
}

/// H-8: a configuration is there as long as a pod mounts it, and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_configuration_goes_when_no_pod_mounts_it_any_more() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults)?;
    stage.create("one", sqlite()).await?;
    stage.until("one", "available", available).await?;
    let first = configurations(&stage).await?;
    assert_eq!(first.len(), 1, "{first:?}");

    stage.pods_get_ready(false);
    let sans = json!({"spec": {"k0sConfig": {"spec": {"api": {"sans": ["also.example"]}}}}});
    stage.patch("one", sans).await?;
    let pods = stage.api::<Pod>();
    let mounts = |pod: &Pod, name: &str| {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        volumes.into_iter().flatten().any(|volume| {
            volume.secret.as_ref().is_some_and(|secret| secret.secret_name.as_deref() == Some(name))
        })
    };
    let former = first.first().unwrap();
    stage
        .eventually("the pod mounts another configuration", || async {
            Ok(pods.get_opt("kmc-one-0").await?.is_some_and(|pod| !mounts(&pod, former)))
        })
        .await?;
    stage.quiet(&faults, Duration::from_secs(1)).await?;
    let both = configurations(&stage).await?;
    assert!(both.len() == 2 && both.is_superset(&first), "a repair may need the former one: {both:?}");

    stage.pods_get_ready(true);
    stage.until("one", "available", available).await?;
    stage
        .eventually("the former configuration is gone", || async {
            Ok(configurations(&stage).await?.is_disjoint(&first))
        })
        .await?;
    assert_eq!(configurations(&stage).await?.len(), 1);
    stage.quiet(&faults, Duration::from_secs(1)).await
}

/// H-8: mounts and manifests that are no longer wanted leave the pods; the user's own objects stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_and_a_manifest_that_are_no_longer_wanted_leave_the_pods() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults)?;
    stage.server.kubectl(&["-n", stage.namespace(), "create", "configmap", "mine", "--from-literal=a=b"])?;
    let mut spec = sqlite();
    spec["manifests"] = json!([{"name": "addons", "configMap": {"name": "mine"}}]);
    spec["mounts"] = json!([{"path": "/etc/audit", "configMap": {"name": "mine"}}]);
    stage.create("one", spec).await?;
    stage.until("one", "available", available).await?;
    let before = volumes(&stage).await?;
    assert!(before.contains("addons"), "{before:?}");

    stage.patch("one", json!({"spec": {"manifests": null, "mounts": null}})).await?;
    stage
        .eventually("they have left the template", || async {
            Ok(volumes(&stage).await?.len() == before.len() - 2)
        })
        .await?;
    stage
        .eventually("they have left the pod", || async {
            let pod = stage.api::<Pod>().get_opt("kmc-one-0").await?.and_then(|pod| pod.spec);
            let volumes = pod.and_then(|pod| pod.volumes).unwrap_or_default();
            Ok(!volumes.is_empty() && volumes.iter().all(|volume| volume.name != "addons"))
        })
        .await?;
    stage.until("one", "available", available).await?;
    stage.server.kubectl(&["-n", stage.namespace(), "get", "configmap", "mine"])?;
    stage.quiet(&faults, Duration::from_secs(1)).await
}

/// H-8, H-38: the Service of a former type stays while workers and users learn of the new address, ten minutes. (That
/// it goes then is a matter of time, which is an argument of the plan.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_of_a_former_type_stays_for_those_who_still_use_it() -> Result<()> {
    let stage = Stage::set().await?;
    let faults = FaultHandle::new();
    let _manager = stage.manager(&faults)?;
    stage.create("one", sqlite()).await?;
    stage.until("one", "available", available).await?;
    stage.patch("one", json!({"spec": {"service": {"type": "LoadBalancer"}}})).await?;
    let services = stage.api::<Service>();
    stage
        .eventually("the Service of the new type", || async {
            Ok(services.get_opt("kmc-one-lb").await?.is_some())
        })
        .await?;
    let address = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}"#;
    let patch = ["patch", "service", "kmc-one-lb", "--subresource=status", "-p", address];
    stage.server.kubectl(&[&["-n", stage.namespace()][..], &patch].concat())?;
    stage
        .until("one", "available at the new address", |one| {
            let address = one.status.as_ref().and_then(|status| status.external_address.as_deref());
            available(one) && address == Some("192.0.2.7")
        })
        .await?;
    stage.quiet(&faults, Duration::from_secs(1)).await?;
    assert!(services.get_opt("kmc-one").await?.is_some(), "it is removed ten minutes later");
    Ok(())
}
