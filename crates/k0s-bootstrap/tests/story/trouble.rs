//! The same story with failures in it.

use anyhow::{Context as _, Result};
use testbed::faults::{Fault, FaultHandle, Rule, client_with};

use crate::world::{World, text};

/// C-34: ten failing renders leave one token.
#[tokio::test]
async fn c34_a_secret_that_cannot_be_written_leaves_one_token_and_is_told() -> Result<()> {
    let world = World::new().await?;
    world.complete("default").await?;
    let faults = FaultHandle::new();
    faults.fail(Rule::every(Fault::Status(500)).verb("create").resource("secrets"));
    let client = client_with(world.management.admin()?.config().await?, &faults)?;
    let process = World::start(client, "default");
    crate::world::until(async || Ok((faults.count("create", "secrets") >= 3).then_some(()))).await?;
    assert_eq!(world.tokens().await?.len(), 1);
    faults.heal();
    world.reason("default", "DataSecretAvailable", "Available").await?;
    assert_eq!(world.tokens().await?.len(), 1);
    process.stop().await;
    Ok(())
}

/// A process that is killed after its n-th write leaves what the next one completes: one token, one Secret, the
/// same id in both, whatever n.
#[tokio::test]
async fn a_manager_killed_after_any_write_is_completed_by_the_next() -> Result<()> {
    let world = World::new().await?;
    for n in 0..6 {
        let namespace = format!("cut-{n}");
        world.complete(&namespace).await?;
        let faults = FaultHandle::new();
        faults.cut_after_write(n);
        let client = client_with(world.management.admin()?.config().await?, &faults)?;
        let doomed = World::start(client, &namespace);
        let cut = tokio::time::timeout(std::time::Duration::from_secs(10), faults.until_cut()).await;
        doomed.stop().await;
        let process = World::start(world.client.clone(), &namespace);
        world
            .reason(&namespace, "DataSecretAvailable", "Available")
            .await
            .with_context(|| format!("after write {n}"))?;
        let tokens = world.tokens().await?;
        let marker = format!("K0sWorkerConfig {namespace}/w1 ");
        let mine: Vec<_> =
            tokens.iter().filter(|token| text(token, "description").contains(&marker)).collect();
        assert_eq!(mine.len(), 1, "after write {n}");
        let data = world.get(&namespace, "Secret", "w1").await?.context("no data")?;
        let annotations = data.metadata.annotations.unwrap_or_default();
        assert_eq!(annotations["k0smotron.io/join-token-id"], text(mine[0], "token-id"));
        process.stop().await;
        if cut.is_err() {
            // The whole story has fewer writes than that: every one of them was cut.
            assert!(n > 1, "at least the Secret and the status are written");
            return Ok(());
        }
    }
    Ok(())
}

/// A child that is away is told, and waited for.
#[tokio::test]
async fn a_child_that_does_not_answer_is_told_and_waited_for() -> Result<()> {
    let mut world = World::new().await?;
    world.complete("default").await?;
    world.child.stop_apiserver();
    let process = World::start(world.client.clone(), "default");
    let why = world.reason("default", "DataSecretAvailable", "ChildUnreachable").await?;
    assert!(why.contains("cluster default/c1"), "{why}");
    world.child.start_apiserver().await?;
    world.reason("default", "DataSecretAvailable", "Available").await?;
    process.stop().await;
    Ok(())
}

/// K0S-21: no data for a worker that could not join.
#[tokio::test]
async fn k0s_21_a_worker_of_a_minor_that_is_not_served_gets_no_data_until_it_is() -> Result<()> {
    let world = World::new().await?;
    world.complete("default").await?;
    let newer = serde_json::json!({"spec": {"version": "v1.35.1+k0s.0"}});
    world.patch("default", "K0sWorkerConfig", "w1", newer).await?;
    let process = World::start(world.client.clone(), "default");
    let why = world.reason("default", "DataSecretAvailable", "WorkerMinorNotServed").await?;
    assert!(why.contains("default-1.35") && why.contains("default-1.34"), "{why}");
    assert!(world.tokens().await?.is_empty());
    let fixed = serde_json::json!({"spec": {"version": "v1.34.1+k0s.0"}});
    world.patch("default", "K0sWorkerConfig", "w1", fixed).await?;
    world.reason("default", "DataSecretAvailable", "Available").await?;
    process.stop().await;
    Ok(())
}

/// Contract 1.8: a paused Cluster holds its workers still, and says so on them; `move` relies on it.
#[tokio::test]
async fn a_paused_cluster_gets_nothing_until_it_is_resumed() -> Result<()> {
    let world = World::new().await?;
    world.complete("default").await?;
    world.patch("default", "Cluster", "c1", serde_json::json!({"spec": {"paused": true}})).await?;
    let process = World::start(world.client.clone(), "default");
    world.reason("default", "Paused", "Paused").await?;
    world.quiet().await?;
    assert!(world.tokens().await?.is_empty());
    world.patch("default", "Cluster", "c1", serde_json::json!({"spec": {"paused": false}})).await?;
    world.reason("default", "DataSecretAvailable", "Available").await?;
    process.stop().await;
    Ok(())
}

/// Remote-machine 9.4: a node that has another provider ID is never touched, and that is told on the Machine.
#[tokio::test]
async fn a_node_of_another_host_is_reported_on_its_machine_until_it_is_gone() -> Result<()> {
    let world = World::new().await?;
    world.complete("default").await?;
    let foreign = serde_json::json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "m1"}, "spec": {"providerID": "other://1"}});
    testbed::control_plane::apply(&world.child_client, &[foreign]).await?;
    let id = serde_json::json!({"spec": {"providerID": "remote-machine://10.0.0.1:22"}});
    world.patch("default", "Machine", "m1", id).await?;
    let process = World::start(world.client.clone(), "default");
    let told = async |status: &'static str| {
        crate::world::until(async || {
            let machine = world.get("default", "Machine", "m1").await?.context("no machine")?;
            let conditions = machine.data["status"]["conditions"].clone();
            let mut all = conditions.as_array().into_iter().flatten();
            Ok(all.any(|one| one["type"] == "NodeLinked" && one["status"] == status).then_some(()))
        })
        .await
    };
    told("False").await.context("the mismatch is told")?;
    assert_eq!(world.node("m1").await?.spec.and_then(|spec| spec.provider_id).as_deref(), Some("other://1"));
    world.reason("default", "DataSecretAvailable", "Available").await?;
    world.quiet().await?;
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(world.child_client.clone());
    nodes.delete("m1", &kube::api::DeleteParams::default()).await?;
    let fresh = serde_json::json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "m1"}});
    testbed::control_plane::apply(&world.child_client, &[fresh]).await?;
    told("True").await.context("and its end too")?;
    process.stop().await;
    Ok(())
}
