//! H-45, H-46: a worker that somebody joins by hand, with a JoinTokenRequest.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::Kubeconfig;
use serde_json::json;

use crate::storage::ON_A_CLAIM;
use crate::support::{Day, Fleet, REQUEST, SECRET, child, child_config, eventually};

const NAME: &str = "by-hand";
/// The host of the fleet that joins.
const HOST: usize = 1;

pub async fn a_worker_joins_by_hand_with_a_token(day: &Day, fleet: &Fleet) -> Result<()> {
    let request = json!({"apiVersion": "k0smotron.io/v1beta2", "kind": "JoinTokenRequest",
        "metadata": {"name": NAME, "namespace": "default"}, "spec": {"clusterName": ON_A_CLAIM, "expiry": "1h"}});
    day.apply(&[request]).await?;
    day.until_told(REQUEST, NAME, "JoinTokenSecretCreated", "Created", &[]).await?;
    let secret = day.get(SECRET, NAME).await?;
    let token = STANDARD.decode(secret["data"]["token"].as_str().context("no token")?)?;
    let token = String::from_utf8(token)?;
    let bearer = bearer(day, &token).await?;
    known(&bearer).await.context("the token of a new request")?;

    // As k0s' manual says it, with what hosts of the bed need.
    fleet.ssh(HOST, "umask 077; cat > /etc/k0s.token", &token).await?;
    let install = "k0s install worker --token-file /etc/k0s.token --ignore-pre-flight-checks --cri-socket=remote:unix:///run/containerd/containerd.sock";
    fleet.ssh(HOST, install, "").await?;
    fleet.ssh(HOST, "k0s start", "").await?;
    let nodes: Api<Node> = Api::all(child(day, ON_A_CLAIM).await?);
    let host = &fleet.machines[HOST].name;
    eventually("the host is a Ready node", || async {
        let node = nodes.get_opt(host).await?;
        let conditions = node.and_then(|node| node.status?.conditions).unwrap_or_default();
        Ok(conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    })
    .await?;
    day.say("a worker joined by hand, with the token of a JoinTokenRequest");

    let id = day.get(REQUEST, NAME).await?["status"]["tokenID"].as_str().context("no token id")?.to_owned();
    day.delete(REQUEST, NAME).await?;
    day.gone(SECRET, NAME).await?;
    let secrets: Api<Secret> = Api::namespaced(child(day, ON_A_CLAIM).await?, "kube-system");
    let left = secrets.list(&ListParams::default().fields("type=bootstrap.kubernetes.io/token")).await?;
    let left: Vec<_> = left.iter().filter_map(|secret| secret.metadata.name.as_ref()).collect();
    ensure!(!left.iter().any(|name| name.ends_with(&id)), "the token is left in the child: {left:?}");
    // The API server forgets a token when its watch has seen the deletion.
    eventually("a deleted request's token opens nothing", || async { Ok(known(&bearer).await.is_err()) })
        .await?;
    let ready = nodes.get(host).await?;
    ensure!(ready.metadata.deletion_timestamp.is_none(), "the node went with the token");
    day.say("the deleted request's token opens nothing any more, and the node stays");

    fleet.ssh(HOST, "k0s stop && k0s reset", "").await?;
    fleet.ssh(HOST, "rm -f /etc/k0s.token", "").await?;
    nodes.delete(host, &DeleteParams::default()).await?;
    day.say("the host was reset by hand");
    Ok(())
}

/// A client that has nothing but the token: base64 of gzip of a kubeconfig.
async fn bearer(day: &Day, token: &str) -> Result<Client> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run gzip")?;
    gzip.stdin.take().context("no input")?.write_all(&STANDARD.decode(token.trim())?)?;
    let out = gzip.wait_with_output()?;
    let kubeconfig = Kubeconfig::from_yaml(&String::from_utf8(out.stdout)?)?;
    Ok(Client::try_from(child_config(day, kubeconfig).await?)?)
}

/// Whether the API server knows who asks.
async fn known(client: &Client) -> Result<()> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    Ok(())
}
