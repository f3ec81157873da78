//! Command lines, and waiting until they answer.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{ControlPlaneOnly, ControlPlaneOptions};
use crate::access::Access;
use crate::authority::{Authority, service_account, write_private};
use crate::process::{Life, Process, Program};
use crate::run_dir::{Port, RunDir};
use crate::tools::{self, Tool};

/// Starting takes 4 s on an idle machine of two cores; many at once on a busy one share them.
const PATIENCE: Duration = Duration::from_mins(2);

/// Metadata of every request, once it is answered or, for a watch, begun.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "rules": [{"level": "Metadata"}]
}
"#;

/// Writes the audit policy file that the benchmarks' and stories' request counts need.
pub fn write_audit_policy(path: &Path) -> Result<()> {
    fs::write(path, AUDIT_POLICY).with_context(|| path.display().to_string())
}

pub async fn start(options: ControlPlaneOptions) -> Result<ControlPlaneOnly> {
    let dir = RunDir::new("control-plane")?;
    let path = dir.path();
    let authority = Authority::new("testbed-ca")?;
    let pki = path.join("pki");
    authority.pair().write(&pki, "ca")?;
    let hosts = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
    authority.server("kube-apiserver", &hosts)?.write(&pki, "apiserver")?;
    let service_account = service_account()?;
    service_account.write(&pki, "service-account")?;
    write_audit_policy(&path.join("audit-policy.yaml"))?;

    let (etcd_port, etcd_peer_port, port) = (Port::reserve()?, Port::reserve()?, Port::reserve()?);
    let etcd = etcd(path, &etcd_port, &etcd_peer_port)?;
    let apiserver = apiserver(path, &port, &etcd_port, &options)?;
    let mut started = ControlPlaneOnly {
        controller_manager: None,
        apiserver,
        etcd,
        options,
        authority,
        service_account,
        etcd_port,
        port,
        _etcd_peer_port: etcd_peer_port,
        dir,
    };
    ready(&started.admin()?, &[&started.etcd, &started.apiserver]).await?;
    if started.options.controller_manager {
        started.controller_manager = Some(controller_manager(&started)?);
    }
    Ok(started)
}

fn etcd(dir: &Path, port: &Port, peer_port: &Port) -> Result<Process> {
    let client = format!("http://127.0.0.1:{}", port.number());
    let peer = format!("http://127.0.0.1:{}", peer_port.number());
    Program::new("etcd", &tools::path(Tool::Etcd)?, Life::WithUs)
        .args([
            format!("--data-dir={}", dir.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ])
        .start(dir)
}

pub fn apiserver(
    dir: &Path,
    port: &Port,
    etcd_port: &Port,
    options: &ControlPlaneOptions,
) -> Result<Process> {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut args = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", etcd_port.number()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", port.number()),
        // Nothing reaches it through the `kubernetes` Service: there are no pods.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
        format!("--client-ca-file={}", file("pki/ca.crt")),
        format!("--tls-cert-file={}", file("pki/apiserver.crt")),
        format!("--tls-private-key-file={}", file("pki/apiserver.key")),
        format!("--service-account-key-file={}", file("pki/service-account.crt")),
        format!("--service-account-signing-key-file={}", file("pki/service-account.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
        // In megabytes: one file, so that every request of a test is in it.
        "--audit-log-maxsize=10000".to_owned(),
        // Nobody waits for open watches when it ends.
        "--shutdown-delay-duration=0s".to_owned(),
    ];
    if !options.controller_manager {
        // Nobody makes the service account that a pod would wait for.
        args.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    args.extend(options.apiserver_args.iter().cloned());
    Program::new("kube-apiserver", &tools::path(Tool::KubeApiserver)?, Life::WithUs).args(args).start(dir)
}

fn controller_manager(started: &ControlPlaneOnly) -> Result<Process> {
    let dir = started.dir();
    let file = |name: &str| dir.join(name).display().to_string();
    let kubeconfig = dir.join("controller-manager.kubeconfig");
    let access = started.access("system:kube-controller-manager", &[])?;
    write_private(&kubeconfig, &access.kubeconfig())?;
    Program::new("kube-controller-manager", &tools::path(Tool::KubeControllerManager)?, Life::WithUs)
        .args([
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--root-ca-file={}", file("pki/ca.crt")),
            format!("--service-account-private-key-file={}", file("pki/service-account.key")),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--controllers=*,-node-ipam-controller".to_owned(),
            // By default it makes one outside.
            format!("--flex-volume-plugin-dir={}", file("volume-plugins")),
        ])
        .start(dir)
}

/// Waits until the API server says it is ready and has made the namespace that everything begins with.
pub async fn ready(access: &Access, programs: &[&Process]) -> Result<()> {
    let client = access.client().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let start = Instant::now();
    loop {
        for program in programs {
            program.check()?;
        }
        let asked = http::Request::get("/readyz").body(Vec::new())?;
        let answer = match client.request_text(asked).await {
            Ok(_) => namespaces.get("default").await.map(drop),
            Err(error) => Err(error),
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => {
                bail!("the API server is not ready after {PATIENCE:?}: {error}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
