//! A control plane made by the manager.

use std::time::{Duration, Instant};

use anyhow::Result;
use api::HostedCluster;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::bed::{Bed, NAMESPACE};
use super::by_hand::{self, Frozen};
use super::moments::{self, Moments};
use crate::requests::Requests;
use crate::scale::Storage;

/// After Available the manager writes what nothing depends on; that counts as well.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// The name of the one whose objects are frozen.
const FIRST: &str = "frozen";

/// What is made.
pub struct Spec {
    /// Its storage.
    pub storage: Storage,
    /// Its version.
    pub version: String,
}

/// What was seen of one.
pub struct Seen {
    /// When what was there.
    pub moments: Moments,
    /// What the manager asked.
    pub requests: Requests,
}

/// Makes one, waits until it is Available, and removes it.
pub async fn run(bed: &Bed, spec: &Spec, name: &str) -> Result<Seen> {
    let before = bed.asked()?.len();
    let start = Instant::now();
    create(bed, spec, name).await?;
    let moments = moments::follow(&bed.admin, name, spec.storage, true, start).await?;
    tokio::time::sleep(AFTERWARDS).await;
    let requests = Requests::of(bed.asked()?.iter().skip(before));
    delete(bed, name).await?;
    Ok(Seen { moments, requests })
}

/// The first one, and its objects as they were when the last of them had been made.
pub async fn first(bed: &Bed, spec: &Spec) -> Result<(Moments, Frozen)> {
    let start = Instant::now();
    create(bed, spec, FIRST).await?;
    let frozen = async {
        moments::objects(&bed.admin, FIRST, spec.storage, start).await?;
        Frozen::of(bed, FIRST, spec.storage)
    };
    let followed = moments::follow(&bed.admin, FIRST, spec.storage, true, start);
    let (frozen, moments) = tokio::try_join!(frozen, followed)?;
    delete(bed, FIRST).await?;
    Ok((moments, frozen))
}

async fn create(bed: &Bed, spec: &Spec, name: &str) -> Result<()> {
    let api: Api<HostedCluster> = Api::namespaced(bed.admin.clone(), NAMESPACE);
    let cluster: HostedCluster = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "version": spec.version, "storage": {"type": spec.storage.name()}, "service": {"type": "ClusterIP"},
        },
    }))?;
    api.create(&PostParams::default(), &cluster).await?;
    Ok(())
}

async fn delete(bed: &Bed, name: &str) -> Result<()> {
    bed.kubectl(&["delete", "clusters.k0smotron.io", name, "--timeout=120s"])?;
    by_hand::remove(bed, name).await
}
