//! Join tokens on real API servers: the management cluster and the child are each a `ControlPlaneOnly`.

#![allow(clippy::unwrap_used)] // clippy allows it in test functions only; these helpers are theirs

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k0s::JoinToken;
use k0smotron_control_plane::join_token_request::{self, Options};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use reconcile::{Context, Metrics, SHUTDOWN_GRACE, Scope};
use serde_json::{Value, json};
use testbed::ControlPlaneOnly;
use testbed::control_plane::{ControlPlaneOptions, apply};
use testbed::faults::{FaultHandle, client_with};
use tokio_util::sync::CancellationToken;
use workload::Children;

/// Longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct World {
    management: ControlPlaneOnly,
    child: ControlPlaneOnly,
    client: Client,
    child_client: Client,
}

impl World {
    async fn new() -> Result<Self> {
        let bootstrap_tokens = ControlPlaneOptions {
            apiserver_args: vec!["--enable-bootstrap-token-auth=true".to_owned()],
            ..ControlPlaneOptions::default()
        };
        let both = (ControlPlaneOnly::start(), ControlPlaneOnly::start_with(bootstrap_tokens));
        let (management, child) = tokio::try_join!(both.0, both.1)?;
        management.apply_crds_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")).await?;
        let (client, child_client) = (management.client().await?, child.client().await?);
        Ok(Self { management, child, client, child_client })
    }

