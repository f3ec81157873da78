//! RemoteMachines on a real API server and real hosts: from the first apply to quiet, and back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test ends at the first surprise, and passes what it makes"
)]

mod support;

use std::time::{Duration, Instant};

use api::remote_cluster::RemoteCluster;
use api::remote_machine::RemoteMachine;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use reconcile::{Context, Metrics, Scope};
use serde_json::{Value, json};
use support::Host;
use support::cable::Cable;
use testbed::ControlPlaneOnly;
use testbed::faults::FaultHandle;
use tokio_util::sync::CancellationToken;

const MANAGER: &str = "k0smotron-manager";
const NS: &str = "story";
const SENTINEL: &str = "mkdir -p /run/cluster-api && touch /run/cluster-api/bootstrap-success.complete";

/// One life of the process.
struct Process {
    stop: CancellationToken,
    context: Context,
}

impl Process {
    fn start(client: Client) -> Self {
        let stop = CancellationToken::new();
        let context =
            Context::new(client, Scope::default(), Metrics::new(), stop.clone(), Duration::from_secs(3));
        context.watch_clusters();
        context.spawn(remote_machine::machine::run(
            context.clone(),
            remote_machine::machine::Options::default(),
        ));
        context.spawn(remote_machine::cluster::run(
            context.clone(),
            remote_machine::cluster::Options::default(),
        ));
        Self { stop, context }
    }

    async fn end(self) {
        self.stop.cancel();
        self.context.ended().await;
    }
}

