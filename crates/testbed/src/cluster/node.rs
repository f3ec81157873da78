//! containerd, kubelet, kube-proxy and DNS on this machine, each with files and sockets of its own.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::network::{BRIDGE, NODE_IP, POD_SUBNET};
use super::{NODE, cgroups};
use crate::image::PAUSE;
use crate::process::{Life, Process, Program};
use crate::run::run;
use crate::tools::{Tool, ToolPaths};

/// containerd's socket. Unix sockets' paths are short: 107 bytes.
pub fn socket(dir: &Path) -> String {
    dir.join("containerd.sock").display().to_string()
}

pub fn containerd(dir: &Path) -> Result<Process> {
    let quoted = |path: &Path| json!(path.display().to_string()).to_string();
    let cni = dir.join("cni");
    fs::create_dir_all(&cni)?;
    let network = json!({
        "cniVersion": "0.4.0", "name": "k0smotron-testbed",
        "plugins": [{
            "type": "bridge", "bridge": BRIDGE, "isGateway": true, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "dataDir": dir.join("addresses"),
                "ranges": [[{"subnet": POD_SUBNET, "rangeStart": "10.210.0.10", "gateway": NODE_IP}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    fs::write(cni.join("10-testbed.conflist"), network.to_string())?;
    // restrict_oom_score_adj: where root lacks CAP_SYS_RESOURCE, runc would refuse every pod.
    let config = format!(
        r#"version = 2
root = {root}
state = {state}
[grpc]
  address = {socket}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = {runc}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = {cni}
"#,
        root = quoted(&dir.join("containerd")),
        state = quoted(&dir.join("containerd-run")),
        socket = json!(socket(dir)),
        runc = quoted(&dir.join("runc")),
        cni = quoted(&cni),
    );
    let path = dir.join("containerd.toml");
    fs::write(&path, config)?;
    Program::new("containerd", Path::new("containerd"), Life::OnItsOwn)
        .args([Path::new("--config"), &path])
        .start(dir)
}

/// Waits until containerd answers.
pub async fn containerd_answers(dir: &Path, containerd: &Process) -> Result<()> {
    let start = Instant::now();
    while run("ctr", &["-a", &socket(dir), "version"]).is_err() {
        containerd.check()?;
        if start.elapsed() > Duration::from_mins(1) {
            bail!("containerd does not answer");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Imports an image file.
pub fn import(dir: &Path, image: &Path) -> Result<()> {
    let image = image.to_str().context("an image file's path in UTF-8")?;
    run("ctr", &["-a", &socket(dir), "-n", "k8s.io", "images", "import", image]).map(drop)
}

pub fn kubelet(dir: &Path, tools: &ToolPaths) -> Result<Process> {
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": NODE_IP, "healthzPort": 0, "readOnlyPort": 0,
        "failCgroupV1": false, "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{}", cgroups::GROUP),
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{}", socket(dir)),
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true},
            "x509": {"clientCAFile": dir.join("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [NODE_IP], "clusterDomain": "cluster.local",
        // A test bed uses what the machine has left; images are imported and must not be collected.
        "evictionHard": {
            "memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%",
            "imagefs.available": "1%", "imagefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        // The bed's own table masquerades; kube-proxy needs no chains of the kubelet's.
        "makeIPTablesUtilChains": false,
        "podLogsDir": dir.join("pod-logs"),
        "volumePluginDir": dir.join("volume-plugins"),
        "maxPods": 230,
        "serializeImagePulls": false,
        "registryPullQPS": 0, "eventRecordQPS": 0,
        "kubeAPIQPS": 100, "kubeAPIBurst": 200,
        "syncFrequency": "10s", "nodeStatusUpdateFrequency": "5s",
    });
    let path = dir.join("kubelet.json");
    fs::write(&path, config.to_string())?;
    Program::new("kubelet", tools.get(Tool::Kubelet)?, Life::OnItsOwn)
        .args([
            format!("--config={}", path.display()),
            format!("--kubeconfig={}", dir.join("kubelet.kubeconfig").display()),
            format!("--root-dir={}", dir.join("kubelet").display()),
            format!("--cert-dir={}", dir.join("kubelet-pki").display()),
            format!("--node-ip={NODE_IP}"),
            format!("--hostname-override={NODE}"),
        ])
        .start(dir)
}

pub fn kube_proxy(dir: &Path, tools: &ToolPaths) -> Result<Process> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "nftables", "clusterCIDR": POD_SUBNET, "hostnameOverride": NODE,
        "bindAddress": NODE_IP, "nodePortAddresses": [format!("{NODE_IP}/32")],
        "clientConnection": {"kubeconfig": dir.join("kube-proxy.kubeconfig")},
        "healthzBindAddress": format!("{NODE_IP}:10256"), "metricsBindAddress": format!("{NODE_IP}:10249"),
        // The machine's own limits and times stay.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"syncPeriod": "30s", "minSyncPeriod": "100ms"},
    });
    let path = dir.join("kube-proxy.json");
    fs::write(&path, config.to_string())?;
    Program::new("kube-proxy", tools.get(Tool::KubeProxy)?, Life::OnItsOwn)
        .args([format!("--config={}", path.display())])
        .start(dir)
}

pub fn coredns(dir: &Path, tools: &ToolPaths) -> Result<Process> {
    let path = dir.join("Corefile");
    let kubeconfig = dir.join("coredns.kubeconfig");
    let corefile = format!(
        ".:53 {{\n  bind {NODE_IP}\n  errors\n  ready {NODE_IP}:8181\n  cache 5\n  kubernetes cluster.local in-addr.arpa \
         {{\n    kubeconfig {}\n  }}\n}}\n",
        kubeconfig.display()
    );
    fs::write(&path, corefile)?;
    Program::new("coredns", tools.get(Tool::Coredns)?, Life::OnItsOwn)
        .args([Path::new("-conf"), &path])
        .start(dir)
}