    /// A hosted control plane that is there already: the child, and what its controller would have written.
    async fn cluster(&self, namespace: &str) -> Result<()> {
        let labels = json!({"cluster.x-k8s.io/cluster-name": "c1"});
        let secret = |name: &str, key: &str, text: &str| {
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace, "labels": labels}, "stringData": {key: text},
            })
        };
        let admin = self.child.admin()?;
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            secret("c1-kubeconfig", "value", &admin.kubeconfig()),
            secret("c1-ca", "tls.crt", &admin.authority),
            json!({
                "apiVersion": "k0smotron.io/v1beta2", "kind": "Cluster",
                "metadata": {"name": "c1", "namespace": namespace}, "spec": {"version": "v1.34.1+k0s.0"},
            }),
        ];
        apply(&self.client, &objects).await?;
        let port: u16 = self.child.url().rsplit(':').next().context("no port")?.parse()?;
        self.endpoint(namespace, "127.0.0.1", port).await
    }

    async fn endpoint(&self, namespace: &str, host: &str, port: u16) -> Result<()> {
        let api: Api<api::HostedCluster> = Api::namespaced(self.client.clone(), namespace);
        let status = json!({"status": {"endpoint": {"host": host, "port": port}}});
        api.patch_status("c1", &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    async fn request(&self, namespace: &str, name: &str, spec: Value) -> Result<()> {
        let object = json!({
            "apiVersion": "k0smotron.io/v1beta2", "kind": "JoinTokenRequest",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        });
        apply(&self.client, &[object]).await
    }

    #[allow(clippy::unused_self, reason = "reads as the other acts of a world do")]
    fn start(&self, client: Client, namespace: &str) -> Context {
        let scope = Scope { namespaces: vec![namespace.to_owned()], watch_filter: None };
        let context =
            Context::new(client, scope, Metrics::default(), CancellationToken::new(), SHUTDOWN_GRACE);
        let children = Children::new(&context, false);
        let options = Options { children, concurrency: 5, cross_namespace_grants: true };
        context.spawn(join_token_request::run(context.clone(), options));
        context
    }

    fn requests(&self, namespace: &str) -> Api<api::JoinTokenRequest> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn reason(&self, namespace: &str, name: &str, reason: &str) -> Result<()> {
        let mut seen = Value::Null;
        let found = until(async || {
            let request = self.requests(namespace).get(name).await?;
            seen = serde_json::to_value(&request.status)?;
            let mut all = seen["conditions"].as_array().into_iter().flatten();
            Ok(all
                .any(|one| one["type"] == "JoinTokenSecretCreated" && one["reason"] == reason)
                .then_some(()))
        });
        found.await.with_context(|| format!("waiting for {reason}; seen {seen}"))
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>> {
        Ok(Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(name).await?)
    }

    /// The ids of the join tokens in the child that were made for this namespace.
    async fn tokens(&self, namespace: &str) -> Result<Vec<String>> {
        let api: Api<Secret> = Api::namespaced(self.child_client.clone(), "kube-system");
        let list = api.list(&ListParams::default().fields("type=bootstrap.kubernetes.io/token")).await?;
        let of = format!("JoinTokenRequest {namespace}/");
        let mine = list.items.iter().filter(|token| text(token, "description").contains(&of));
        Ok(mine.map(|token| text(token, "token-id")).collect())
    }
}

async fn stop(context: Context) {
    context.stop().cancel();
    context.ended().await;
}

async fn until<T>(mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if start.elapsed() > PATIENCE {
            bail!("did not happen within {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn text(secret: &Secret, key: &str) -> String {
    let data = secret.data.as_ref().and_then(|data| data.get(key));
    data.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
}

fn token(secret: &Secret) -> JoinToken {
    JoinToken::decode(text(secret, "token").as_bytes()).unwrap()
}

async fn authenticates(world: &World, join: &JoinToken) -> Result<bool> {
    let mut config = world.child.admin()?.config().await?;
    let bearer = join.token.bearer().expose_str().unwrap_or_default().to_owned();
    config.auth_info =
        kube::config::AuthInfo { token: Some(bearer.into()), ..kube::config::AuthInfo::default() };
    let client = Client::try_from(config)?;
    match Api::<Secret>::namespaced(client, "kube-system").get_opt("x").await {
        // Known, and not allowed: that is what a worker's token is before it has a certificate.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(status.message.contains("system:bootstrap:"))
        }
        Err(kube::Error::Api(status)) if status.code == 401 => Ok(false),
        other => bail!("unexpected: {other:?}"),
    }
}

#[tokio::test]
async fn a_request_becomes_one_token_that_works_and_goes_with_it() -> Result<()> {
    let world = World::new().await?;
    let context = world.start(world.client.clone(), "a");
    apply(&world.client, &[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})])
        .await?;
    world.request("a", "j", json!({"clusterName": "c1", "expiry": "1h"})).await?;
    world.reason("a", "j", "ClusterNotFound").await?;
    world.cluster("a").await?;
    world.reason("a", "j", "Created").await?;
    let secret = world.secret("a", "j").await?.context("no Secret")?;
    let join = token(&secret);
    assert_eq!(join.server, world.child.url());
    assert!(authenticates(&world, &join).await?, "the token works");
    let labels = secret.metadata.labels.clone().unwrap_or_default();
    assert_eq!((&*labels["k0smotron.io/cluster"], &*labels["k0smotron.io/role"]), ("c1", "worker"));
    assert_eq!(labels["k0smotron.io/token-request"], "j");
    let request = world.requests("a").get("j").await?;
    assert_eq!(request.metadata.owner_references.context("no owner")?[0].kind, "Cluster");
    assert_eq!(world.tokens("a").await?, [join.token.id()]);

    // H-22: idle is silent, also after a restart.
    stop(context).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (from, before) = (reconcile::clock::now(), world.secret("a", "j").await?);
    let context = world.start(world.client.clone(), "a");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked: Vec<_> =
        world.child.audit()?.into_iter().filter(|one| one.user == "testbed-admin" && one.at > from).collect();
    assert!(asked.is_empty(), "the child is not asked: {asked:?}");
    let wrote: Vec<_> = world
        .management
        .audit()?
        .into_iter()
        .filter(|one| one.user == "testbed-admin" && one.at > from && one.is_write())
        .collect();
    assert!(wrote.is_empty(), "{wrote:?}");
    assert_eq!(world.secret("a", "j").await?, before);

    // H-46: a changed endpoint rewrites it with the same id; a deleted Secret is rebuilt from the child.
    world.endpoint("a", "127.0.0.2", 6443).await?;
    let moved = until(async || {
        Ok(world
            .secret("a", "j")
            .await?
            .map(|secret| token(&secret))
            .filter(|join| join.server == "https://127.0.0.2:6443"))
    });
    assert_eq!(moved.await?.token, join.token);
    Api::<Secret>::namespaced(world.client.clone(), "a").delete("j", &DeleteParams::default()).await?;
    let rebuilt = until(async || Ok(world.secret("a", "j").await?.map(|secret| token(&secret)))).await?;
    assert_eq!(rebuilt.token, join.token);

    // H-46: deletion removes the child's Secret.
    world.requests("a").delete("j", &DeleteParams::default()).await?;
    until(async || Ok(world.requests("a").get_opt("j").await?.is_none().then_some(()))).await?;
    assert!(world.tokens("a").await?.is_empty());
    // The API server remembers a good token for some seconds.
    until(async || Ok((!authenticates(&world, &join).await?).then_some(())))
        .await
        .context("the token ends")?;
    stop(context).await;
    Ok(())
}

/// H-45: kill after each write: one token.
#[tokio::test]
async fn h45_a_manager_killed_after_any_write_leaves_one_token() -> Result<()> {
    let world = World::new().await?;
    for n in 0..8 {
        let namespace = format!("cut-{n}");
        world.cluster(&namespace).await?;
        world.request(&namespace, "j", json!({"clusterName": "c1"})).await?;
        let faults = FaultHandle::new();
        faults.cut_after_write(n);
        let doomed =
            world.start(client_with(world.management.admin()?.config().await?, &faults)?, &namespace);
        let cut = tokio::time::timeout(Duration::from_secs(10), faults.until_cut()).await;
        stop(doomed).await;
        let context = world.start(world.client.clone(), &namespace);
        world.reason(&namespace, "j", "Created").await.with_context(|| format!("after write {n}"))?;
        let secret = world.secret(&namespace, "j").await?.context("no Secret")?;
        assert_eq!(world.tokens(&namespace).await?, [token(&secret).token.id()], "after write {n}");
        let status = world.requests(&namespace).get("j").await?.status.context("no status")?;
        assert_eq!(status.token_id.as_deref(), Some(token(&secret).token.id()));
        assert_eq!(status.expires_at.as_deref(), Some("never"));
        stop(context).await;
        if cut.is_err() {
            assert!(n > 3, "finalizer, id, Secret and status at least");
            return Ok(());
        }
    }
    Ok(())
}
