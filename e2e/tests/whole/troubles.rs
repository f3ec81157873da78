//! What goes wrong with a hosted cluster by its user's hand: a condition and an event name the cause, it recovers when
//! the cause is gone, and it can be deleted meanwhile.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::{CLUSTER, Day, SERVICE, hosted};

/// A registry that nobody runs: what is not on the node already cannot be pulled, and no packet leaves the machine.
const REGISTRY: &str = "127.0.0.1:9/k0sproject/k0s";

pub async fn hosted_clusters_name_their_troubles_and_recover(day: &Day) -> Result<()> {
    tokio::try_join!(a_taken_node_port(day), an_unknown_field(day), a_version_without_an_image(day))?;
    Ok(())
}

/// The cluster is made in trouble and deleted in trouble.
async fn can_be_deleted(day: &Day, name: &str, spec: &Value, condition: &str, reason: &str) -> Result<()> {
    let name = format!("{name}-unwanted");
    day.apply(&[hosted(&name, spec)]).await?;
    day.until_told(CLUSTER, &name, condition, reason, &[]).await?;
    day.delete(CLUSTER, &name).await
}

/// H-37.
async fn a_taken_node_port(day: &Day) -> Result<()> {
    let squatter = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "squatter", "namespace": "default"}, "spec": {
        "type": "NodePort", "selector": {"app": "none"}, "ports": [{"port": 80, "nodePort": 30999}]}});
    day.apply(&[squatter]).await?;
    let spec = json!({"version": day.version(), "storage": {"type": "kine"},
        "service": {"type": "NodePort", "apiPort": 30999, "konnectivityPort": 31999}});
    day.apply(&[hosted("port", &spec)]).await?;
    let words = ["30999", "Service default/squatter"];
    let told = day.until_told(CLUSTER, "port", "ControlPlaneExposed", "NodePortTaken", &words).await?;
    day.until_event(CLUSTER, "port", "NodePortTaken", &words).await?;
    can_be_deleted(day, "port", &spec, "ControlPlaneExposed", "NodePortTaken").await?;
    day.delete(SERVICE, "squatter").await?;
    day.until_true(CLUSTER, "port", "Available").await?;
    day.delete(CLUSTER, "port").await?;
    day.say(&format!("a taken node port was told ({told}), and the cluster recovered when it was free"));
    Ok(())
}

/// H-15.
async fn an_unknown_field(day: &Day) -> Result<()> {
    let spec = |api: Value| {
        let config =
            json!({"apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig", "spec": {"api": api}});
        json!({"version": day.version(), "storage": {"type": "kine"}, "k0sConfig": config})
    };
    let wrong = spec(json!({"noSuchField": 1}));
    day.apply(&[hosted("field", &wrong)]).await?;
    let told = day.until_told(CLUSTER, "field", "Reconciled", "InvalidSpec", &["noSuchField"]).await?;
    day.until_event(CLUSTER, "field", "InvalidSpec", &["noSuchField"]).await?;
    can_be_deleted(day, "field", &wrong, "Reconciled", "InvalidSpec").await?;
    let right = spec(json!({"extraArgs": {"event-ttl": "30m"}}));
    // The wrong field is no longer applied, and so it is gone.
    day.apply(&[hosted("field", &right)]).await?;
    day.until_true(CLUSTER, "field", "Available").await?;
    day.delete(CLUSTER, "field").await?;
    day.say(&format!("an unknown field was told ({told}), and the cluster recovered when it was corrected"));
    Ok(())
}

/// H-25: in the kubelet's words.
async fn a_version_without_an_image(day: &Day) -> Result<()> {
    let version = |version: &str| json!({"version": version, "image": REGISTRY, "storage": {"type": "kine"}});
    let tagged = format!("{REGISTRY}:{}", day.version().replace("+k0s", "-k0s"));
    day.bed.cluster.tag(&e2e::images::k0s_name(day.version()), &tagged)?;
    let wrong = version("v1.36.99+k0s.0");
    let missing = format!("{REGISTRY}:v1.36.99-k0s.0");
    day.apply(&[hosted("version", &wrong)]).await?;
    let words = [&*missing, "pull"];
    let told =
        day.until_told(CLUSTER, "version", "ControlPlaneFunctional", "NoReadyReplicas", &words).await?;
    day.until_told(CLUSTER, "version", "Available", "NoReadyReplicas", &words).await?;
    day.until_event(CLUSTER, "version", "RolloutStalled", &words).await?;
    can_be_deleted(day, "version", &wrong, "ControlPlaneFunctional", "NoReadyReplicas").await?;
    day.apply(&[hosted("version", &version(day.version()))]).await?;
    day.until_true(CLUSTER, "version", "Available").await?;
    day.delete(CLUSTER, "version").await?;
    day.say(&format!("a version without an image was told ({told}), and the cluster recovered with another"));
    Ok(())
}
