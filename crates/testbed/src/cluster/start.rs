//! From nothing to a Ready node.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client};
use serde_json::json;

use super::{
    Cluster, ClusterOptions, NODE, STORAGE_CLASS, cgroups, clean, control_plane, dir, host, network, node,
};
use crate::agent::{self, InProcessAgent};
use crate::control_plane::{apply, wait_until_ready};
use crate::debian;
use crate::image;
use crate::tools::{self, Tool};

/// What a cluster is made of.
pub const TOOLS: [Tool; 9] = [
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::Kubectl,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kubelet,
    Tool::KubeProxy,
    Tool::Pause,
    Tool::Coredns,
];

pub async fn start(options: ClusterOptions) -> Result<Cluster> {
    debian::require_root()?;
    debian::ensure(&debian::PACKAGES)?;
    let tools = tools::ensure(&TOOLS)?;
    let images = [image::pause()?, image::busybox()?];

    let began = Instant::now();
    let say = |what: &str| eprintln!("cluster: {what} ({:.1} s)", began.elapsed().as_secs_f64());
    let state = std::path::absolute(&options.state)?;
    let owner = host::lock(&state)?;
    if super::is_kept(&state) && Cluster::attach(&state)?.is_running() {
        bail!("a cluster runs from {} already: use it, or `testbed down` first", state.display());
    }
    if dir(&state).exists() {
        say("removing what an earlier run left");
        clean::clean(&state)?;
    }
    let dir = dir(&state);
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    fs::write(dir.join(clean::MARK), "")?;
    // From here on, whatever fails is taken down by dropping this.
    let mut cluster = Cluster { state: state.clone(), agent: None, owner: Some(owner) };

    host::prepare(&dir)?;
    network::up()?;
    cgroups::make()?;
    let access = control_plane::credentials(&dir)?;
    let etcd = control_plane::etcd(&dir, &tools)?;
    let apiserver = control_plane::apiserver(&dir, &tools)?;
    let containerd = node::containerd(&dir)?;
    node::containerd_answers(&dir, &containerd).await?;
    for image in images {
        node::import(&dir, &image)?;
    }
    wait_until_ready(&access, &[&etcd, &apiserver]).await?;
    say("etcd and kube-apiserver answer");

    let mut programs = vec![
        control_plane::controller_manager(&dir, &tools)?,
        control_plane::scheduler(&dir, &tools)?,
        node::kubelet(&dir, &tools)?,
        node::kube_proxy(&dir, &tools)?,
        node::coredns(&dir, &tools)?,
    ];
    let client = access.client().await?;
    apply(&client, &objects()).await?;
    match &options.keep {
        Some(program) => programs.push(control_plane::agent(&dir, program, &state)?),
        None => cluster.agent = Some(InProcessAgent::start(agent::Options::of(&dir))?),
    }
    node_ready(&client, || programs.iter().try_for_each(crate::process::Process::check)).await?;
    say("the node is Ready");
    if options.keep.is_some() {
        fs::write(dir.join("kept"), "")?;
        cluster.owner = None;
    }
    Ok(cluster)
}

/// DNS may read what it serves; claims get a directory of the node.
fn objects() -> Vec<serde_json::Value> {
    let name = "testbed-coredns";
    let group = "rbac.authorization.k8s.io";
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [
                {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
        }),
        // As volumes of clouds and local ones are bound; else the scheduler now and then meets a claim before its volume,
        // and looks again seconds later.
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": agent::PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
        }),
    ]
}

async fn node_ready(client: &Client, check: impl Fn() -> Result<()>) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let start = Instant::now();
    loop {
        check()?;
        let node = nodes.get_opt(NODE).await?;
        let conditions = node.and_then(|node| node.status?.conditions).unwrap_or_default();
        let ready =
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        // Pods wait for their service account.
        if ready && accounts.get_opt("default").await?.is_some() {
            return Ok(());
        }
        if start.elapsed() > Duration::from_mins(2) {
            bail!("the node is not Ready: {conditions:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
