//! From an empty config to a node, and on to silence.

use anyhow::{Context as _, Result};
use bootstrap_data::from_json;
use jiff::SignedDuration;
use k0s::JoinToken;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use testbed::control_plane::apply;

use crate::world::{World, expiration, ready_cluster, secret, text, until};

/// One worker, step by step: each wait is told, each step follows when what it waits for comes.
#[tokio::test]
async fn a_worker_gets_its_data_joins_is_linked_and_leaves_no_token_behind() -> Result<()> {
    let world = World::new().await?;
    let process = World::start(world.client.clone(), "default");
    let files =
        json!({"files": [{"path": "/etc/x", "contentFrom": {"secretRef": {"name": "extra", "key": "x"}}}]});
    world.worker("default", files).await?;
    world.reason("default", "DataSecretAvailable", "WaitingForCluster").await?;
    world.apply(&[world.cluster("default")?]).await?;
    world.reason("default", "DataSecretAvailable", "WaitingForInfrastructure").await?;
    world
        .status("default", "Cluster", "c1", json!({"initialization": {"infrastructureProvisioned": true}}))
        .await?;
    world.reason("default", "DataSecretAvailable", "WaitingForControlPlaneInitialization").await?;
    world.status("default", "Cluster", "c1", ready_cluster()).await?;
    world.reason("default", "DataSecretAvailable", "WaitingForAuthority").await?;
    world.apply(&[secret("default", "extra", "x", "{{ literal }}"), world.authority("default")?]).await?;
    let why = world.reason("default", "DataSecretAvailable", "ChildUnreachable").await?;
    assert_eq!(why, "Secret default/c1-kubeconfig does not exist yet");
    assert!(world.tokens().await?.is_empty(), "the token is the last thing that is made");
    world.apply(&[world.kubeconfig("default")?]).await?;
    world.reason("default", "DataSecretAvailable", "WaitingForWorkerConfiguration").await?;
    let configuration = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "worker-config-default-1.34", "namespace": "kube-system"},
    });
    apply(&world.child_client, &[configuration]).await?;
    world.reason("default", "DataSecretAvailable", "Available").await?;
    world.reason("default", "Ready", "Ready").await?;

    let config = world.get("default", "K0sWorkerConfig", "w1").await?.context("no config")?;
    let status = &config.data["status"];
    assert_eq!(
        (&status["dataSecretName"], &status["initialization"]["dataSecretCreated"]),
        (&json!("w1"), &json!(true))
    );
    let data = Api::<Secret>::namespaced(world.client.clone(), "default").get("w1").await?;
    assert_eq!(data.type_.as_deref(), Some("cluster.x-k8s.io/secret"));
    assert_eq!(text(&data, "format"), "cloud-config");
    let setup = from_json(text(&data, "setup").as_bytes())?;
    assert_eq!(setup.files[1].content.expose(), b"{{ literal }}");
    let join = JoinToken::decode(setup.files[0].content.expose())?;
    assert_eq!(join.server, world.child.url());
    let tokens = world.tokens().await?;
    assert_eq!(tokens.len(), 1);
    assert_eq!(who(&world, &join).await?, format!("system:bootstrap:{}", text(&tokens[0], "token-id")));
    let left = expiration(&tokens[0]).duration_since(reconcile::clock::now());
    assert!(left > SignedDuration::from_mins(55) && left <= SignedDuration::from_hours(1), "{left:?}");
    world.quiet().await.context("after the data")?;

    // The host joins; its infrastructure says who it is; core finds the node.
    apply(&world.child_client, &[json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "m1"}})])
        .await?;
    world
        .patch("default", "Machine", "m1", json!({"spec": {"providerID": "remote-machine://10.0.0.1:22"}}))
        .await?;
    let node = until(async || {
        Ok(Some(world.node("m1").await?)
            .filter(|node| node.spec.as_ref().is_some_and(|spec| spec.provider_id.is_some())))
    });
    let node = node.await.context("the node is linked")?;
    assert_eq!(node.spec.and_then(|spec| spec.provider_id).as_deref(), Some("remote-machine://10.0.0.1:22"));
    assert_eq!(node.metadata.labels.unwrap_or_default()["k0smotron.io/machine-name"], "m1");
    world.status("default", "Machine", "m1", json!({"nodeRef": {"name": "m1"}})).await?;
    until(async || Ok(world.tokens().await?.is_empty().then_some(())))
        .await
        .context("the token is removed")?;
    world.quiet().await.context("after the join")?;

    // C-10: a restart writes nothing; a changed spec changes nothing (contract 4.2).
    process.stop().await;
    let before = versions(&world).await?;
    let process = World::start(world.client.clone(), "default");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(versions(&world).await?, before);
    world.patch("default", "K0sWorkerConfig", "w1", json!({"spec": {"args": ["--debug"]}})).await?;
    world.quiet().await.context("after a change of the spec")?;
    assert_eq!(
        text(&Api::<Secret>::namespaced(world.client.clone(), "default").get("w1").await?, "setup"),
        text(&data, "setup")
    );
    process.stop().await;
    Ok(())
}

/// C-34: a token is extended in place while the machine has not joined, also after the child has removed it, and
/// goes with its config.
#[tokio::test]
async fn c34_a_token_lives_as_long_as_its_machine_may_need_it() -> Result<()> {
    let world = World::new().await?;
    world.complete("default").await?;
    let process = World::start(world.client.clone(), "default");
    world.reason("default", "DataSecretAvailable", "Available").await?;
    let first = world.tokens().await?.pop().context("no token")?;

    // Thirty hours later: the child has cleaned the token up.
    let api: Api<Secret> = Api::namespaced(world.child_client.clone(), "kube-system");
    api.delete(first.metadata.name.as_deref().unwrap_or_default(), &kube::api::DeleteParams::default())
        .await?;
    let passed =
        json!({"metadata": {"annotations": {"k0smotron.io/join-token-expires": "2026-01-01T00:00:00Z"}}});
    world.patch("default", "Secret", "w1", passed).await?;
    let again =
        until(async || Ok(world.tokens().await?.pop())).await.context("the token is created again")?;
    assert_eq!(
        (text(&again, "token-id"), text(&again, "token-secret")),
        (text(&first, "token-id"), text(&first, "token-secret"))
    );
    assert!(expiration(&again) > reconcile::clock::now());
    world.quiet().await.context("after the extension")?;

    world.api("default", "K0sWorkerConfig").delete("w1", &kube::api::DeleteParams::default()).await?;
    until(async || Ok(world.tokens().await?.is_empty().then_some(())))
        .await
        .context("the token goes with its config")?;
    process.stop().await;
    Ok(())
}

async fn versions(world: &World) -> Result<Vec<Option<String>>> {
    let mut versions = Vec::new();
    for (kind, name) in [("K0sWorkerConfig", "w1"), ("Secret", "w1"), ("Machine", "m1"), ("Cluster", "c1")] {
        versions.push(
            world.get("default", kind, name).await?.and_then(|object| object.metadata.resource_version),
        );
    }
    versions.push(world.node("m1").await?.metadata.resource_version);
    Ok(versions)
}

/// Whom the child takes the bearer of a join token for.
async fn who(world: &World, join: &JoinToken) -> Result<String> {
    let mut config = world.child.admin()?.config().await?;
    let bearer = join.token.bearer().expose_str().unwrap_or_default().to_owned();
    config.auth_info =
        kube::config::AuthInfo { token: Some(bearer.into()), ..kube::config::AuthInfo::default() };
    let client = kube::Client::try_from(config)?;
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&body)?)?;
    let answer: Value = client.request(request).await?;
    Ok(answer["status"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned())
}
