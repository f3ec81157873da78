//! Every read of a pass.

use api::hosted::{
    HostedClusterStatus, HostedControlPlaneSpec, K0smotronControlPlane, K0smotronControlPlaneStatus,
};
use cluster_api::cluster::{ApiEndpoint, ClusterNetwork};
use cluster_api::names::{ANNOTATION_MANAGED_BY, LABEL_CLUSTER_NAME, LABEL_WATCH_FILTER};
use cluster_api::reference::ContractVersionedObjectReference;
use kube::ResourceExt;
use reconcile::{Controller, Pass};
use serde::{Deserialize, Serialize};

use super::endpoints::Infrastructure;
use super::{ControlPlanes, KIND};

/// On a K0smotronControlPlane: delete it although workers of its Cluster exist (H-57).
const DELETE_WITHOUT_WORKERS: &str = "k0smotron.io/delete-without-workers";

/// The facts of a pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// The K0smotronControlPlane.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: Option<i64>,
    /// Its value of the watch-filter label.
    pub watch_filter: Option<String>,
    /// It carries our finalizer.
    pub held: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// Its user wants it gone even while workers exist.
    pub delete_without_workers: bool,
    /// What is wanted.
    pub spec: HostedControlPlaneSpec,
    /// What was told last: `initialized` is sticky.
    pub status: K0smotronControlPlaneStatus,
    /// The owning Cluster.
    pub cluster: Option<ClusterFacts>,
    /// Worker Machines and MachinePools of the Cluster.
    pub workers: usize,
    /// The `k0smotron.io` Cluster of the Cluster's name.
    pub hosted: Option<HostedFacts>,
}

/// The owning Cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterFacts {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// It is there: an owner reference may outlive its owner.
    pub exists: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// Its network.
    pub network: Option<ClusterNetwork>,
    /// Its endpoint, if set.
    pub endpoint: Option<ApiEndpoint>,
    /// Its infrastructure object.
    pub infrastructure: Option<InfrastructureFacts>,
}

/// The infrastructure object of the Cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InfrastructureFacts {
    /// Group, kind and name.
    pub reference: ContractVersionedObjectReference,
    /// The version of it that meets the contract.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Annotated as managed by us: nobody else says that it is provisioned.
    pub managed_by_us: bool,
    /// What is in it.
    pub facts: Infrastructure,
}

/// The `k0smotron.io` Cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostedFacts {
    /// Its uid.
    pub uid: String,
    /// It is being deleted.
    pub deleting: bool,
    /// This K0smotronControlPlane is among its owners.
    pub ours: bool,
    /// What it observed.
    pub status: HostedClusterStatus,
}

pub(super) async fn observe(
    it: &ControlPlanes,
    pass: &Pass<K0smotronControlPlane>,
) -> anyhow::Result<Observed> {
    let object = &*pass.object;
    let cluster = cluster(it, pass).await?;
    let mut workers = 0;
    let mut hosted = None;
    if let Some(cluster) = &cluster {
        let labels = [(LABEL_CLUSTER_NAME, cluster.name.as_str())];
        workers +=
            pass.list_here(&it.machines, &labels).await?.iter().filter(|machine| !machine.fact).count();
        workers += pass.list_here(&it.machine_pools, &labels).await?.len();
        hosted = pass.get_here(&it.hosted, &cluster.name).await?.map(|entry| HostedFacts {
            uid: entry.uid().to_owned(),
            deleting: entry.deleting(),
            ours: entry
                .meta
                .owner_references
                .iter()
                .flatten()
                .any(|o| o.kind == KIND && o.name == object.name_any()),
            status: entry.fact.status.clone().unwrap_or_default(),
        });
    }
    let finalizer = <ControlPlanes as Controller>::FINALIZER.unwrap_or_default();
    Ok(Observed {
        namespace: pass.key.namespace.clone(),
        name: pass.key.name.clone(),
        uid: object.uid().unwrap_or_default(),
        generation: object.metadata.generation,
        watch_filter: object.labels().get(LABEL_WATCH_FILTER).cloned(),
        held: object.finalizers().iter().any(|one| one == finalizer),
        deleting: object.metadata.deletion_timestamp.is_some(),
        delete_without_workers: object
            .annotations()
            .get(DELETE_WITHOUT_WORKERS)
            .is_some_and(|value| value == "true"),
        spec: object.spec.clone(),
        status: object.status.clone().unwrap_or_default(),
        cluster,
        workers,
        hosted,
    })
}

async fn cluster(
    it: &ControlPlanes,
    pass: &Pass<K0smotronControlPlane>,
) -> anyhow::Result<Option<ClusterFacts>> {
    let Some(owner) = cluster_api::cluster_owner(&pass.object.metadata) else { return Ok(None) };
    let Some(entry) = pass.get_here(&it.clusters, owner.name).await? else {
        let facts = ClusterFacts {
            name: owner.name.to_owned(),
            uid: owner.uid.to_owned(),
            ..ClusterFacts::default()
        };
        return Ok(Some(facts));
    };
    let spec = &entry.fact.spec;
    let infrastructure = match &spec.infrastructure_ref {
        Some(reference) => infrastructure(it, pass, reference).await?,
        None => None,
    };
    Ok(Some(ClusterFacts {
        name: entry.name().to_owned(),
        uid: entry.uid().to_owned(),
        exists: true,
        deleting: entry.deleting(),
        network: spec.cluster_network.clone(),
        endpoint: entry.fact.endpoint().cloned(),
        infrastructure,
    }))
}

async fn infrastructure(
    it: &ControlPlanes,
    pass: &Pass<K0smotronControlPlane>,
    reference: &ContractVersionedObjectReference,
) -> anyhow::Result<Option<InfrastructureFacts>> {
    let Some(version) = it.endpoints.version(reference) else { return Ok(None) };
    let cache = it.endpoints.cache(reference, &version);
    let found = pass.get_here(&cache, &reference.name).await?;
    Ok(found.map(|entry| InfrastructureFacts {
        reference: reference.clone(),
        version,
        uid: entry.uid().to_owned(),
        managed_by_us: entry.annotation(ANNOTATION_MANAGED_BY) == Some("k0smotron"),
        facts: entry.fact.clone(),
    }))
}
