//! Cluster API comes late (P-19, K-16).

use anyhow::Result;
use manager::bundle::Bundle;
use serde_json::json;

use crate::bed::{Bed, account, eventually};

fn cluster(name: &str, paused: bool) -> serde_json::Value {
    json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": name, "namespace": "late"},
        "spec": {"paused": paused, "controlPlaneRef": {
            "apiGroup": "controlplane.cluster.x-k8s.io", "kind": "K0smotronControlPlane", "name": name,
        }},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_19_what_needs_cluster_api_starts_when_it_appears_and_the_rest_does_not_wait() -> Result<()> {
    let bed = Bed::with(Bundle::ControlPlane).await?;
    bed.namespace("late").await?;
    let mut manager = bed.manager("late", Bundle::ControlPlane, &["--insecure-diagnostics"])?;
    manager.until_ready().await?;
    assert_eq!(manager.metric("k0smotron_cluster_api_present").await?, Some(0.0));
    let log = manager.log();
    assert!(log.contains("waiting for Cluster API") && log.contains("clusters.cluster.x-k8s.io"), "{log}");

    bed.make_hosted("late", "kmc", json!({"cluster.x-k8s.io/cluster-name": "c"})).await?;
    eventually("the hosted cluster is worked on", || async { Ok(bed.secrets("late").await? > 0) }).await?;
    let paused = || async { bed.condition(&bed.hosted("late"), "kmc", "Paused").await };
    eventually("it tells that it is not paused", || async {
        Ok(paused().await?.is_some_and(|(status, ..)| status == "False"))
    })
    .await?;

    bed.install_cluster_api().await?;
    eventually("Cluster API is seen", || async {
        assert_eq!(manager.health("/readyz").await.map(|(code, _)| code), Some(200), "ready all the time");
        Ok(manager.metric("k0smotron_cluster_api_present").await? == Some(1.0))
    })
    .await?;
    // K-16: a Cluster that was made after the start pauses what ran before it.
    bed.apply(cluster("c", true)).await?;
    eventually("the pause reaches the hosted cluster", || async {
        Ok(paused().await?.is_some_and(|(status, _, words)| status == "True" && words.contains("Cluster c")))
    })
    .await?;
    bed.apply(cluster("c", false)).await?;
    eventually("and its end", || async { Ok(paused().await?.is_some_and(|(status, ..)| status == "False")) })
        .await?;

    let control_planes = bed.api(
        "controlplane.cluster.x-k8s.io/v1beta2",
        "K0smotronControlPlane",
        "k0smotroncontrolplanes",
        "late",
    );
    bed.apply(json!({
        "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "K0smotronControlPlane",
        "metadata": {"name": "hcp", "namespace": "late"},
        "spec": {"version": "v1.36.3+k0s.2", "storage": {"type": "kine"}, "service": {"type": "ClusterIP"}},
    }))
    .await?;
    eventually("the kind that needs Cluster API is worked on", || async {
        let object = control_planes.get("hcp").await?;
        Ok(object.data["status"]["conditions"].as_array().is_some_and(|all| !all.is_empty()))
    })
    .await?;
    assert!(manager.is_alive()?, "without a restart");
    assert_eq!(bed.forbidden(&account(Bundle::ControlPlane))?, Vec::<String>::new());
    Ok(())
}
