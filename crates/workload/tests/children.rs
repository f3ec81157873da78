//! Children on real API servers: the management cluster and its children are each a `ControlPlaneOnly`.

#![allow(clippy::unwrap_used)] // clippy allows it in test functions only; these helpers are theirs

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reconcile::{Context, Key, Metrics, SHUTDOWN_GRACE, Scope};
use serde_json::{Value, json};
use testbed::ControlPlaneOnly;
use testbed::control_plane::ControlPlaneOptions;
use tokio::sync::mpsc;
use workload::{Children, Reach, Way};

async fn context(plane: &ControlPlaneOnly) -> Result<Context> {
    let stop = tokio_util::sync::CancellationToken::new();
    Ok(Context::new(plane.client().await?, Scope::default(), Metrics::default(), stop, SHUTDOWN_GRACE))
}

fn kubeconfig_secret(cluster: &str, kubeconfig: &str) -> Secret {
    let value = json!({
        "metadata": {"name": format!("{cluster}-kubeconfig"), "labels": {"cluster.x-k8s.io/cluster-name": cluster}},
        "stringData": {"value": kubeconfig},
    });
    serde_json::from_value(value).unwrap()
}

fn node(name: &str) -> Node {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn names(nodes: &Reach<workload::Nodes>) -> Vec<String> {
    nodes.yes().map(|nodes| nodes.iter().map(|node| node.name.clone()).collect()).unwrap_or_default()
}

async fn woken(wakes: &mut mpsc::UnboundedReceiver<Key>) -> Result<Key> {
    tokio::time::timeout(Duration::from_secs(20), wakes.recv()).await?.context("the queue ended")
}

#[tokio::test]
async fn a_child_is_found_by_its_kubeconfig_asked_and_its_nodes_are_followed_while_somebody_waits()
-> Result<()> {
    let (management, child_plane) = tokio::try_join!(ControlPlaneOnly::start(), ControlPlaneOnly::start())?;
    let context = context(&management).await?;
    let children = Children::new(&context, false);
    let cluster = Key::new("default", "one");

    let missing = children.of(&cluster, false).await?;
    assert_eq!(missing.why_not(), Some("Secret default/one-kubeconfig does not exist yet"));

    let secrets: Api<Secret> = Api::namespaced(management.client().await?, "default");
    secrets
        .create(&PostParams::default(), &kubeconfig_secret("one", &child_plane.admin()?.kubeconfig()))
        .await?;
    let child = children.of(&cluster, false).await?.required()?;
    assert_eq!(child.uid().await.required()?.len(), 36, "kube-system has a uid");

    let nodes: Api<Node> = Api::all(child_plane.client().await?);
    let (wake, mut wakes) = mpsc::unbounded_channel();
    let who = Key::new("default", "m1");
    assert!(children.follow_nodes(&child, &who, &wake).why_not().is_some(), "nothing is known yet");
    assert_eq!(woken(&mut wakes).await?, who);
    assert!(names(&children.follow_nodes(&child, &who, &wake)).is_empty());

    nodes.create(&PostParams::default(), &node("n1")).await?;
    assert_eq!(woken(&mut wakes).await?, who);
    let seen = children.follow_nodes(&child, &who, &wake);
    assert_eq!(names(&seen), ["n1"]);

    let fact = seen.required()?[0].clone();
    child
        .link_node(&fact, Some("remote-machine://h:22"), &[("k0smotron.io/machine-name", "m1")])
        .await
        .required()?;
    assert_eq!(woken(&mut wakes).await?, who);
    let linked = children.follow_nodes(&child, &who, &wake).required()?[0].clone();
    assert_eq!(linked.provider_id.as_deref(), Some("remote-machine://h:22"));
    assert_eq!(linked.labels["k0smotron.io/machine-name"], "m1");
    assert_eq!(child.nodes().await.required()?, std::slice::from_ref(&linked));

    // A heartbeat changes no fact and wakes nobody.
    let beat = json!({"status": {"conditions": [{"type": "MemoryPressure", "status": "False"}]}});
    nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(beat)).await?;
    children.leave_nodes(&cluster, &who, &wake);
    nodes.delete("n1", &DeleteParams::default()).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(wakes.try_recv().is_err(), "who left is not woken");
    context.stop().cancel();
    Ok(())
}

