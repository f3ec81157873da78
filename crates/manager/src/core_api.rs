//! Whether Cluster API is there: some kinds need it, and start when it appears (packaging-and-api 2.1, P-19).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject};
use reconcile::{Cache, Context, Key};

/// The version of the contract that we speak.
const VERSION: &str = "v1beta2";
/// What our controllers watch of it. Its definitions arrive one after the other.
const NEEDED: [&str; 3] =
    ["clusters.cluster.x-k8s.io", "machines.cluster.x-k8s.io", "machinepools.cluster.x-k8s.io"];

/// A watch for the definitions of Cluster API's kinds.
pub struct CoreApi {
    crds: Cache<Vec<String>>,
}

impl CoreApi {
    /// Starts the watch.
    pub fn watch(context: &Context) -> Self {
        let crds = ApiResource::erase::<CustomResourceDefinition>(&());
        Self { crds: context.cluster_cache(crds, "", served_versions) }
    }

    /// What of it is not served yet.
    pub fn missing(&self) -> Vec<&'static str> {
        let served = |name: &&'static str| {
            let crd = self.crds.get(&Key::new("", *name));
            crd.is_some_and(|crd| crd.fact.iter().any(|version| version == VERSION))
        };
        NEEDED.into_iter().filter(|name| !served(name)).collect()
    }

    /// Waits until all of it is there.
    pub async fn appeared(&self) {
        let mut changes = self.crds.subscribe();
        while !self.missing().is_empty() {
            // Lagging behind is fine: what counts is asked of the cache.
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    }
}

/// Versions that can be asked for now; none before the API server has established the kind.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
fn served_versions(crd: DynamicObject) -> anyhow::Result<Vec<String>> {
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let established = list(&crd.data["status"]["conditions"])
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if !established {
        return Ok(Vec::new());
    }
    let versions = list(&crd.data["spec"]["versions"]);
    let served = versions.iter().filter(|version| version["served"] == true);
    Ok(served.filter_map(|version| version["name"].as_str().map(ToOwned::to_owned)).collect())
}
