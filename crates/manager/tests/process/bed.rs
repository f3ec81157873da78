//! An API server with a bundle applied, and managers as child processes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Request;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::client::Body;
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use manager::bundle::{self, Bundle, NAMESPACE, PLACEHOLDER_IMAGE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testbed::control_plane::{ControlPlaneOptions, apply};
use testbed::{ControlPlaneOnly, cluster_api};

/// Far above what anything here takes on a busy machine; a watch that failed for long is tried again after half a minute.
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Bed {
    pub server: ControlPlaneOnly,
    pub admin: Client,
}

impl Bed {
    /// An API server with a bundle's objects, but no pod of its Deployment.
    pub async fn with(bundle: Bundle) -> Result<Self> {
        Self::with_options(bundle, ControlPlaneOptions::default()).await
    }

    pub async fn with_options(bundle: Bundle, options: ControlPlaneOptions) -> Result<Self> {
        let bed = Self::bare(options).await?;
        bed.install(&bundle::objects(bundle, PLACEHOLDER_IMAGE)?).await?;
        Ok(bed)
    }

    /// An API server alone.
    pub async fn bare(options: ControlPlaneOptions) -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = ControlPlaneOnly::start_with(options).await?;
        let admin = server.client().await?;
        Ok(Self { server, admin })
    }

    /// Applies objects, definitions of kinds first. The Deployment is left out: its pods would be a second manager.
    pub async fn install(&self, objects: &[Value]) -> Result<()> {
        self.server.apply_crds(objects).await?;
        let rest =
            |object: &&Value| object["kind"] != "CustomResourceDefinition" && object["kind"] != "Deployment";
        apply(&self.admin, &objects.iter().filter(rest).cloned().collect::<Vec<_>>()).await
    }

    pub async fn install_cluster_api(&self) -> Result<()> {
        self.server.apply_crds(&cluster_api::crds()?).await
    }

    pub async fn namespace(&self, name: &str) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(self.admin.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    pub async fn apply(&self, object: Value) -> Result<()> {
        apply(&self.admin, &[object]).await
    }

    pub fn api(&self, version: &str, kind: &str, plural: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        Api::namespaced_with(self.admin.clone(), namespace, &ApiResource::from_gvk_with_plural(&gvk, plural))
    }

    pub fn hosted(&self, namespace: &str) -> Api<DynamicObject> {
        self.api("k0smotron.io/v1beta2", "Cluster", "clusters", namespace)
    }

    /// A hosted cluster of few objects.
    pub async fn make_hosted(&self, namespace: &str, name: &str, labels: Value) -> Result<()> {
        self.apply(json!({
            "apiVersion": "k0smotron.io/v1beta2", "kind": "Cluster",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"version": "v1.36.3+k0s.2", "storage": {"type": "kine"}, "service": {"type": "ClusterIP"}},
        }))
        .await
    }

    /// The condition of an object, as status, reason and message.
    pub async fn condition(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        type_: &str,
    ) -> Result<Option<(String, String, String)>> {
        let object = api.get(name).await?;
        let all = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found = all.iter().find(|condition| condition["type"] == type_);
        Ok(found.map(|c| (word(&c["status"]), word(&c["reason"]), word(&c["message"]))))
    }

    pub async fn secrets(&self, namespace: &str) -> Result<usize> {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), namespace);
        Ok(secrets.list(&kube::api::ListParams::default()).await?.items.len())
    }

    /// The holder of the only lease in the managers' namespace.
    pub async fn holder(&self) -> Result<Option<String>> {
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(self.admin.clone(), NAMESPACE);
        let all = leases.list(&kube::api::ListParams::default()).await?.items;
        ensure!(all.len() <= 1, "{} leases", all.len());
        Ok(all.into_iter().next().and_then(|lease| lease.spec?.holder_identity))
    }

    /// Writes of a user, leases, reviews and events apart.
    pub fn writes(&self, user: &str) -> Result<usize> {
        let besides = ["leases", "tokenreviews", "subjectaccessreviews", "events"];
        let all = self.server.audit()?;
        Ok(all
            .iter()
            .filter(|entry| {
                entry.user == user && entry.is_write() && !besides.contains(&entry.resource.as_str())
            })
            .count())
    }

    /// What the API server refused to a user.
    pub fn forbidden(&self, user: &str) -> Result<Vec<String>> {
        let refused =
            self.server.audit()?.into_iter().filter(|entry| entry.user == user && entry.code == 403);
        Ok(refused.map(|entry| format!("{} {}", entry.verb, entry.uri)).collect())
    }

    /// Starts a manager that speaks as the ServiceAccount of a bundle.
    pub fn manager(&self, name: &str, bundle: Bundle, args: &[&str]) -> Result<Manager> {
        let kubeconfig = self.server.kubeconfig_file(&account(bundle))?;
        Manager::start(self.server.dir(), name, bundle, &kubeconfig, args)
    }
}

