//! What a person sees at the end.

use std::path::Path;

use anyhow::Result;
use testbed::Cluster;

use crate::demo::{Demo, kubectl};

/// The cluster's objects, machines and nodes.
pub fn of(demo: &Demo, cluster: &Cluster, kubeconfig: &Path) -> Result<String> {
    let Demo { name, namespace } = demo;
    let ours = cluster.kubectl(&[
        "get",
        "-n",
        namespace,
        "cluster,k0smotroncontrolplane,kmc,machine,k0sworkerconfig,remotemachine,remotecluster",
    ])?;
    let tree = testbed::cluster_api::clusterctl(cluster, &["describe", "cluster", name, "-n", namespace])?;
    let nodes = kubectl(kubeconfig, &["get", "nodes", "-o", "wide"])?;
    Ok(format!("\n{ours}\n{tree}\nNodes of cluster {name}:\n{nodes}"))
}
