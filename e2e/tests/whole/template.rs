//! A user's first cluster, from the shipped template to its deletion.

use anyhow::{Context, Result, ensure};
use e2e::demo::{Demo, condition};
use serde_json::{Value, json};

use crate::support::{Day, Fleet, eventually, kubectl};

pub async fn a_cluster_comes_up_from_the_template(day: &Day, fleet: &Fleet, demo: &Demo) -> Result<()> {
    demo.apply(&day.bed, &fleet.machines[0], &fleet.key, |_| {})?;
    demo.ready(&day.bed.cluster, &day.progress).await?;
    let kinds = "cluster,k0smotroncontrolplane,kmc,machine,remotemachine,remotecluster";
    let all = kubectl(&day.kubeconfig(), &["get", "-o", "json", kinds]).await?;
    let all: Value = serde_json::from_str(&all)?;
    let items = all["items"].as_array().context("no list")?;
    let of_demo = |object: &&Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        name.split('-').next() == Some(&demo.name)
    };
    let items: Vec<_> = items.iter().filter(of_demo).collect();
    ensure!(items.len() == 6, "one of each kind, not {}", items.len());
    for object in items {
        let good = condition(object, "Available") || condition(object, "Ready");
        ensure!(good, "neither Available nor Ready: {} {}", object["kind"], object["status"]["conditions"]);
    }
    let events = kubectl(&day.kubeconfig(), &["get", "events", "-o", "jsonpath={.items[*].reason}"]).await?;
    for reason in [
        "Created",
        "HostKeyLearned",
        "RunStarted",
        "Provisioned",
        "DataSecretCreated",
        "NodeLinked",
        "EndpointChanged",
    ] {
        ensure!(events.split(' ').any(|one| one == reason), "no event {reason} in: {events}");
    }
    day.say("every object is Ready or Available, and the events tell the story");
    Ok(())
}

pub async fn pods_logs_exec_and_services_work_through_the_hosted_control_plane(
    day: &Day,
    demo: &Demo,
) -> Result<()> {
    let path = demo.kubeconfig(&day.bed.cluster)?;
    let shell = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && echo serving && exec busybox httpd -f -p 8080 -h /tmp/www";
    let app = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "web", "image": testbed::image::BUSYBOX, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", shell]}]}}}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}, "spec": {
        "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    let client = crate::support::child(day, &demo.name).await?;
    testbed::control_plane::apply(&client, &[app, service]).await?;
    kubectl(&path, &["rollout", "status", "deployment/web", "--timeout=180s"]).await?;
    day.say("two pods run in the new cluster");
    eventually("kubectl logs", || async {
        Ok(kubectl(&path, &["logs", "deployment/web"]).await.is_ok_and(|logs| logs.contains("serving")))
    })
    .await?;
    eventually("kubectl exec", || async {
        Ok(kubectl(&path, &["exec", "deployment/web", "--", "hostname"])
            .await
            .is_ok_and(|name| name.starts_with("web-")))
    })
    .await?;
    let address = kubectl(&path, &["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]).await?;
    let fetch = format!("busybox wget -q -O - http://{address}/");
    eventually("the Service answers", || async {
        Ok(kubectl(&path, &["exec", "deployment/web", "--", "sh", "-c", &fetch])
            .await
            .is_ok_and(|page| page.starts_with("web-")))
    })
    .await?;
    day.say("logs, exec and a Service work");
    Ok(())
}

/// H-56, and remote-machine 6.1: what was made is gone, and the host is as before.
pub async fn a_deleted_cluster_leaves_nothing_and_its_machine_joins_another(
    day: &Day,
    fleet: &Fleet,
    demo: &Demo,
) -> Result<()> {
    delete(day, demo).await?;
    eventually("nothing of the cluster is left", || async {
        let kinds = "kmc,k0smotroncontrolplane,machine,k0sworkerconfig,remotemachine,remotecluster,statefulset,pod,service,configmap,secret";
        let left = kubectl(&day.kubeconfig(), &["get", kinds, "-o", "name"]).await?;
        let (own, pods) = (format!("/{}", demo.name), format!("kmc-{}", demo.name));
        Ok(!left.lines().any(|line| line.contains(&own) && !line.contains("ssh-key") || line.contains(&pods)))
    })
    .await?;
    day.say("the first cluster is gone");
    let second = Demo { name: "second".into(), namespace: "default".into() };
    // Sqlite on the data volume, as the smallest control plane is.
    second.apply(&day.bed, &fleet.machines[0], &fleet.key, |object| {
        if object["kind"] == "K0smotronControlPlane" {
            object["spec"]["storage"] = json!({"type": "kine"});
        }
    })?;
    second.ready(&day.bed.cluster, &day.progress).await?;
    delete(day, &second).await?;
    day.say("the same machine joined a second cluster");
    Ok(())
}

async fn delete(day: &Day, demo: &Demo) -> Result<()> {
    kubectl(&day.kubeconfig(), &["delete", "cluster.cluster.x-k8s.io", &demo.name, "--timeout=180s"])
        .await
        .map(drop)
}
