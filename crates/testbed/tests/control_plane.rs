//! A control plane starts, tells who asked what, and leaves nothing behind.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use testbed::control_plane::ControlPlaneOptions;
use testbed::{ControlPlaneOnly, cluster_api};

fn config_map(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map
}

fn alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn it_starts_serves_each_user_by_its_rights_and_leaves_no_process() -> Result<()> {
    let bed = ControlPlaneOnly::start().await?;
    let (pids, dir) = (bed.pids(), bed.dir().to_owned());
    let maps: Api<ConfigMap> = Api::default_namespaced(bed.client().await?);
    maps.create(&PostParams::default(), &config_map("one")).await?;

    let nobody: Api<ConfigMap> = Api::default_namespaced(bed.client_as("story", &["a", "b"]).await?);
    let refused = nobody.get("one").await.expect_err("a user without roles may read nothing");
    assert!(refused.to_string().contains("\"story\""), "{refused}");

    let audit = bed.audit()?;
    let created: Vec<_> =
        audit.iter().filter(|entry| entry.verb == "create" && entry.name == "one").collect();
    assert_eq!(created.len(), 1, "{created:?}");
    assert_eq!((created[0].user.as_str(), created[0].code), ("testbed-admin", 201));
    assert!(audit.iter().any(|entry| entry.user == "story" && entry.code == 403 && !entry.is_write()));

    assert!(pids.iter().all(|&pid| alive(pid)));
    drop(bed);
    assert!(!pids.iter().any(|&pid| alive(pid)), "processes are left");
    assert!(!dir.exists(), "{} is left", dir.display());
    Ok(())
}

#[tokio::test]
async fn it_keeps_its_data_over_a_restart_of_the_api_server() -> Result<()> {
    let mut bed = ControlPlaneOnly::start().await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(bed.client().await?);
    maps.create(&PostParams::default(), &config_map("kept")).await?;
    bed.restart_apiserver().await?;
    maps.get("kept").await?;
    Ok(())
}

#[tokio::test]
async fn its_controller_manager_removes_a_namespace_with_its_content() -> Result<()> {
    let bed =
        ControlPlaneOnly::start_with(ControlPlaneOptions { controller_manager: true, ..Default::default() })
            .await?;
    let client = bed.client().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("short-lived".to_owned());
    namespaces.create(&PostParams::default(), &namespace).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client, "short-lived");
    maps.create(&PostParams::default(), &config_map("one")).await?;
    namespaces.delete("short-lived", &DeleteParams::default()).await?;
    tokio::time::timeout(Duration::from_mins(1), async {
        while namespaces.get_opt("short-lived").await?.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok::<_, kube::Error>(())
    })
    .await??;
    Ok(())
}

#[tokio::test]
async fn cluster_apis_kinds_are_served_without_its_webhooks() -> Result<()> {
    let bed = ControlPlaneOnly::start().await?;
    bed.apply_crds(&cluster_api::crds()?).await?;
    let applied =
        bed.kubectl(&["get", "clusters.v1beta2.cluster.x-k8s.io,machines.v1beta2.cluster.x-k8s.io", "-A"])?;
    assert_eq!(applied, "", "nothing but served");
    let crds: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(bed.client().await?);
    assert!(crds.list(&ListParams::default()).await?.items.len() > 10);
    Ok(())
}
