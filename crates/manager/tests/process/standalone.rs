//! The standalone bundle: installed by a plain apply, at work without Cluster API (P-9, P-14, 3.1).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, ResourceExt};
use manager::bundle::Bundle;
use serde_json::{Value, json};
use testbed::control_plane::ControlPlaneOptions;

use crate::bed::{Bed, account, eventually};

/// What `kubectl apply --server-side` does with the file; names and versions of what is stored.
async fn apply_file(bed: &Bed) -> Result<BTreeMap<String, String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clusterctl").join(Bundle::Standalone.file());
    let mut stored = BTreeMap::new();
    for object in testbed::yaml::read(&file)? {
        let object: DynamicObject = serde_json::from_value(object)?;
        let types = object.types.clone().context("no kind")?;
        let kind = GroupVersionKind::try_from(&types)?;
        let (resource, capabilities): (ApiResource, _) = pinned_kind(&bed.admin, &kind).await?;
        let api: Api<DynamicObject> = match (capabilities.scope, object.namespace()) {
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(bed.admin.clone(), &namespace, &resource)
            }
            _ => Api::all_with(bed.admin.clone(), &resource),
        };
        // Strict: a field that the API server does not know is refused, not dropped.
        let how = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("kubectl")
        };
        let written = api
            .patch(&object.name_any(), &how, &Patch::Apply(&object))
            .await
            .with_context(|| format!("{} {}", types.kind, object.name_any()))?;
        stored.insert(
            format!("{} {}", types.kind, object.name_any()),
            written.resource_version().unwrap_or_default(),
        );
    }
    Ok(stored)
}

async fn until_established(bed: &Bed) -> Result<()> {
    eventually("our kinds are served", || async {
        let hosted = bed.hosted("default").list(&kube::api::ListParams::default()).await;
        let requests = bed.api("k0smotron.io/v1beta2", "JoinTokenRequest", "jointokenrequests", "default");
        Ok(hosted.is_ok() && requests.list(&kube::api::ListParams::default()).await.is_ok())
    })
    .await
}

async fn exists(bed: &Bed, kind: (&str, &str, &str), name: &str) -> Result<bool> {
    let (version, kind, plural) = kind;
    Ok(bed.api(version, kind, plural, "alone").get_opt(name).await?.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standalone_file_is_accepted_whole_and_a_second_apply_changes_nothing() -> Result<()> {
    let bed = Bed::bare(ControlPlaneOptions::default()).await?;
    let first = apply_file(&bed).await?;
    until_established(&bed).await?;
    let settled = apply_file(&bed).await?;
    let again = apply_file(&bed).await?;
    assert_eq!(settled, again);
    // Definitions get their conditions from the API server after the first apply; nothing else changes by itself.
    let others = |all: &BTreeMap<String, String>| {
        let others = all.iter().filter(|(name, _)| !name.starts_with("CustomResourceDefinition"));
        others.map(|(name, version)| (name.clone(), version.clone())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(others(&first), others(&again));
    println!("{} objects", again.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_14_a_hosted_cluster_comes_and_goes_with_the_rights_of_the_standalone_bundle_alone() -> Result<()> {
    let options = ControlPlaneOptions { controller_manager: true, ..ControlPlaneOptions::default() };
    let bed = Bed::bare(options).await?;
    apply_file(&bed).await?;
    until_established(&bed).await?;
    // Somebody else's Cluster API beside it is none of its business.
    bed.install_cluster_api().await?;
    let user = account(Bundle::Standalone);
    let manager = bed.manager("alone", Bundle::Standalone, &["--leader-elect", "--insecure-diagnostics"])?;
    manager.until_ready().await?;

    bed.namespace("alone").await?;
    bed.make_hosted("alone", "a", json!({})).await?;
    for (kind, name) in [
        (("v1", "Service", "services"), "kmc-a"),
        (("v1", "Secret", "secrets"), "a-ca"),
        (("v1", "ConfigMap", "configmaps"), "kmc-a-config"),
        (("apps/v1", "StatefulSet", "statefulsets"), "kmc-a"),
        (("v1", "Pod", "pods"), "kmc-a-0"),
    ] {
        eventually(&format!("{} {name}", kind.1), || exists(&bed, kind, name)).await?;
    }
    let told = || async { bed.condition(&bed.hosted("alone"), "a", "Available").await };
    eventually("it tells what it waits for", || async {
        Ok(told().await?.is_some_and(|(status, _, words)| status == "False" && !words.is_empty()))
    })
    .await?;
    println!("Available: {:?}", told().await?);
    bed.apply(json!({
        "apiVersion": "k0smotron.io/v1beta2", "kind": "JoinTokenRequest",
        "metadata": {"name": "token", "namespace": "alone"}, "spec": {"clusterName": "a", "role": "worker"},
    }))
    .await?;
    let requests = bed.api("k0smotron.io/v1beta2", "JoinTokenRequest", "jointokenrequests", "alone");
    eventually("the request is answered", || async {
        let object = requests.get("token").await?;
        Ok(object.data["status"]["conditions"].as_array().is_some_and(|all: &Vec<Value>| !all.is_empty()))
    })
    .await?;

    for api in [&requests, &bed.hosted("alone")] {
        for object in api.list(&kube::api::ListParams::default()).await? {
            api.delete(&object.name_any(), &kube::api::DeleteParams::default()).await?;
        }
    }
    // Nobody runs pods here, so nobody ends them.
    let pods = bed.api("v1", "Pod", "pods", "alone");
    eventually("the hosted cluster is gone", || async {
        if pods.get_opt("kmc-a-0").await?.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some()) {
            let now = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
            let _ = pods.delete("kmc-a-0", &now).await;
        }
        Ok(bed.hosted("alone").get_opt("a").await?.is_none())
    })
    .await?;
    assert_eq!(bed.forbidden(&user)?, Vec::<String>::new());
    let core =
        bed.server.audit()?.into_iter().filter(|e| e.user == user && e.group == "cluster.x-k8s.io").count();
    assert_eq!(core, 0, "it asks nothing of Cluster API");
    Ok(())
}
