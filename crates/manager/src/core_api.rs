//! Whether Cluster API is there: some kinds need it, and start when it appears (packaging-and-api 2.1).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject};
use reconcile::{Cache, Context, Key};

/// The version of the contract that we speak.
const VERSION: &str = "v1beta2";
const CLUSTERS: &str = "clusters.cluster.x-k8s.io";

/// A watch for the CRD of Cluster API's Cluster.
pub struct CoreApi {
    crds: Cache<Vec<String>>,
}

impl CoreApi {
    /// Starts the watch.
    pub fn watch(context: &Context) -> Self {
        let crds = ApiResource::erase::<CustomResourceDefinition>(&());
        Self { crds: context.cluster_cache(crds, "", served_versions) }
    }

    /// It is there now.
    pub fn present(&self) -> bool {
        self.crds
            .get(&Key::new("", CLUSTERS))
            .is_some_and(|crd| crd.fact.iter().any(|version| version == VERSION))
    }

    /// Waits until it is there.
    pub async fn appeared(&self) {
        let mut changes = self.crds.subscribe();
        while !self.present() {
            // Lagging behind is fine: what counts is asked of the cache.
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    }
}

#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
fn served_versions(crd: DynamicObject) -> anyhow::Result<Vec<String>> {
    let versions = crd.data["spec"]["versions"].as_array().cloned().unwrap_or_default();
    let served = versions.iter().filter(|version| version["served"] == true);
    Ok(served.filter_map(|version| version["name"].as_str().map(ToOwned::to_owned)).collect())
}
