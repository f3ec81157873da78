//! Whole clusters, from `clusterctl init` to the last object gone, on one bed.
//!
//! One test: each part stands on what the former ones left, as a user's day does, and a bed costs a minute.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod support;

use anyhow::{Result, ensure};
use e2e::bed::{Bed, BedOptions};
use e2e::demo::{Demo, condition, kubectl};
use e2e::progress::Progress;
use e2e::{k0s, machines};
use serde_json::{Value, json};
use support::{Fleet, Traffic, Writer, apply, delete, eventually, restart_managers, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_live_and_die_as_their_users_expect() -> Result<()> {
    testbed::debian::require_root()?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let progress = Progress::start();
    let state = std::env::var_os("K0SMOTRON_TESTBED")
        .map_or_else(|| std::env::temp_dir().join("k0smotron-whole"), Into::into);
    let options = BedOptions { state, keep: None, version: k0s::VERSION.into() };
    let bed = Bed::up(options, &progress).await?;
    let fleet = Fleet::start(&bed).await?;

    let demo = Demo { name: "first".into(), namespace: "default".into() };
    a_cluster_comes_up_from_the_template(&bed, &fleet, &demo, &progress).await?;
    pods_logs_exec_and_services_work_through_the_hosted_control_plane(&bed, &demo, &progress).await?;
    settled_clusters_cost_no_request_and_a_restart_writes_nothing(&bed, &progress).await?;
    no_manager_was_refused_a_right(&bed, &progress)?;
    a_taken_node_port_is_named_and_recovers(&bed, &progress).await?;
    a_wrong_configuration_is_named_and_never_blocks_deletion(&bed, &progress).await?;
    a_deleted_cluster_leaves_nothing_and_its_machine_joins_another(&bed, &fleet, &demo, &progress).await?;
    a_hosted_etcd_grows_shrinks_and_heals_under_a_writer(&bed, &progress).await?;
    fleet.stop().await
}

async fn a_cluster_comes_up_from_the_template(
    bed: &Bed,
    fleet: &Fleet,
    demo: &Demo,
    progress: &Progress,
) -> Result<()> {
    demo.apply(bed, &fleet.machines[0], &fleet.key, |_| {})?;
    demo.ready(&bed.cluster, progress).await?;
    let all = bed.cluster.kubectl(&[
        "get",
        "-o",
        "json",
        "cluster,k0smotroncontrolplane,kmc,machine,remotemachine,remotecluster",
    ])?;
    let all: Value = serde_json::from_str(&all)?;
    for object in all["items"].as_array().unwrap() {
        let good = condition(object, "Available") || condition(object, "Ready");
        ensure!(good, "neither Available nor Ready: {} {}", object["kind"], object["status"]["conditions"]);
    }
    let events = bed.cluster.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"])?;
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
    progress.say("every object is Ready or Available, and the events tell the story");
    Ok(())
}

async fn pods_logs_exec_and_services_work_through_the_hosted_control_plane(
    bed: &Bed,
    demo: &Demo,
    progress: &Progress,
) -> Result<()> {
    let child = demo.kubeconfig(&bed.cluster)?;
    let shell = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && echo serving && exec busybox httpd -f -p 8080 -h /tmp/www";
    let app = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "web", "image": testbed::image::BUSYBOX, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", shell]}]}}}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
        "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    apply(&child, &[app, service])?;
    kubectl(&child, &["rollout", "status", "deployment/web", "--timeout=180s"])?;
    progress.say("two pods run in the new cluster");
    eventually("kubectl logs", || async {
        Ok(kubectl(&child, &["logs", "deployment/web"]).is_ok_and(|logs| logs.contains("serving")))
    })
    .await?;
    eventually("kubectl exec", || async {
        Ok(kubectl(&child, &["exec", "deployment/web", "--", "hostname"])
            .is_ok_and(|name| name.starts_with("web-")))
    })
    .await?;
    let address = kubectl(&child, &["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"])?;
    let fetch = format!("busybox wget -q -O - http://{address}/");
    eventually("the Service answers", || async {
        Ok(kubectl(&child, &["exec", "deployment/web", "--", "sh", "-c", &fetch])
            .is_ok_and(|page| page.starts_with("web-")))
    })
    .await?;
    progress.say("logs, exec and a Service work");
    Ok(())
}

/// H-22: silence, and P-3: a restart changes nothing.
async fn settled_clusters_cost_no_request_and_a_restart_writes_nothing(
    bed: &Bed,
    progress: &Progress,
) -> Result<()> {
    settle(bed).await?;
    let idle = Traffic::during(bed, std::time::Duration::from_secs(30)).await?;
    ensure!(idle.writes().is_empty(), "writes while idle: {:?}", idle.writes());
    ensure!(idle.reads().is_empty(), "reads while idle: {:?}", idle.reads());
    progress.say("30 s without any request of a manager besides watches and leases");
    let before = support::versions(bed)?;
    let restart = Traffic::of(bed, restart_managers(bed)).await?;
    ensure!(restart.writes().is_empty(), "writes after a restart: {:?}", restart.writes());
    ensure!(support::versions(bed)? == before, "a restart changed an object");
    progress.say("the managers were restarted and wrote nothing");
    Ok(())
}

/// H-59: the rights of the bundles suffice.
fn no_manager_was_refused_a_right(bed: &Bed, progress: &Progress) -> Result<()> {
    let refused: Vec<_> = Traffic::all(bed)?.requests.into_iter().filter(|entry| entry.code == 403).collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    progress.say("no manager was refused a right");
    Ok(())
}

fn hosted(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "k0smotron.io/v1beta2", "kind": "Cluster", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

async fn until_condition(bed: &Bed, name: &str, type_: &str, reason: &str, words: &str) -> Result<()> {
    let what = format!("{name}: {type_} tells {reason} with {words:?}");
    eventually(&what, || async {
        let text = bed.cluster.kubectl(&["get", "kmc", name, "-o", "json"])?;
        let seen: Value = serde_json::from_str(&text)?;
        let conditions = seen["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.iter().any(|told| {
            told["type"] == type_
                && told["reason"] == reason
                && told["message"].as_str().is_some_and(|message| message.contains(words))
        }))
    })
    .await
}

