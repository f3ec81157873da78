//! K0smotronControlPlane beside its `k0smotron.io` Cluster, as Cluster API sees them (hosted.md 15).

use anyhow::{Context as _, Result, ensure};
use api::{K0smotronControlPlane, RemoteCluster};
use cluster_api::{ApiEndpoint, Cluster};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::control_plane::apply;

use crate::lives::{FATES, Life, every_life};
use crate::stage::Stage;

const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";
const CONTROL_PLANE: &str = "controlplane.cluster.x-k8s.io";

/// H-44, H-57, K-18, K-25, K-26: from the first apply to the last finalizer, and the same whenever the manager is
/// killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_k0smotron_control_plane_tells_cluster_api_the_same_whenever_the_manager_is_killed() -> Result<()> {
    let courses = every_life(&Stage::set_with_cluster_api().await?, &FATES[..3], story).await?;
    // One restart for the address, and one for the version; the second pod came between.
    for course in courses {
        course.wrote("delete pods kmc-one-0", 2)?;
        course.wrote("delete pods kmc-one-1", 1)?;
    }
    Ok(())
}

async fn story(life: &mut Life) -> Result<()> {
    apply(&life.stage.admin, &objects(life.stage.namespace())).await?;

    // Contract 1.3: without an owner nothing is written.
    life.rests("no Cluster owns it yet").await?;
    own(&life.stage).await?;
    life.until("the Service", async |stage| {
        Ok(stage.api::<Service>().get_opt("kmc-one-lb").await?.is_some())
    })
    .await?;
    life.rests("there is no address yet").await?;

    // K-25: initialised as soon as the own endpoint serves, and told on both objects.
    balance(&life.stage, "127.0.0.7").await?;
    life.until("the first endpoint", async |stage| serves(stage, "127.0.0.7").await).await?;
    life.rests("initialised").await?;
    let hosted = life.stage.clusters().get("one").await?;
    let network = hosted.spec.k0s_config.map(serde_json::to_value).transpose()?;
    let network = network.context("no network")?["spec"]["network"].clone();
    ensure!(network["podCIDR"] == "10.1.0.0/16" && network["serviceCIDR"] == "10.2.0.0/16", "{network}");

    // K-25, contract 3.2: an endpoint that moves is told as the first one was.
    balance(&life.stage, "127.0.0.8").await?;
    life.until("the second endpoint", async |stage| serves(stage, "127.0.0.8").await).await?;
    life.rests("the address has moved").await?;

    // K-26: `kubectl scale` finds its paths.
    let namespace = life.stage.namespace().to_owned();
    let scale = ["-n", &namespace, "scale", "k0smotroncontrolplane", "cp", "--replicas=2"];
    life.stage.server.kubectl(&scale)?;
    life.until("two replicas", async |stage| runs(stage, 2, "v1.36.3+k0s").await).await?;
    life.rests("scaled").await?;

    // K-18: in the notation of the spec.
    patch(&life.stage, json!({"spec": {"version": "v1.36.4+k0s"}})).await?;
    life.until("another version", async |stage| runs(stage, 2, "v1.36.4+k0s").await).await?;
    life.rests("upgraded").await?;

    // H-57: workers first; then the `k0smotron.io` Cluster; then the finalizer.
    let machine = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
        "metadata": {"name": "worker", "namespace": namespace, "labels": {"cluster.x-k8s.io/cluster-name": "one"}},
        "spec": {
            "clusterName": "one", "bootstrap": {"dataSecretName": "worker"},
            "infrastructureRef": {"apiGroup": INFRASTRUCTURE, "kind": "RemoteMachine", "name": "worker"},
        },
    });
    apply(&life.stage.admin, &[machine]).await?;
    control_planes(&life.stage).delete("cp", &DeleteParams::default()).await?;
    life.until("it waits for its workers", async |stage| {
        let told = control_planes(stage).get("cp").await?.status.unwrap_or_default();
        Ok(told.conditions.iter().any(|one| one.reason == "WaitingForWorkersDeletion"))
    })
    .await?;
    life.rests("waiting for its workers").await?;
    life.stage.server.kubectl(&["-n", &namespace, "delete", "machines.cluster.x-k8s.io", "worker"])?;
    life.until("it is gone", async |stage| Ok(control_planes(stage).get_opt("cp").await?.is_none())).await?;
    ensure!(life.stage.clusters().get_opt("one").await?.is_none(), "gone before its k0smotron.io Cluster");
    life.stage.api::<RemoteCluster>().delete("infra", &DeleteParams::default()).await?;
    Api::<Cluster>::namespaced(life.stage.admin.clone(), &namespace)
        .delete("one", &DeleteParams::default())
        .await?;
    life.leaves(&["Secret | db | /type: \"Opaque\""]).await
}

