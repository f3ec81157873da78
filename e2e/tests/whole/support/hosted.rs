//! Hosted clusters of the kind that stands for itself.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::objects::told;
use super::{CLUSTER, Day, eventually};

/// A `k0smotron.io` Cluster.
pub fn hosted(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "k0smotron.io/v1beta2", "kind": "Cluster", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

/// Waits until a hosted cluster has so many Ready replicas and etcd members, and nothing is under way. The pods are
/// looked at as well: while no manager lives, the status is of yesterday.
pub async fn hosted_ready(day: &Day, name: &str, replicas: i64, members: usize) -> Result<()> {
    let what = format!("{name} has {replicas} replicas and {members} members, all Ready");
    eventually(&what, || async {
        let seen = day.get(CLUSTER, name).await?;
        let status = &seen["status"];
        let known = status["etcd"]["members"].as_array().cloned().unwrap_or_default();
        let voters =
            known.iter().filter(|member| member["ready"] == true && member["learner"] != true).count();
        let pods = pods(day, name).await?;
        let expected = usize::try_from(replicas)? + members;
        Ok(status["observedGeneration"] == seen["metadata"]["generation"]
            && e2e::demo::condition(&seen, "Available")
            // Before the first time the condition is not there.
            && told(&seen, "ConfigApplied").is_some_and(|(is, _, _)| is == "True")
            && status["readyReplicas"] == replicas
            && status["replicas"] == replicas
            && known.len() == members
            && voters == members
            && pods.len() == expected
            && pods.iter().all(ready))
    })
    .await
}

/// The pods of a hosted cluster.
pub async fn pods(day: &Day, name: &str) -> Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(day.client.clone(), "default");
    Ok(api.list(&ListParams::default().labels(&format!("cluster={name}"))).await?.items)
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True")
}

/// The id of an etcd member.
pub async fn member(day: &Day, cluster: &str, pod: &str) -> Result<String> {
    let seen = day.get(CLUSTER, cluster).await?;
    let members = seen["status"]["etcd"]["members"].as_array().context("no members")?;
    let found = members.iter().find(|member| member["name"] == pod);
    Ok(found.and_then(|member| member["id"].as_str()).unwrap_or_default().to_owned())
}
