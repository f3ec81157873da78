//! A management cluster with Cluster API's kinds and ours, a child, and the controllers.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use reconcile::{Context, Metrics, SHUTDOWN_GRACE, Scope};
use serde_json::{Value, json};
use testbed::ControlPlaneOnly;
use testbed::control_plane::{AuditEntry, ControlPlaneOptions, apply};
use tokio_util::sync::CancellationToken;
use workload::Children;

/// Longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct World {
    pub management: ControlPlaneOnly,
    pub child: ControlPlaneOnly,
    pub client: Client,
    pub child_client: Client,
}

impl World {
    pub async fn new() -> Result<Self> {
        let bootstrap_tokens = ControlPlaneOptions {
            apiserver_args: vec!["--enable-bootstrap-token-auth=true".to_owned()],
            ..ControlPlaneOptions::default()
        };
        let both = (ControlPlaneOnly::start(), ControlPlaneOnly::start_with(bootstrap_tokens));
        let (management, child) = tokio::try_join!(both.0, both.1)?;
        management.apply_crds(&testbed::cluster_api::crds()?).await?;
        management.apply_crds_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")).await?;
        let (client, child_client) = (management.client().await?, child.client().await?);
        Ok(Self { management, child, client, child_client })
    }

    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        apply(&self.client, objects).await
    }

    /// The controllers in a process of their own, as far as they can tell.
    pub fn start(client: Client, namespace: &str) -> Process {
        let stop = CancellationToken::new();
        let scope = Scope { namespaces: vec![namespace.to_owned()], watch_filter: None };
        let context = Context::new(client, scope, Metrics::default(), stop, SHUTDOWN_GRACE);
        context.watch_clusters();
        let children = Children::new(&context, false);
        let worker = k0s_bootstrap::worker::Options {
            children: children.clone(),
            concurrency: 5,
            bootstrap_script: true,
        };
        context.spawn(k0s_bootstrap::worker::run(context.clone(), worker));
        let link = k0s_bootstrap::node_link::Options { children, concurrency: 5 };
        context.spawn(k0s_bootstrap::node_link::run(context.clone(), link));
        Process(context)
    }

    /// Everything that a worker needs, and the worker.
    pub async fn complete(&self, namespace: &str) -> Result<()> {
        self.apply(&[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})])
            .await?;
        let configuration = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "worker-config-default-1.34", "namespace": "kube-system"},
        });
        apply(&self.child_client, &[configuration]).await?;
        self.apply(&[self.kubeconfig(namespace)?, self.authority(namespace)?, self.cluster(namespace)?])
            .await?;
        self.status(namespace, "Cluster", "c1", ready_cluster()).await?;
        self.worker(namespace, json!({})).await
    }

    pub fn cluster(&self, namespace: &str) -> Result<Value> {
        let port: u16 = self.child.url().rsplit(':').next().context("no port")?.parse()?;
        Ok(json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "c1", "namespace": namespace},
            "spec": {
                "controlPlaneEndpoint": {"host": "127.0.0.1", "port": port},
                "controlPlaneRef": {"apiGroup": "controlplane.cluster.x-k8s.io", "kind": "K0sControlPlane", "name": "c1"},
            },
        }))
    }

    pub fn kubeconfig(&self, namespace: &str) -> Result<Value> {
        Ok(secret(namespace, "c1-kubeconfig", "value", &self.child.admin()?.kubeconfig()))
    }

    pub fn authority(&self, namespace: &str) -> Result<Value> {
        Ok(secret(namespace, "c1-ca", "tls.crt", &self.child.admin()?.authority))
    }

    /// A Machine, and its config as core leaves it.
    pub async fn worker(&self, namespace: &str, spec: Value) -> Result<()> {
        let labels = json!({"cluster.x-k8s.io/cluster-name": "c1"});
        self.apply(&[json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
            "metadata": {"name": "m1", "namespace": namespace, "labels": labels},
            "spec": {
                "clusterName": "c1", "version": "v1.34.1+k0s",
                "bootstrap": {"configRef": {"apiGroup": "bootstrap.cluster.x-k8s.io", "kind": "K0sWorkerConfig", "name": "w1"}},
                "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "RemoteMachine", "name": "m1"},
            },
        })])
        .await?;
        let machine = self.get(namespace, "Machine", "m1").await?.context("no machine")?;
        self.apply(&[json!({
            "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "K0sWorkerConfig",
            "metadata": {"name": "w1", "namespace": namespace, "labels": labels, "ownerReferences": [{
                "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "m1",
                "uid": machine.metadata.uid, "controller": true,
            }]},
            "spec": spec,
        })])
        .await
    }

    pub async fn status(&self, namespace: &str, kind: &str, name: &str, status: Value) -> Result<()> {
        let api = self.api(namespace, kind);
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub async fn patch(&self, namespace: &str, kind: &str, name: &str, patch: Value) -> Result<()> {
        self.api(namespace, kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub async fn get(&self, namespace: &str, kind: &str, name: &str) -> Result<Option<DynamicObject>> {
        Ok(self.api(namespace, kind).get_opt(name).await?)
    }

    pub fn api(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "Secret" => ("", "v1"),
            "K0sWorkerConfig" => ("bootstrap.cluster.x-k8s.io", "v1beta2"),
            _ => ("cluster.x-k8s.io", "v1beta2"),
        };
        let kind = kube::core::GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &format!("{}s", kind.kind.to_lowercase()));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// Waits until a condition of the config has this reason; tells the message.
    pub async fn reason(&self, namespace: &str, type_: &str, reason: &str) -> Result<String> {
        let mut seen = Value::Null;
        let found = until(async || {
            let config = self.get(namespace, "K0sWorkerConfig", "w1").await?.context("no config")?;
            seen = config.data["status"]["conditions"].clone();
            let all = seen.as_array().into_iter().flatten();
            let found = all.into_iter().find(|one| one["type"] == type_ && one["reason"] == reason);
            Ok(found.map(|one| one["message"].as_str().unwrap_or_default().to_owned()))
        });
        found.await.with_context(|| format!("waiting for {type_}={reason}; seen {seen}"))
    }

    /// The join tokens in the child, sorted by id.
    pub async fn tokens(&self) -> Result<Vec<Secret>> {
        let api: Api<Secret> = Api::namespaced(self.child_client.clone(), "kube-system");
        let list = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
        Ok(api.list(&list).await?.items)
    }

    pub async fn node(&self, name: &str) -> Result<Node> {
        Ok(Api::<Node>::all(self.child_client.clone()).get(name).await?)
    }

    /// Two seconds in which nobody writes to either cluster and the child is not asked anything.
    pub async fn quiet(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let from = reconcile::clock::now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        // The API server's own housekeeping (leases, its addresses) is not ours.
        let ours = |entry: &AuditEntry| entry.user == "testbed-admin" && entry.at > from;
        let written: Vec<_> =
            self.management.audit()?.into_iter().filter(|one| ours(one) && one.verb != "watch").collect();
        let asked: Vec<_> = self.child.audit()?.into_iter().filter(ours).collect();
        if written.is_empty() && asked.is_empty() {
            Ok(())
        } else {
            bail!("not quiet: {written:?} {asked:?}")
        }
    }
}

pub struct Process(Context);

impl Process {
    pub async fn stop(self) {
        self.0.stop().cancel();
        self.0.ended().await;
    }
}

pub fn ready_cluster() -> Value {
    json!({"initialization": {"infrastructureProvisioned": true, "controlPlaneInitialized": true}})
}

pub fn secret(namespace: &str, name: &str, key: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"cluster.x-k8s.io/cluster-name": "c1"}},
        "stringData": {key: text},
    })
}

/// Looks until something is there.
pub async fn until<T>(mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
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

pub fn text(secret: &Secret, key: &str) -> String {
    let data = secret.data.as_ref().and_then(|data| data.get(key));
    data.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
}

pub fn expiration(secret: &Secret) -> Timestamp {
    text(secret, "expiration").parse().unwrap()
}
