//! The stage: API server, controller manager, CRDs, a namespace, and a kubelet that only talks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use api::HostedCluster;
use k0smotron_control_plane::cluster::{self, Operator, Options};
use k0smotron_control_plane::control_plane;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::{Client, ResourceExt};
use reconcile::{Context, Metrics, SHUTDOWN_GRACE, Scope};
use serde_json::{Value, json};
use testbed::ControlPlaneOnly;
use testbed::control_plane::ControlPlaneOptions;
use testbed::faults::{FaultHandle, client_with};
use tokio_util::sync::CancellationToken;
use workload::Children;

/// The namespace of a story that needs one.
pub const NAMESPACE: &str = "story";

/// The stage: a namespace, and who plays in it.
pub struct Stage {
    pub server: Arc<ControlPlaneOnly>,
    pub admin: Client,
    pub managers: Managers,
    ready: Arc<AtomicBool>,
    kubelet: tokio::task::JoinHandle<()>,
}

impl Stage {
    pub async fn set() -> Result<Self> {
        Self::on(Arc::new(server().await?), NAMESPACE, false).await
    }

    /// With Cluster API's kinds, and the controller of those of ours that need them.
    pub async fn set_with_cluster_api() -> Result<Self> {
        let server = server().await?;
        let watched =
            ["clusters.", "machines.", "machinepools."].map(|kind| format!("{kind}cluster.x-k8s.io"));
        let crds = testbed::cluster_api::crds()?;
        let crds: Vec<_> = crds
            .into_iter()
            .filter(|crd| watched.iter().any(|name| crd["metadata"]["name"] == name.as_str()))
            .collect();
        server.apply_crds(&crds).await?;
        Self::on(Arc::new(server), NAMESPACE, true).await
    }

    /// The same in another namespace of the same API server.
    pub async fn beside(&self, namespace: &str) -> Result<Self> {
        Self::on(self.server.clone(), namespace, self.managers.cluster_api).await
    }

