//! What goes wrong with a host: a condition and an event name the cause, it recovers when the cause is gone, and
//! deletion ends or says how it is ended.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::demo::{Demo, suit_this_box};
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use serde_json::{Value, json};

use crate::support::{Day, Fleet, MACHINE, REMOTE_MACHINE, child, eventually};

/// The Machine, its config and its host.
const NAME: &str = "trouble";
const BOOTSTRAP: &str = "BootstrapExecSucceeded";
/// The run waits for this file of the host, so that it is in the middle for as long as the test wants.
const GO_ON: &str = "/run/go-on";

/// A worker for a cluster of Cluster API, on the fleet's second host, with a key that is wrong at first.
pub async fn a_host_names_its_troubles_and_recovers(day: &Day, fleet: &Fleet, demo: &Demo) -> Result<()> {
    let machine = fleet.machine(1)?;
    let right = std::fs::read_to_string(&fleet.key)?;
    let wrong = another_key(&day.folder("keys")?)?;
    day.apply(&worker(day, fleet, demo, NAME, &wrong)).await?;
    let told = day.until_told(REMOTE_MACHINE, NAME, BOOTSTRAP, "AuthFailed", &[]).await?;
    day.until_event(REMOTE_MACHINE, NAME, "AuthFailed", &[]).await?;
    day.say(&format!("a wrong SSH key was told: {told}"));

    // nothing was sent to the host, so nothing is to be cleaned.
    let unwanted = format!("{NAME}-unwanted");
    day.apply(&worker(day, fleet, demo, &unwanted, &wrong)).await?;
    day.until_told(REMOTE_MACHINE, &unwanted, BOOTSTRAP, "AuthFailed", &[]).await?;
    day.let_go(MACHINE, &unwanted).await?;
    day.gone(REMOTE_MACHINE, &unwanted).await?;
    day.gone(MACHINE, &unwanted).await?;
    day.say("a machine whose key is wrong can be deleted");

    machine.rotate_host_keys().await?;
    let told = day.until_told(REMOTE_MACHINE, NAME, BOOTSTRAP, "HostKeyMismatch", &["SHA256:"]).await?;
    day.until_event(REMOTE_MACHINE, NAME, "HostKeyMismatch", &["SHA256:"]).await?;
    day.say(&format!("a changed host key was told: {told}"));
    day.apply(&[key(NAME, &right)]).await?;
    day.annotate(REMOTE_MACHINE, NAME, "k0smotron.io/accept-new-host-key", "true").await?;
    day.until_event(REMOTE_MACHINE, NAME, "HostKeyForgotten", &[]).await?;
    day.until_event(REMOTE_MACHINE, NAME, "RunStarted", &[]).await?;
    day.until_told(REMOTE_MACHINE, NAME, BOOTSTRAP, "Provisioning", &["running command 1"]).await?;
    day.say("with the right key, and the new host key accepted, the host is being provisioned");

    machine.unplug().await?;
    day.say("the host is unplugged in the middle of it");
    let address = machine.address().to_string();
    let told = day.until_told(REMOTE_MACHINE, NAME, BOOTSTRAP, "ConnectFailed", &[]).await?;
    day.until_event(REMOTE_MACHINE, NAME, "ConnectFailed", &[]).await?;
    day.say(&format!("which was told: {told}"));
    machine.plug().await?;
    machine.exec(&format!("touch {GO_ON}")).await?;
    day.until_true(REMOTE_MACHINE, NAME, BOOTSTRAP).await?;
    let nodes: Api<Node> = Api::all(child(day, &demo.name).await?);
    eventually("the host is a Ready node", || async {
        let node = nodes.get_opt(NAME).await?;
        let conditions = node.and_then(|node| node.status?.conditions).unwrap_or_default();
        Ok(conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    })
    .await?;
    // the run went on where it was.
    let runs = machine.exec("cat /var/lib/trouble-runs").await?;
    ensure!(runs.lines().count() == 1, "the first command ran {} times", runs.lines().count());
    day.say("it was plugged in again, and the run went on where it was");

    machine.unplug().await?;
    day.let_go(MACHINE, NAME).await?;
    let told = day.until_told(REMOTE_MACHINE, NAME, "Deleting", "CleanUpFailed", &["skip-clean-up"]).await?;
    day.until_event(REMOTE_MACHINE, NAME, "CleanUpFailed", &[&address]).await?;
    day.say(&format!("deleted while unplugged: {told}"));
    machine.plug().await?;
    day.gone(MACHINE, NAME).await?;
    // The folder itself is a volume of the bed's.
    let left = machine.try_exec("ls -A /var/lib/k0s; ls -d /etc/k0s.token /etc/k0smotron/run").await?;
    ensure!(left.stdout.trim().is_empty(), "left on the host: {}", left.stdout);
    day.say("plugged in again, the host was cleaned and the machine is gone");
    abandoned(day, fleet, demo, &right).await
}

/// who does not want to wait says so.
async fn abandoned(day: &Day, fleet: &Fleet, demo: &Demo, right: &str) -> Result<()> {
    let machine = fleet.machine(1)?;
    let name = format!("{NAME}-abandoned");
    machine.exec(&format!("rm -f {GO_ON}")).await?;
    day.apply(&worker(day, fleet, demo, &name, right)).await?;
    day.until_told(REMOTE_MACHINE, &name, BOOTSTRAP, "Provisioning", &["running command 1"]).await?;
    machine.unplug().await?;
    day.let_go(MACHINE, &name).await?;
    give_up(day, &name).await?;
    machine.plug().await?;
    day.say("a machine that is unplugged in the middle can be deleted without its host");
    Ok(())
}

/// Does what the condition of a machine that cannot be cleaned says, and sees it go.
async fn give_up(day: &Day, name: &str) -> Result<()> {
    let way_out = "k0smotron.io/skip-clean-up";
    day.until_told(REMOTE_MACHINE, name, "Deleting", "CleanUpFailed", &[way_out]).await?;
    day.annotate(REMOTE_MACHINE, name, way_out, "true").await?;
    day.gone(REMOTE_MACHINE, name).await?;
    day.gone(MACHINE, name).await
}

/// The objects of a worker that waits in its first command.
fn worker(day: &Day, fleet: &Fleet, demo: &Demo, name: &str, ssh_key: &str) -> Vec<Value> {
    let Demo { name: cluster, namespace } = demo;
    let metadata = |annotations: Value| {
        let labels = json!({"cluster.x-k8s.io/cluster-name": cluster});
        json!({"name": name, "namespace": namespace, "labels": labels, "annotations": annotations})
    };
    let wait = format!("echo >> /var/lib/trouble-runs; until [ -e {GO_ON} ]; do sleep 0.2; done");
    let mut config = json!({"apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "K0sWorkerConfig",
        "metadata": metadata(json!({})), "spec": {"preK0sCommands": [wait]}});
    suit_this_box(&mut config, day.version());
    let reference = |group: &str, kind: &str| json!({"apiGroup": group, "kind": kind, "name": name});
    let kubernetes = day.version().split('+').next().unwrap_or_default();
    vec![
        key(name, ssh_key),
        config,
        json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "RemoteMachine", "metadata": metadata(json!({})),
            "spec": {"address": fleet.machines[1].address, "user": "root", "sshKeyRef": {"name": key_name(name)}}}),
        // An unplugged node cannot be drained; how long Cluster API tries is not ours to test.
        json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
            "metadata": metadata(json!({"machine.cluster.x-k8s.io/exclude-node-draining": ""})),
            "spec": {"clusterName": cluster, "version": format!("{kubernetes}+k0s"),
                "bootstrap": {"configRef": reference("bootstrap.cluster.x-k8s.io", "K0sWorkerConfig")},
                "infrastructureRef": reference("infrastructure.cluster.x-k8s.io", "RemoteMachine")}}),
    ]
}

fn key_name(name: &str) -> String {
    format!("{name}-key")
}

fn key(name: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key_name(name), "namespace": "default"},
        "stringData": {"value": text}})
}

/// A private key that opens nothing.
fn another_key(folder: &Path) -> Result<String> {
    let file = folder.join("another");
    let _ = std::fs::remove_file(&file);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&file)
        .stdin(std::process::Stdio::null())
        .status()
        .context("cannot run ssh-keygen")?;
    ensure!(made.success(), "ssh-keygen failed");
    Ok(std::fs::read_to_string(file)?)
}