/// The user name of a bundle's ServiceAccount.
pub fn account(bundle: Bundle) -> String {
    let suffix = if bundle == Bundle::Standalone { String::new() } else { format!("-{}", bundle.mode()) };
    format!("system:serviceaccount:{NAMESPACE}:k0smotron-controller-manager{suffix}")
}

/// Waits until something holds.
pub async fn eventually<F: Future<Output = Result<bool>>>(what: &str, holds: impl Fn() -> F) -> Result<()> {
    let start = Instant::now();
    while !holds().await.with_context(|| what.to_owned())? {
        ensure!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A running manager; killed when dropped.
pub struct Manager {
    child: Child,
    log: PathBuf,
    pub health: u16,
    pub diagnostics: u16,
    plain: bool,
}

/// A lease that is short enough to wait for in a test.
pub const SHORT_LEASE: [&str; 4] = [
    "--leader-elect",
    "--leader-elect-lease-duration=4s",
    "--leader-elect-renew-deadline=3s",
    "--leader-elect-retry-period=500ms",
];

impl Manager {
    fn start(dir: &Path, name: &str, bundle: Bundle, kubeconfig: &Path, args: &[&str]) -> Result<Self> {
        let log = dir.join(format!("manager-{name}.log"));
        let (health, diagnostics) = (free_port()?, free_port()?);
        let given = std::env::var_os("K0SMOTRON_MANAGER").filter(|path| !path.is_empty());
        // The kernel kills it if this test is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(given.unwrap_or(env!("CARGO_BIN_EXE_manager").into()))
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--health-probe-bind-address=127.0.0.1:{health}"))
            .arg(format!("--diagnostics-address=127.0.0.1:{diagnostics}"))
            .arg(format!("--enable-controller={}", bundle.mode()))
            .args(args)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", NAMESPACE)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("setpriv")?;
        let plain = args.contains(&"--insecure-diagnostics");
        Ok(Self { child, log, health, diagnostics, plain })
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal).context("kill")
    }

    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Status and body of a path of the health server; `None` while nobody listens.
    pub async fn health(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{}", self.health);
        ask(&url, None, "GET", path, "", None).await.ok().map(|answer| (answer.status, answer.body))
    }

    /// An answer of the diagnostics server.
    pub async fn ask(&self, token: Option<&str>, verb: &str, path: &str, body: &str) -> Result<Answer> {
        self.ask_for(token, verb, path, body, None).await
    }

    /// The same with an `Accept`.
    pub async fn ask_for(
        &self,
        token: Option<&str>,
        verb: &str,
        path: &str,
        body: &str,
        accept: Option<&str>,
    ) -> Result<Answer> {
        let scheme = if self.plain { "http" } else { "https" };
        ask(&format!("{scheme}://127.0.0.1:{}", self.diagnostics), token, verb, path, body, accept).await
    }

    pub async fn until_ready(&self) -> Result<()> {
        let ready = eventually("the manager is ready", || async {
            Ok(self.health("/readyz").await.is_some_and(|(code, _)| code == 200))
        });
        ready.await.with_context(|| self.log())
    }

    /// The value of the metric's line that begins so; of a manager that serves plainly.
    pub async fn metric(&self, line: &str) -> Result<Option<f64>> {
        let text = self.ask(None, "GET", "/metrics", "").await?.body;
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        Ok(found.and_then(|rest| rest.trim().parse().ok()))
    }

    pub async fn leads(&self) -> Result<bool> {
        let text = self.ask(None, "GET", "/metrics", "").await?.body;
        Ok(text
            .lines()
            .any(|line| line.starts_with("leader_election_master_status{") && line.ends_with("} 1")))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub form: String,
    pub body: String,
}

async fn ask(
    url: &str,
    token: Option<&str>,
    verb: &str,
    path: &str,
    body: &str,
    accept: Option<&str>,
) -> Result<Answer> {
    let mut config = Config::new(url.parse()?);
    config.accept_invalid_certs = true;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(10));
    let client = Client::try_from(config)?;
    let mut request = Request::builder().method(verb).uri(path);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    let answer = client.send(request.body(Body::from(body.as_bytes().to_vec()))?).await?;
    let status = answer.status().as_u16();
    let form =
        answer.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = String::from_utf8(answer.into_body().collect_bytes().await?.to_vec())?;
    Ok(Answer { status, form, body })
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
