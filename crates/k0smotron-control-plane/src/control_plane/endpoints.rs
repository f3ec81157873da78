//! The endpoint on infrastructure objects of any provider: watched from the first time one is referred to, so
//! that looking at it costs no request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cluster_api::cluster::ApiEndpoint;
use cluster_api::reference::ContractVersionedObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use reconcile::{Cache, Context, Key};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

/// What we look at in an infrastructure object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Infrastructure {
    /// Its endpoint, if it has one.
    pub endpoint: Option<ApiEndpoint>,
    /// Its `status.initialization.provisioned`.
    pub provisioned: bool,
}

/// Caches of infrastructure kinds, made when first asked for.
pub struct Endpoints {
    context: Context,
    /// Which versions of which CRD meet the contract, by CRD name.
    contracts: Cache<Option<String>>,
    kinds: Mutex<HashMap<(String, String), Cache<Infrastructure>>>,
    wake: mpsc::UnboundedSender<(String, String)>,
}

/// A reference with the version and plural that its CRD says.
pub fn resource(reference: &ContractVersionedObjectReference, version: &str) -> ApiResource {
    let gvk = GroupVersionKind::gvk(&reference.api_group, version, &reference.kind);
    // The contract demands this plural (cluster-api-contract 1.1, rule 2).
    ApiResource::from_gvk_with_plural(&gvk, &plural(&reference.kind))
}

fn plural(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

impl Endpoints {
    /// No kind is watched yet. The receiver gets (namespace, cluster name) when an infrastructure object changes.
    pub fn new(context: &Context) -> (Self, mpsc::UnboundedReceiver<(String, String)>) {
        let (wake, woken) = mpsc::unbounded_channel();
        let contracts =
            context.cluster_cache(ApiResource::erase::<CustomResourceDefinition>(&()), "", contract_version);
        (Self { context: context.clone(), contracts, kinds: Mutex::default(), wake }, woken)
    }

    /// The version of a referenced kind that meets our contract; `None` while its CRD is not there.
    pub fn version(&self, reference: &ContractVersionedObjectReference) -> Option<String> {
        let crd = format!("{}.{}", plural(&reference.kind), reference.api_group);
        self.contracts.get(&Key::new("", crd))?.fact.clone()
    }

    /// The cache of a referenced kind.
    pub fn cache(
        &self,
        reference: &ContractVersionedObjectReference,
        version: &str,
    ) -> Cache<Infrastructure> {
        let name = (reference.api_group.clone(), reference.kind.clone());
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.get(&name) {
            return known.clone();
        }
        let cache = self.context.cache(resource(reference, version), "", infrastructure);
        kinds.insert(name, cache.clone());
        let (stop, changes, wake) = (self.context.stop().clone(), cache.subscribe(), self.wake.clone());
        // What came before we subscribed is told by nobody else.
        cache.all().iter().for_each(|entry| wake_cluster(&wake, entry));
        self.context.spawn(tell(stop, changes, wake));
        cache
    }
}

/// Tells of each change by the name of its Cluster.
async fn tell(
    stop: CancellationToken,
    mut changes: broadcast::Receiver<reconcile::Change<Infrastructure>>,
    wake: mpsc::UnboundedSender<(String, String)>,
) {
    while let Some(change) = stop.run_until_cancelled(changes.recv()).await {
        let change = match change {
            Ok(change) => change,
            // What was missed is looked at when the Cluster or the control plane changes next.
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if let Some(entry) = change.after.as_ref() {
            wake_cluster(&wake, entry);
        }
    }
}

fn wake_cluster(wake: &mpsc::UnboundedSender<(String, String)>, entry: &reconcile::Entry<Infrastructure>) {
    if let Some(cluster) = entry.label(cluster_api::names::LABEL_CLUSTER_NAME) {
        // The receiver lives as long as the process.
        let _ = wake.send((entry.key().namespace, cluster.to_owned()));
    }
}

/// Turns (namespace, cluster name) into the control planes to wake.
pub async fn forward(
    stop: CancellationToken,
    mut from: mpsc::UnboundedReceiver<(String, String)>,
    to: mpsc::UnboundedSender<Key>,
    of_cluster: impl Fn(&str, &str) -> Vec<Key> + Send + 'static,
) {
    while let Some(Some((namespace, cluster))) = stop.run_until_cancelled(from.recv()).await {
        for key in of_cluster(&namespace, &cluster) {
            if to.send(key).is_err() {
                return;
            }
        }
    }
}

#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // the shape of a reduction
fn infrastructure(object: DynamicObject) -> anyhow::Result<Infrastructure> {
    let endpoint =
        serde_json::from_value::<ApiEndpoint>(object.data["spec"]["controlPlaneEndpoint"].clone()).ok();
    Ok(Infrastructure {
        endpoint: endpoint.filter(ApiEndpoint::is_set),
        provisioned: object.data["status"]["initialization"]["provisioned"] == true,
    })
}

/// The highest version in the CRD's contract label: v1beta2's, else v1beta1's (cluster-api-contract 1.1, rule 5).
#[allow(clippy::unnecessary_wraps)] // the shape of a reduction
fn contract_version(crd: DynamicObject) -> anyhow::Result<Option<String>> {
    let labels = crd.metadata.labels.unwrap_or_default();
    let listed =
        ["cluster.x-k8s.io/v1beta2", "cluster.x-k8s.io/v1beta1"].iter().find_map(|key| labels.get(*key));
    Ok(listed.and_then(|versions| versions.split('_').max()).map(ToOwned::to_owned))
}