async fn a_taken_node_port_is_named_and_recovers(bed: &Bed, progress: &Progress) -> Result<()> {
    let squatter = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "squatter", "namespace": "default"}, "spec": {
        "type": "NodePort", "selector": {"app": "none"}, "ports": [{"port": 80, "nodePort": 30999}]}});
    apply(&bed.cluster.kubeconfig(), &[squatter])?;
    let spec = json!({"version": bed.k0s.version, "storage": {"type": "kine"}, "service": {"type": "NodePort", "apiPort": 30999, "konnectivityPort": 31999}});
    apply(&bed.cluster.kubeconfig(), &[hosted("port", &spec)])?;
    until_condition(bed, "port", "ControlPlaneExposed", "NodePortTaken", "30999").await?;
    delete(&bed.cluster.kubeconfig(), &["service", "squatter"])?;
    eventually("it recovers when the port is free", || async {
        let text = bed.cluster.kubectl(&["get", "kmc", "port", "-o", "json"])?;
        Ok(condition(&serde_json::from_str(&text)?, "Available"))
    })
    .await?;
    delete(&bed.cluster.kubeconfig(), &["kmc", "port"])?;
    progress.say("a taken node port was named, and the cluster recovered when it was free");
    Ok(())
}

async fn a_wrong_configuration_is_named_and_never_blocks_deletion(
    bed: &Bed,
    progress: &Progress,
) -> Result<()> {
    let spec = json!({"version": bed.k0s.version, "storage": {"type": "kine"}, "k0sConfig": {"apiVersion": "k0s.k0sproject.io/v1beta1",
        "kind": "ClusterConfig", "spec": {"api": {"noSuchField": 1}}}});
    apply(&bed.cluster.kubeconfig(), &[hosted("wrong", &spec)])?;
    until_condition(bed, "wrong", "Reconciled", "InvalidSpec", "noSuchField").await?;
    let version = json!({"version": "one point two", "storage": {"type": "kine"}});
    let refused = apply(&bed.cluster.kubeconfig(), &[hosted("version", &version)]);
    if refused.is_ok() {
        until_condition(bed, "version", "Reconciled", "InvalidSpec", "version").await?;
    }
    delete(&bed.cluster.kubeconfig(), &["kmc", "wrong", "version"])?;
    progress.say("a wrong configuration was named and did not block deletion");
    Ok(())
}