#[tokio::test]
async fn a_child_that_does_not_answer_is_an_observation_and_wakes_when_it_returns() -> Result<()> {
    let (management, mut child_plane) =
        tokio::try_join!(ControlPlaneOnly::start(), ControlPlaneOnly::start())?;
    let context = context(&management).await?;
    let children = Children::new(&context, false);
    let cluster = Key::new("default", "one");
    let kubeconfig = child_plane.admin()?.kubeconfig();
    child_plane.stop_apiserver();

    let child = children.open_with(&cluster, kubeconfig.as_bytes(), Way::AsWritten).await.required()?;
    let no = child.uid().await;
    let why = no.why_not().context("nobody answers there")?;
    assert!(why.contains("kube-system of cluster default/one"), "{why}");
    let again = std::time::Instant::now();
    assert_eq!(child.uid().await, no, "the same words");
    assert!(again.elapsed() < Duration::from_millis(50), "and no second attempt within the pause");

    let (wake, mut wakes) = mpsc::unbounded_channel();
    let who = Key::new("default", "m1");
    children.follow_nodes(&child, &who, &wake);
    woken(&mut wakes).await?;
    let why = children.follow_nodes(&child, &who, &wake);
    assert!(why.why_not().is_some_and(|why| why.contains("cannot watch the nodes")), "{why:?}");
    child_plane.start_apiserver().await?;
    woken(&mut wakes).await?;
    assert!(children.follow_nodes(&child, &who, &wake).yes().is_some());
    context.stop().cancel();
    Ok(())
}

/// H-62: passes are few at a time, and each would wait.
#[tokio::test]
async fn h62_a_child_that_hangs_is_waited_for_once_and_then_asked_in_the_background() -> Result<()> {
    let (management, plane) = tokio::try_join!(ControlPlaneOnly::start(), ControlPlaneOnly::start())?;
    let context = context(&management).await?;
    let children = Children::new(&context, false);
    let key = Key::new("default", "one");
    let kubeconfig = plane.admin()?.kubeconfig();
    let child = children.open_with(&key, kubeconfig.as_bytes(), Way::AsWritten).await.required()?;
    // etcd is the first; what the API server is asked from now on stays without an answer.
    let apiserver = Pid::from_raw(plane.pids()[1]);
    kill(apiserver, Signal::SIGSTOP)?;

    let no = child.uid().await;
    assert!(no.why_not().is_some_and(|why| why.contains("no answer within 2 s")), "{no:?}");
    // Longer than it is left alone.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let again = std::time::Instant::now();
    assert_eq!(child.uid().await, no, "nothing new is known");
    assert!(again.elapsed() < Duration::from_secs(1), "and nobody waits for that");

    kill(apiserver, Signal::SIGCONT)?;
    let answered = async {
        while child.uid().await.yes().is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered).await.context("it answers again")?;
    context.stop().cancel();
    Ok(())
}

/// H-62: each child sees only its own certificate.
#[tokio::test]
async fn h62_two_children_never_share_a_client() -> Result<()> {
    let (one, two) = tokio::try_join!(ControlPlaneOnly::start(), ControlPlaneOnly::start())?;
    let context = context(&one).await?;
    let children = Children::new(&context, false);
    let open = async |name: &str, plane: &ControlPlaneOnly| -> Result<String> {
        let kubeconfig = plane.admin()?.kubeconfig();
        let key = Key::new("default", name);
        let child = children.open_with(&key, kubeconfig.as_bytes(), Way::AsWritten).await.required()?;
        child.uid().await.required()
    };
    assert_ne!(open("one", &one).await?, open("two", &two).await?);
    // The same cluster with another kubeconfig is another connection, never the old one.
    assert_eq!(open("one", &two).await?, open("two", &two).await?);
    context.stop().cancel();
    Ok(())
}