fn objects(namespace: &str) -> [Value; 4] {
    let meta = |name: &str| json!({"name": name, "namespace": namespace});
    let mut infrastructure = json!({
        "apiVersion": format!("{INFRASTRUCTURE}/v1beta2"), "kind": "RemoteCluster", "metadata": meta("infra"), "spec": {},
    });
    infrastructure["metadata"]["annotations"] = json!({"cluster.x-k8s.io/managed-by": "k0smotron"});
    infrastructure["metadata"]["labels"] = json!({"cluster.x-k8s.io/cluster-name": "one"});
    [
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta("db"),
            "stringData": {"K0SMOTRON_KINE_DATASOURCE_URL": "postgres://a:b@c/d"},
        }),
        infrastructure,
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": meta("one"),
            "spec": {
                "clusterNetwork": {"pods": {"cidrBlocks": ["10.1.0.0/16"]}, "services": {"cidrBlocks": ["10.2.0.0/16"]}},
                "controlPlaneRef": {"apiGroup": CONTROL_PLANE, "kind": "K0smotronControlPlane", "name": "cp"},
                "infrastructureRef": {"apiGroup": INFRASTRUCTURE, "kind": "RemoteCluster", "name": "infra"},
            },
        }),
        json!({
            "apiVersion": format!("{CONTROL_PLANE}/v1beta2"), "kind": "K0smotronControlPlane", "metadata": meta("cp"),
            "spec": {
                "version": "v1.36.3+k0s", "service": {"type": "LoadBalancer"},
                "storage": {"type": "kine", "kine": {"dataSourceSecretName": "db"}},
            },
        }),
    ]
}

fn control_planes(stage: &Stage) -> Api<K0smotronControlPlane> {
    stage.api()
}

async fn patch(stage: &Stage, patch: Value) -> Result<()> {
    control_planes(stage).patch("cp", &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Core's part: the Cluster becomes the owner of what it refers to.
async fn own(stage: &Stage) -> Result<()> {
    let clusters: Api<Cluster> = Api::namespaced(stage.admin.clone(), stage.namespace());
    let uid = clusters.get("one").await?.metadata.uid;
    let owner =
        json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": "one", "uid": uid});
    patch(stage, json!({"metadata": {"ownerReferences": [owner]}})).await
}

/// The load balancer's part. Nobody listens at these addresses, and whoever asks is told so at once.
async fn balance(stage: &Stage, address: &str) -> Result<()> {
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    stage.api::<Service>().patch_status("kmc-one-lb", &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// Initialised and available, with the endpoint on Cluster, infrastructure and in the kubeconfig.
async fn serves(stage: &Stage, host: &str) -> Result<bool> {
    let told = control_planes(stage).get("cp").await?.status.unwrap_or_default();
    let initialised = told.initialization.is_some_and(|done| done.control_plane_initialized == Some(true));
    let available = told.conditions.iter().any(|one| one.type_ == "Available" && one.status == "True");
    let wanted = ApiEndpoint { host: host.to_owned(), port: 30443 };
    let cluster: Cluster = Api::namespaced(stage.admin.clone(), stage.namespace()).get("one").await?;
    let infrastructure = stage.api::<RemoteCluster>().get("infra").await?;
    let provisioned = infrastructure.status.and_then(|status| status.initialization?.provisioned);
    let there = infrastructure.spec.control_plane_endpoint;
    let there = there.map(|endpoint| (endpoint.host.unwrap_or_default(), endpoint.port.unwrap_or_default()));
    let kubeconfig = stage.api::<Secret>().get_opt("one-kubeconfig").await?.and_then(|secret| secret.data);
    let kubeconfig = kubeconfig.map(|data| String::from_utf8_lossy(&data["value"].0).into_owned());
    Ok(initialised
        && available
        && provisioned == Some(true)
        && cluster.endpoint() == Some(&wanted)
        && there == Some((wanted.host.clone(), wanted.port))
        && kubeconfig.is_some_and(|text| text.contains(&format!("https://{wanted}"))))
}

/// All replicas are there, Ready, up to date and of this version, in the words of the contract.
async fn runs(stage: &Stage, replicas: i32, version: &str) -> Result<bool> {
    let told = control_planes(stage).get("cp").await?.status.unwrap_or_default();
    let counts = [told.replicas, told.ready_replicas, told.available_replicas, told.up_to_date_replicas];
    let versions: Vec<_> = told.versions.iter().map(|one| (one.version.as_str(), one.replicas)).collect();
    Ok(counts == [Some(replicas); 4]
        && told.version.as_deref() == Some(version)
        && versions == [(version, replicas)]
        && told.selector.is_some_and(|selector| selector.contains("cluster=one")))
}