/// H-56, and remote-machine 6.1: what was made is gone, and the host is as before.
async fn a_deleted_cluster_leaves_nothing_and_its_machine_joins_another(
    bed: &Bed,
    fleet: &Fleet,
    demo: &Demo,
    progress: &Progress,
) -> Result<()> {
    demo.delete(&bed.cluster)?;
    eventually("nothing of the cluster is left", || async {
        let kinds = "kmc,k0smotroncontrolplane,machine,k0sworkerconfig,remotemachine,remotecluster,statefulset,pod,service,configmap,secret";
        let left = bed.cluster.kubectl(&["get", kinds, "-o", "name"])?;
        Ok(!left.lines().any(|line| line.contains("/first") && !line.contains("ssh-key") || line.contains("kmc-first")))
    })
    .await?;
    progress.say("the first cluster is gone");
    let second = Demo { name: "second".into(), namespace: "default".into() };
    // Sqlite on the data volume, as the smallest control plane is.
    second.apply(bed, &fleet.machines[0], &fleet.key, |object| {
        if object["kind"] == "K0smotronControlPlane" {
            object["spec"]["storage"] = json!({"type": "kine"});
        }
    })?;
    second.ready(&bed.cluster, progress).await?;
    second.delete(&bed.cluster)?;
    progress.say("the same machine joined a second cluster");
    Ok(())
}

/// H-31, 9.5, 8.1: 1-3-1, a version change and a lost volume, while a client writes every 100 ms.
async fn a_hosted_etcd_grows_shrinks_and_heals_under_a_writer(bed: &Bed, progress: &Progress) -> Result<()> {
    let mut spec = json!({"version": bed.k0s.version, "replicas": 1, "service": {"type": "NodePort", "apiPort": 30550, "konnectivityPort": 30551},
        "storage": {"type": "etcd", "etcd": {"scaleDownDelaySeconds": 0}}});
    let kubeconfig = bed.cluster.kubeconfig();
    apply(&kubeconfig, &[hosted("etcd", &spec)])?;
    support::hosted_ready(bed, "etcd", 1, 1).await?;
    progress.say("one control plane with one etcd member");
    let writer = Writer::start(bed, "etcd").await?;

    spec["replicas"] = json!(3);
    apply(&kubeconfig, &[hosted("etcd", &spec)])?;
    support::hosted_ready(bed, "etcd", 3, 3).await?;
    let gap = writer.longest_gap();
    progress.say(&format!("three and three; longest gap {gap:.1} s"));
    ensure!(gap < 5.0, "growing: {gap:.1} s without an acknowledged write (H-31)");

    bed.cluster.kubectl(&["delete", "persistentvolumeclaim", "etcd-data-kmc-etcd-etcd-1", "--wait=false"])?;
    bed.cluster.kubectl(&["delete", "pod", "kmc-etcd-etcd-1", "--grace-period=1"])?;
    support::hosted_ready(bed, "etcd", 3, 3).await?;
    let gap = writer.longest_gap();
    progress.say(&format!("a lost member was replaced; longest gap {gap:.1} s"));
    ensure!(gap < 5.0, "healing: {gap:.1} s without an acknowledged write");

    if let Some(next) = machines::next_version(&bed.k0s)? {
        bed.cluster.import(&e2e::images::k0s(&next)?)?;
        spec["version"] = json!(next.version);
        apply(&kubeconfig, &[hosted("etcd", &spec)])?;
        eventually("all replicas run the new version", || async {
            let text = bed.cluster.kubectl(&["get", "kmc", "etcd", "-o", "json"])?;
            let seen: Value = serde_json::from_str(&text)?;
            let images = bed.cluster.kubectl(&[
                "get",
                "pods",
                "-l",
                "cluster=etcd,component=cluster",
                "-o",
                "jsonpath={.items[*].spec.containers[0].image}",
            ])?;
            let tag = next.version.replace("+k0s", "-k0s");
            Ok(seen["status"]["updatedReplicas"] == 3
                && seen["status"]["readyReplicas"] == 3
                && images.split(' ').all(|image| image.ends_with(&tag)))
        })
        .await?;
        progress.say(&format!(
            "three replicas run {}; longest gap {:.1} s",
            next.version,
            writer.longest_gap()
        ));
    }

    spec["replicas"] = json!(1);
    apply(&kubeconfig, &[hosted("etcd", &spec)])?;
    support::hosted_ready(bed, "etcd", 1, 1).await?;
    let (written, gap) = writer.stop(bed, "etcd").await?;
    progress.say(&format!("back to one; {written} acknowledged writes, none lost; longest gap {gap:.1} s"));
    delete(&kubeconfig, &["kmc", "etcd"])?;
    Ok(())
}