    async fn on(server: Arc<ControlPlaneOnly>, namespace: &str, cluster_api: bool) -> Result<Self> {
        let admin = server.client().await?;
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &object).await?;
        let ready = Arc::new(AtomicBool::new(true));
        let kubelet = tokio::spawn(kubelet(Api::namespaced(admin.clone(), namespace), ready.clone()));
        let managers = Managers::of(&server, namespace, cluster_api).await?;
        Ok(Self { server, admin, managers, ready, kubelet })
    }

    pub fn namespace(&self) -> &str {
        &self.managers.namespace
    }

    /// The objects of a kind in this stage's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), self.namespace())
    }

    /// Whether new pods get Ready.
    pub fn pods_get_ready(&self, yes: bool) {
        self.ready.store(yes, Ordering::SeqCst);
    }

    /// A manager whose requests are counted, and fail as the handle says.
    pub fn manager(&self, faults: &FaultHandle) -> Result<Manager> {
        self.managers.start(faults)
    }

    pub fn clusters(&self) -> Api<HostedCluster> {
        self.api()
    }

    pub async fn create(&self, name: &str, spec: Value) -> Result<()> {
        let cluster: HostedCluster = serde_json::from_value(
            json!({"metadata": {"name": name, "namespace": self.namespace()}, "spec": spec}),
        )?;
        self.clusters().create(&PostParams::default(), &cluster).await?;
        Ok(())
    }

    pub async fn patch(&self, name: &str, patch: Value) -> Result<()> {
        self.clusters().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until the cluster is as wanted.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&HostedCluster) -> bool,
    ) -> Result<HostedCluster> {
        let start = Instant::now();
        loop {
            let found = self.clusters().get(name).await?;
            if wanted(&found) {
                return Ok(found);
            }
            if start.elapsed() > Duration::from_secs(40) {
                bail!("not {what}: {}", serde_json::to_string_pretty(&found.status)?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing of a kind is left in the namespace, or the condition holds.
    pub async fn eventually<F: Future<Output = Result<bool>>>(
        &self,
        what: &str,
        holds: impl Fn() -> F,
    ) -> Result<()> {
        let start = Instant::now();
        while !holds().await? {
            if start.elapsed() > Duration::from_secs(40) {
                bail!("never: {what}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        self.clusters().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Everything that belongs to a cluster, as kind and name with the part that matters.
    pub async fn objects(&self, cluster: &str) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for (version, kind, plural) in [
            ("v1", "Secret", "secrets"),
            ("v1", "ConfigMap", "configmaps"),
            ("v1", "Service", "services"),
            ("apps/v1", "StatefulSet", "statefulsets"),
        ] {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
            let api: Api<DynamicObject> = Api::namespaced_with(
                self.admin.clone(),
                self.namespace(),
                &kube::api::ApiResource::from_gvk_with_plural(&gvk, plural),
            );
            for object in api.list(&ListParams::default().labels(&format!("cluster={cluster}"))).await? {
                all.push((format!("{kind} {}", object.name_any()), object.uid().unwrap_or_default()));
            }
        }
        all.sort();
        Ok(all)
    }

    /// Nobody writes for this long.
    pub async fn quiet(&self, faults: &FaultHandle, time: Duration) -> Result<()> {
        let start = Instant::now();
        let mut before = faults.writes().len();
        let mut since = Instant::now();
        while since.elapsed() < time {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = faults.writes().len();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            if start.elapsed() > Duration::from_secs(40) {
                bail!("not quiet: {:?}", faults.writes().iter().rev().take(10).collect::<Vec<_>>());
            }
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

async fn server() -> Result<ControlPlaneOnly> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = ControlPlaneOptions { controller_manager: true, ..ControlPlaneOptions::default() };
    let server = ControlPlaneOnly::start_with(options).await?;
    server.apply_crds_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")).await?;
    Ok(server)
}

/// Passes at once of each controller.
const CONCURRENCY: usize = 16;

/// Starts managers of one namespace.
#[derive(Clone)]
pub struct Managers {
    config: kube::Config,
    namespace: String,
    pub cluster_api: bool,
}

impl Managers {
    async fn of(server: &ControlPlaneOnly, namespace: &str, cluster_api: bool) -> Result<Self> {
        let config = server.access("manager", &["system:masters"])?.config().await?;
        Ok(Self { config, namespace: namespace.to_owned(), cluster_api })
    }

    pub fn start(&self, faults: &FaultHandle) -> Result<Manager> {
        let client = client_with(self.config.clone(), faults)?;
        let stop = CancellationToken::new();
        let scope = Scope { namespaces: vec![self.namespace.clone()], watch_filter: None };
        let context = Context::new(client, scope, Metrics::new(), stop.clone(), SHUTDOWN_GRACE);
        if self.cluster_api {
            context.watch_clusters();
        }
        let children = Children::new(&context, false);
        let options = Options { operator: Operator::default(), children, concurrency: CONCURRENCY };
        let hosted = cluster::run(context.clone(), options);
        let cluster_api = self.cluster_api;
        let task = tokio::spawn(async move {
            let control_planes = async {
                if cluster_api {
                    control_plane::run(context.clone(), CONCURRENCY).await;
                }
            };
            tokio::join!(hosted, control_planes);
        });
        Ok(Manager { stop, task })
    }
}

/// A life of the manager; dropped as if it was killed.
pub struct Manager {
    pub stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// Says of every pod that it runs and is Ready, and lets deleted pods go.
async fn kubelet(pods: Api<Pod>, ready: Arc<AtomicBool>) {
    let mut number = 10_u8;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Members of etcd are run for real, see `etcds`.
        let Ok(all) = pods.list(&ListParams::default().labels("component=cluster")).await else { continue };
        for pod in all {
            if pod.metadata.deletion_timestamp.is_some() {
                let _ = pods.delete(&pod.name_any(), &at_once(&pod)).await;
                continue;
            }
            let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
            if !running && ready.load(Ordering::SeqCst) {
                number = number.wrapping_add(1).max(10);
                let name = pod.spec.as_ref().map(|spec| spec.containers[0].name.clone()).unwrap_or_default();
                let _ = say(&pods, &pod.name_any(), &name, &format!("127.1.0.{number}"), true).await;
            }
        }
    }
}

/// The end of a pod that is being deleted, and of no other that has its name by now.
pub fn at_once(pod: &Pod) -> DeleteParams {
    let this = Preconditions { uid: pod.uid(), resource_version: None };
    DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }.preconditions(this)
}

/// Says of a pod that it runs, and whether it is Ready.
pub async fn say(pods: &Api<Pod>, pod: &str, container: &str, ip: &str, ready: bool) -> Result<()> {
    let now = jiff::Timestamp::from_second(reconcile::clock::now().as_second())?.to_string();
    let condition = |type_: &str, status: bool| json!({"type": type_, "status": if status { "True" } else { "False" }, "lastTransitionTime": now});
    let status = json!({"status": {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [condition("PodScheduled", true), condition("Initialized", true), condition("ContainersReady", ready), condition("Ready", ready)],
        "containerStatuses": [{"name": container, "ready": ready, "restartCount": 0, "image": "", "imageID": "",
            "state": {"running": {"startedAt": now}}}],
    }});
    match pods.patch_status(pod, &PatchParams::default(), &Patch::Merge(status)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        said => said.map(drop).context("cannot patch a pod"),
    }
}