#[tokio::test]
async fn a_bootstrap_token_is_made_once_extended_and_removed_and_really_authenticates() -> Result<()> {
    let options = ControlPlaneOptions {
        apiserver_args: vec!["--enable-bootstrap-token-auth=true".to_owned()],
        ..ControlPlaneOptions::default()
    };
    let plane = ControlPlaneOnly::start_with(options).await?;
    let context = context(&plane).await?;
    let children = Children::new(&context, false);
    let key = Key::new("default", "one");
    let child =
        children.open_with(&key, plane.admin()?.kubeconfig().as_bytes(), Way::AsWritten).await.required()?;

    let token = k0s::BootstrapToken::new("abcdef", "0123456789abcdef")?;
    let until = reconcile::clock::now() + jiff::SignedDuration::from_hours(1);
    let secret = k0s::bootstrap_secret(&token, k0s::Role::Worker, "of a test", Some(until));
    let secret: Secret = serde_json::from_value(secret)?;
    assert_eq!(child.create_token(&secret).await.required()?, workload::Made::New);
    assert_eq!(child.create_token(&secret).await.required()?, workload::Made::Present);
    assert_eq!(who_am_i(&plane).await?, "system:bootstrap:abcdef");

    let later = until + jiff::SignedDuration::from_hours(1);
    assert!(child.extend_token("abcdef", later).await.required()?);
    let read = child.token("abcdef").await.required()?.context("it is there")?;
    assert_eq!(read.expiration.map(jiff::Timestamp::as_second), Some(later.as_second()));
    assert_eq!(read.secret, "0123456789abcdef");
    assert!(child.delete_token("abcdef").await.required()?);
    assert!(!child.delete_token("abcdef").await.required()?, "it was gone already");
    assert!(!child.extend_token("abcdef", later).await.required()?);
    assert_eq!(child.token("abcdef").await.required()?, None);
    context.stop().cancel();
    Ok(())
}

async fn who_am_i(plane: &ControlPlaneOnly) -> Result<String> {
    let mut config = plane.admin()?.config().await?;
    config.auth_info = kube::config::AuthInfo {
        token: Some("abcdef.0123456789abcdef".to_owned().into()),
        ..kube::config::AuthInfo::default()
    };
    let client = kube::Client::try_from(config)?;
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&body)?)?;
    let answer: Value = client.request(request).await?;
    Ok(answer["status"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned())
}

/// H-22: a hosted control plane is reached by its Service when this process runs in the management cluster.
#[tokio::test]
async fn h22_the_way_to_a_hosted_control_plane_is_its_service() -> Result<()> {
    let plane = ControlPlaneOnly::start().await?;
    let context = context(&plane).await?;
    let labels = json!({
        "app": "k0smotron", "cluster": "one", "component": "cluster", "app.kubernetes.io/component": "control-plane",
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kmc-one-nodeport", "namespace": "default", "labels": labels},
        "spec": {"ports": [{"name": "konnectivity", "port": 30132}, {"name": "api", "port": 30443}]},
    });
    let kubeconfig = kubeconfig_secret("one", &plane.admin()?.kubeconfig());
    let secrets: Api<Secret> = Api::namespaced(plane.client().await?, "default");
    secrets.create(&PostParams::default(), &kubeconfig).await?;
    testbed::control_plane::apply(&plane.client().await?, &[service]).await?;
    let one = Key::new("default", "one");
    let outside = Children::new(&context, false).of(&one, true).await?.required()?;
    assert!(outside.uid().await.yes().is_some(), "outside the kubeconfig leads there");
    let inside = Children::new(&context, true);
    let foreign = inside.of(&one, false).await?.required()?;
    assert!(foreign.uid().await.yes().is_some(), "so it does for what is not hosted here");
    let hosted = Children::new(&context, true).of(&one, true).await?.required()?;
    let why = hosted.uid().await;
    // There is no DNS for Services here, which shows that the name was looked up.
    assert!(why.why_not().is_some_and(|why| why.contains("dns")), "{why:?}");
    context.stop().cancel();
    Ok(())
}
