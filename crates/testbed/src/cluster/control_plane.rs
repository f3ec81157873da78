//! The command lines of etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::network::{API_PORT, KUBERNETES_SERVICE_IP, NODE_IP, POD_SUBNET, SERVICE_SUBNET, api_server};
use super::{NODE, file_name};
use crate::access::Access;
use crate::authority::{Authority, service_account};
use crate::control_plane::write_audit_policy;
use crate::process::{Life, Process, Program};
use crate::tools::{Tool, ToolPaths};

/// The authority's name.
pub const AUTHORITY: &str = "testbed-ca";

/// Loopback alone, and not where another etcd would be looked for.
const ETCD: &str = "http://127.0.0.1:12379";
const ETCD_PEER: &str = "http://127.0.0.1:12380";

/// Makes certificates and kubeconfig files; these users' names carry their rights, so they need no RBAC objects.
pub fn credentials(dir: &Path) -> Result<Access> {
    let pki = dir.join("pki");
    let authority = Authority::new(AUTHORITY)?;
    authority.pair().write(&pki, "ca")?;
    let hosts = [
        NODE_IP,
        "127.0.0.1",
        KUBERNETES_SERVICE_IP,
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    authority.server("kube-apiserver", &hosts)?.write(&pki, "apiserver")?;
    authority.client("kube-apiserver-kubelet-client", &["system:masters"])?.write(&pki, "kubelet-client")?;
    service_account()?.write(&pki, "service-account")?;
    write_audit_policy(&dir.join("audit-policy.yaml"))?;
    let node = format!("system:node:{NODE}");
    let users: [(&str, &str, &[&str]); 7] = [
        ("kubeconfig", "testbed-admin", &["system:masters"]),
        ("agent.kubeconfig", "testbed-agent", &["system:masters"]),
        ("controller-manager.kubeconfig", "system:kube-controller-manager", &[]),
        ("scheduler.kubeconfig", "system:kube-scheduler", &[]),
        ("kube-proxy.kubeconfig", "system:kube-proxy", &[]),
        ("kubelet.kubeconfig", &node, &["system:nodes"]),
        ("coredns.kubeconfig", "testbed-coredns", &[]),
    ];
    let certificate = authority.certificate();
    let access = |user: &str, groups: &[&str]| -> Result<Access> {
        Ok(Access {
            server: api_server(),
            authority: certificate.clone(),
            user: authority.client(user, groups)?,
        })
    };
    for (file, user, groups) in users {
        access(user, groups)?.write(&dir.join(file))?;
    }
    access("testbed-admin", &["system:masters"])
}

pub fn etcd(dir: &Path, tools: &ToolPaths) -> Result<Process> {
    Program::new("etcd", tools.get(Tool::Etcd)?, Life::OnItsOwn)
        .args([
            format!("--data-dir={}", dir.join("etcd").display()),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            format!("--listen-peer-urls={ETCD_PEER}"),
            format!("--initial-advertise-peer-urls={ETCD_PEER}"),
            format!("--initial-cluster=default={ETCD_PEER}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ])
        .start(dir)
}

pub fn apiserver(dir: &Path, tools: &ToolPaths) -> Result<Process> {
    let file = |name: &str| dir.join(name).display().to_string();
    Program::new("kube-apiserver", tools.get(Tool::KubeApiserver)?, Life::OnItsOwn)
        .args([
            format!("--etcd-servers={ETCD}"),
            // Nothing is open to the machine's network; pods reach it here through the `kubernetes` Service.
            format!("--bind-address={NODE_IP}"),
            format!("--advertise-address={NODE_IP}"),
            format!("--secure-port={API_PORT}"),
            format!("--service-cluster-ip-range={SERVICE_SUBNET}"),
            format!("--client-ca-file={}", file("pki/ca.crt")),
            format!("--tls-cert-file={}", file("pki/apiserver.crt")),
            format!("--tls-private-key-file={}", file("pki/apiserver.key")),
            // Without these: no logs, no exec.
            format!("--kubelet-client-certificate={}", file("pki/kubelet-client.crt")),
            format!("--kubelet-client-key={}", file("pki/kubelet-client.key")),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--service-account-key-file={}", file("pki/service-account.crt")),
            format!("--service-account-signing-key-file={}", file("pki/service-account.key")),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            format!("--audit-policy-file={}", file("audit-policy.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
            // In megabytes: one file, so that every request of a test is in it.
            "--audit-log-maxsize=10000".to_owned(),
        ])
        .start(dir)
}

pub fn controller_manager(dir: &Path, tools: &ToolPaths) -> Result<Process> {
    let file = |name: &str| dir.join(name).display().to_string();
    Program::new("kube-controller-manager", tools.get(Tool::KubeControllerManager)?, Life::OnItsOwn)
        .args([
            format!("--kubeconfig={}", file("controller-manager.kubeconfig")),
            // Otherwise pods do not trust the API server.
            format!("--root-ca-file={}", file("pki/ca.crt")),
            format!("--service-account-private-key-file={}", file("pki/service-account.key")),
            format!("--cluster-signing-cert-file={}", file("pki/ca.crt")),
            format!("--cluster-signing-key-file={}", file("pki/ca.key")),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            format!("--cluster-cidr={POD_SUBNET}"),
            "--controllers=*,-node-ipam-controller".to_owned(),
            format!("--flex-volume-plugin-dir={}", file("volume-plugins")),
            "--kube-api-qps=100".to_owned(),
            "--kube-api-burst=200".to_owned(),
        ])
        .start(dir)
}

pub fn scheduler(dir: &Path, tools: &ToolPaths) -> Result<Process> {
    Program::new("kube-scheduler", tools.get(Tool::KubeScheduler)?, Life::OnItsOwn)
        .args([
            format!("--kubeconfig={}", dir.join("scheduler.kubeconfig").display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=100".to_owned(),
            "--kube-api-burst=200".to_owned(),
        ])
        .start(dir)
}

/// The kept cluster's agent.
pub fn agent(dir: &Path, program: &Path, state: &Path) -> Result<Process> {
    let args = ["agent".to_owned(), "--state".to_owned(), file_name(state)?];
    Program::new("agent", &PathBuf::from(program), Life::OnItsOwn).args(args).start(dir)
}