struct World {
    bed: ControlPlaneOnly,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let bed = ControlPlaneOnly::start().await.unwrap();
        bed.apply_crds(&testbed::cluster_api::crds().unwrap()).await.unwrap();
        let crds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
        bed.apply_crds_dir(&crds).await.unwrap();
        let client = bed.client().await.unwrap();
        let world = Self { bed, client };
        let namespace = Namespace {
            metadata: kube::core::ObjectMeta { name: Some(NS.into()), ..Default::default() },
            ..Default::default()
        };
        Api::<Namespace>::all(world.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        world.apply(json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "c", "namespace": NS},
            "spec": {
                "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "RemoteCluster", "name": "c"},
                "controlPlaneRef": {"apiGroup": "controlplane.cluster.x-k8s.io", "kind": "K0smotronControlPlane", "name": "c"},
            },
        })).await;
        world.infrastructure(true).await;
        world
    }

    async fn infrastructure(&self, provisioned: bool) {
        let api: Api<cluster_api::Cluster> = Api::namespaced(self.client.clone(), NS);
        let status = json!({"status": {"initialization": {"infrastructureProvisioned": provisioned}}});
        api.patch_status("c", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    async fn manager(&self) -> Client {
        self.bed.client_as(MANAGER, &["system:masters"]).await.unwrap()
    }

    async fn apply(&self, object: Value) {
        testbed::control_plane::apply(&self.client, &[object]).await.unwrap();
    }

    async fn secret(&self, name: &str, key: &str, value: &str) {
        self.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NS}, "stringData": {key: value}})).await;
    }

    /// Machine, data, key and RemoteMachine, as core and a bootstrap provider would leave them.
    async fn machine(&self, name: &str, host: &Host, port: u16, steps: &[&str], spec: Value) {
        let steps: Vec<String> =
            steps.iter().map(|step| format!("- {}\n", serde_json::to_string(step).unwrap())).collect();
        let token = "write_files:\n- path: /etc/k0s.token\n  content: super-secret-join-token\n  permissions: '0600'\n";
        self.secret(
            &format!("{name}-data"),
            "value",
            &format!("#cloud-config\n{token}runcmd:\n{}", steps.concat()),
        )
        .await;
        self.secret(&format!("{name}-key"), "value", &host.key()).await;
        self.apply(json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
            "metadata": {"name": name, "namespace": NS, "labels": {"cluster.x-k8s.io/cluster-name": "c"}},
            "spec": {
                "clusterName": "c",
                "bootstrap": {
                    "configRef": {"apiGroup": "bootstrap.cluster.x-k8s.io", "kind": "K0sWorkerConfig", "name": name},
                    "dataSecretName": format!("{name}-data"),
                },
                "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "RemoteMachine", "name": name},
            },
        })).await;
        let machine: Api<cluster_api::Machine> = Api::namespaced(self.client.clone(), NS);
        let uid = machine.get(name).await.unwrap().uid();
        let mut whole =
            json!({"address": "127.0.0.1", "port": port, "sshKeyRef": {"name": format!("{name}-key")}});
        for (field, value) in spec.as_object().unwrap() {
            whole[field] = value.clone();
        }
        self.apply(json!({
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "RemoteMachine",
            "metadata": {"name": name, "namespace": NS, "labels": {"cluster.x-k8s.io/cluster-name": "c", "rack": "r1"}, "ownerReferences": [
                {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": name, "uid": uid, "controller": true}]},
            "spec": whole,
        })).await;
    }

    fn remotes(&self) -> Api<RemoteMachine> {
        Api::namespaced(self.client.clone(), NS)
    }

    /// Status and reason of a condition, with its message.
    async fn condition(&self, name: &str, type_: &str) -> Option<(String, String, String)> {
        let remote = self.remotes().get_opt(name).await.unwrap()?;
        let condition = remote.status?.conditions.into_iter().find(|condition| condition.type_ == type_)?;
        Some((condition.status, condition.reason, condition.message))
    }

    async fn wait_for(&self, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let seen = self.condition(name, type_).await;
            if let Some((is, why, message)) = &seen
                && (is.as_str(), why.as_str()) == (status, reason)
            {
                return message.clone();
            }
            assert!(Instant::now() < end, "waited for {type_}={status}/{reason} of {name}, it is {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ready(&self, name: &str) {
        self.wait_for(name, "Ready", "True", "InfoReported").await;
    }

    async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.remotes().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    async fn delete(&self, name: &str) {
        self.remotes().delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn gone(&self, name: &str) {
        let end = Instant::now() + Duration::from_mins(1);
        while self.remotes().get_opt(name).await.unwrap().is_some() {
            assert!(
                Instant::now() < end,
                "{name} is still there: {:?}",
                self.condition(name, "Deleting").await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Requests of the manager from now on that are neither watches nor its lists at start.
    async fn noise(&self, during: Duration) -> Vec<String> {
        let before = self.bed.audit().unwrap().len();
        tokio::time::sleep(during).await;
        let all = self.bed.audit().unwrap();
        all[before..]
            .iter()
            .filter(|entry| entry.user == MANAGER && entry.verb != "watch" && entry.verb != "list")
            .map(|entry| format!("{} {} {}", entry.verb, entry.resource, entry.name))
            .collect()
    }

    async fn events(&self) -> String {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.client.clone(), NS);
        let events = api.list(&ListParams::default()).await.unwrap();
        let lines = events.items.into_iter().map(|event| {
            format!("{} {}\n", event.reason.unwrap_or_default(), event.note.unwrap_or_default())
        });
        lines.collect()
    }
}

fn join() -> Vec<&'static str> {
    vec![
        "/usr/local/bin/k0s install worker --token-file /etc/k0s.token",
        "/usr/local/bin/k0s start",
        SENTINEL,
    ]
}

#[tokio::test]
async fn a_host_becomes_a_machine_quietly_and_is_given_back_to_a_second_one() {
    let (world, host) = (World::new().await, Host::start());
    host.add_k0s();
    let before = host.sh("find /etc /run /var/lib -not -path '/run/sshd*' | sort");
    let process = Process::start(world.manager().await);
    world.machine("m1", &host, host.port, &join(), json!({})).await;
    world.ready("m1").await;
    let remote = world.remotes().get("m1").await.unwrap();
    let status = remote.status.clone().unwrap();
    assert_eq!(
        remote.spec.provider_id.as_deref(),
        Some(&*format!("remote-machine://127.0.0.1:{}", host.port))
    );
    assert_eq!(status.initialization.unwrap().provisioned, Some(true));
    let first = serde_json::to_value(&status.addresses[0]).unwrap();
    assert_eq!(first, json!({"type": "ExternalIP", "address": "127.0.0.1"}), "R-25");
    assert_eq!(status.node_info.unwrap().operating_system.as_deref(), Some("linux"));
    assert!(status.host_key_fingerprints[0].starts_with("SHA256:"));
    assert_eq!(status.run.unwrap().phase.as_deref(), Some("Done"));
    let machine: Api<cluster_api::Machine> = Api::namespaced(world.client.clone(), NS);
    assert_eq!(machine.get("m1").await.unwrap().labels().get("rack").map(String::as_str), Some("r1"), "R-21");

    // Quiet, and a restart writes nothing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.noise(Duration::from_secs(3)).await, Vec::<String>::new(), "R-15");
    process.end().await;
    let before_restart = world.bed.audit().unwrap().len();
    let process = Process::start(world.manager().await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let writes: Vec<_> = world.bed.audit().unwrap()[before_restart..]
        .iter()
        .filter(|e| e.user == MANAGER && e.is_write())
        .map(|e| e.uri.clone())
        .collect();
    assert_eq!(writes, Vec::<String>::new());

    world.delete("m1").await;
    world.gone("m1").await;
    assert_eq!(host.sh("find /etc /run /var/lib -not -path '/run/sshd*' | sort"), before, "R-13");
    world.machine("m2", &host, host.port, &join(), json!({})).await;
    world.ready("m2").await;
    assert_eq!(host.sh("cat /var/lib/k0s/installs"), "installed\n");
    let events = world.events().await;
    for reason in ["HostKeyLearned", "RunStarted", "Provisioned", "CleanUpStarted", "Released"] {
        assert!(events.contains(reason), "{reason} is not among\n{events}");
    }
    assert!(!events.contains("super-secret"), "R-6");
    process.end().await;
}

#[tokio::test]
async fn r12_causes_are_named_and_the_machine_recovers_when_they_are_gone() {
    let (world, host, other) = (World::new().await, Host::start(), Host::start());
    world.infrastructure(false).await;
    let process = Process::start(world.manager().await);
    world
        .machine(
            "m",
            &host,
            host.port,
            &["[ -e /var/tmp/go ] || { echo not yet; exit 3; }", SENTINEL],
            json!({}),
        )
        .await;
    world.wait_for("m", "BootstrapExecSucceeded", "False", "WaitingForInfrastructure").await;
    let keys = Api::<Secret>::namespaced(world.client.clone(), NS);
    keys.delete("m-key", &DeleteParams::default()).await.unwrap();
    world.infrastructure(true).await;
    let message = world.wait_for("m", "BootstrapExecSucceeded", "False", "SSHKeyMissing").await;
    assert!(message.contains("m-key"), "{message}");
    world.secret("m-key", "value", "no key").await;
    world.annotate("m", "look", "1").await;
    world.wait_for("m", "BootstrapExecSucceeded", "False", "SSHKeyInvalid").await;
    world.secret("m-key", "value", &other.key()).await;
    world.annotate("m", "look", "2").await;
    let message = world.wait_for("m", "BootstrapExecSucceeded", "False", "AuthFailed").await;
    assert!(message.contains("authorized_keys"), "{message}");
    world.secret("m-key", "value", &host.key()).await;
    world.annotate("m", "look", "3").await;
    let message = world.wait_for("m", "BootstrapExecSucceeded", "False", "CommandFailed").await;
    assert!(
        message.contains("command 1 of 2 ended with exit code 3") && message.contains("not yet"),
        "{message}"
    );
    host.sh("touch /var/tmp/go");
    world.annotate("m", "k0smotron.io/retry-provision", "true").await;
    world.ready("m").await;
    let remote = world.remotes().get("m").await.unwrap();
    assert!(!remote.annotations().contains_key("k0smotron.io/retry-provision"));
    assert!(remote.status.unwrap().deprecated.is_none());
    let events = world.events().await;
    for reason in ["SSHKeyMissing", "AuthFailed", "CommandFailed"] {
        assert!(events.contains(reason), "{reason} is not among\n{events}");
    }
    process.end().await;
}

#[tokio::test]
async fn r1_a_changed_host_key_stops_until_it_is_accepted() {
    let (world, host) = (World::new().await, Host::start());
    let process = Process::start(world.manager().await);
    world.machine("m", &host, host.port, &["exit 1", SENTINEL], json!({})).await;
    world.wait_for("m", "BootstrapExecSucceeded", "False", "CommandFailed").await;
    host.change_host_key();
    world.annotate("m", "k0smotron.io/retry-provision", "true").await;
    let message = world.wait_for("m", "BootstrapExecSucceeded", "False", "HostKeyMismatch").await;
    assert_eq!(message.matches("SHA256:").count(), 2, "{message}");
    assert!(message.contains("accept-new-host-key"), "{message}");
    // Deletion is not blocked by silence: it says why, and the same annotation helps.
    world.delete("m").await;
    let message = world.wait_for("m", "Deleting", "True", "CleanUpFailed").await;
    assert!(message.contains("HostKeyMismatch") && message.contains("skip-clean-up"), "{message}");
    world.annotate("m", "k0smotron.io/accept-new-host-key", "true").await;
    world.gone("m").await;
    assert!(!host.test("[ -e /etc/k0smotron ] || [ -e /etc/k0s.token ]"));
    process.end().await;
}

#[tokio::test]
async fn r5_deletion_always_ends_or_says_why() {
    let (world, host) = (World::new().await, Host::start());
    let cable = Cable::to(host.port).await;
    let process = Process::start(world.manager().await);

    // Nothing was ever sent: no contact.
    world.infrastructure(false).await;
    world.machine("early", &host, cable.port, &[SENTINEL], json!({})).await;
    world.wait_for("early", "BootstrapExecSucceeded", "False", "WaitingForInfrastructure").await;
    world.delete("early").await;
    world.gone("early").await;
    assert_eq!(cable.sent(), 0);
    world.infrastructure(true).await;

    // In the middle of the run; Machine, data and Cluster go first.
    world.machine("middle", &host, cable.port, &["sleep 1000", SENTINEL], json!({})).await;
    support::until("the run", || host.test("pgrep -f 'sleep [1]000' > /dev/null")).await;
    let machines: Api<cluster_api::Machine> = Api::namespaced(world.client.clone(), NS);
    machines.delete("middle", &DeleteParams::default()).await.unwrap();
    Api::<Secret>::namespaced(world.client.clone(), NS)
        .delete("middle-data", &DeleteParams::default())
        .await
        .unwrap();
    let started = Instant::now();
    world.delete("middle").await;
    world.gone("middle").await;
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(!host.test("pgrep -f 'sleep [1]000' > /dev/null || [ -e /etc/k0smotron ]"));

    // The host is down: said, tried again, and let go when the user says so; at once when the policy does.
    for (name, spec) in [
        ("down", json!({})),
        ("skipped", json!({"cleanUpPolicy": "Skip"})),
        ("none", json!({"cleanUpCommands": []})),
    ] {
        world.machine(name, &host, cable.port, &[SENTINEL], spec).await;
        world.ready(name).await;
        cable.unplug();
        world.delete(name).await;
        if name == "down" {
            let message = world.wait_for(name, "Deleting", "True", "CleanUpFailed").await;
            assert!(message.contains("ConnectFailed"), "{message}");
            world.annotate(name, "k0smotron.io/skip-clean-up", "true").await;
        }
        world.gone(name).await;
        cable.plug();
        host.sh("rm -rf /etc/k0smotron /etc/k0s.token /run/cluster-api");
    }
    assert!(world.events().await.contains("HostNotCleaned"));
    process.end().await;
}

#[tokio::test]
async fn k8_r26_orphans_are_not_written_and_a_remote_cluster_is_provisioned_at_once() {
    let world = World::new().await;
    let process = Process::start(world.manager().await);
    let kind = "infrastructure.cluster.x-k8s.io/v1beta2";
    world.apply(json!({"apiVersion": kind, "kind": "RemoteMachine", "metadata": {"name": "orphan", "namespace": NS}, "spec": {"address": "127.0.0.1"}})).await;
    world.apply(json!({"apiVersion": kind, "kind": "RemoteCluster", "metadata": {"name": "orphan", "namespace": NS}, "spec": {}})).await;
    assert_eq!(world.noise(Duration::from_secs(2)).await, Vec::<String>::new());
    let clusters: Api<cluster_api::Cluster> = Api::namespaced(world.client.clone(), NS);
    let uid = clusters.get("c").await.unwrap().uid();
    world.apply(json!({"apiVersion": kind, "kind": "RemoteCluster", "metadata": {"name": "c", "namespace": NS, "ownerReferences": [
        {"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "name": "c", "uid": uid}]}, "spec": {}})).await;
    let remotes: Api<RemoteCluster> = Api::namespaced(world.client.clone(), NS);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let status = remotes.get("c").await.unwrap().status;
        if status.and_then(|status| status.initialization?.provisioned) == Some(true) {
            break;
        }
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.end().await;
}

#[tokio::test]
async fn r2_a_manager_cut_after_any_write_ends_in_the_same_place() {
    let (world, host) = (World::new().await, Host::start());
    host.add_k0s();
    for n in 1.. {
        let name = format!("m{n}");
        let faults = FaultHandle::new();
        faults.cut_after_write(n);
        let cut = world.bed.faulty_client(MANAGER, &["system:masters"], &faults).await.unwrap();
        let process = Process::start(cut);
        world.machine(&name, &host, host.port, &join(), json!({})).await;
        let end = Instant::now() + Duration::from_secs(30);
        while !faults.is_cut()
            && Instant::now() < end
            && world.condition(&name, "Ready").await.is_none_or(|(is, ..)| is != "True")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let whole = !faults.is_cut();
        process.end().await;
        let process = Process::start(world.manager().await);
        world.ready(&name).await;
        assert_eq!(host.sh("cat /var/lib/k0s/installs"), "installed\n", "cut after write {n}");
        world.delete(&name).await;
        world.gone(&name).await;
        assert!(!host.test("[ -e /etc/k0smotron ] || [ -e /var/lib/k0s ]"));
        process.end().await;
        if whole {
            assert!(n > 4, "the story has more writes than {n}");
            return;
        }
    }
}
