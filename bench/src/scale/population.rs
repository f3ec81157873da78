//! The measured clusters: made all at once, waited for, deleted all at once.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api::HostedCluster;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::Storage;
use crate::simulated::Place;
use crate::stage::{NAMESPACE, PROBE_NAMESPACE};

/// Requests at once: as fast as the API server takes them.
const AT_ONCE: usize = 20;
/// A start, and what a cluster takes on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);
const PATIENCE_EACH: Duration = Duration::from_secs(4);

/// The clusters of one run.
pub struct Population {
    client: Client,
    count: usize,
    storage: Storage,
    version: String,
}

/// Seconds until the clusters were Available.
pub struct Created {
    /// All of them, from the first create.
    pub all: f64,
    /// Each, from its own create.
    pub each: Vec<f64>,
}

impl Population {
    /// None exists yet.
    pub fn new(client: &Client, count: usize, storage: Storage, version: &str) -> Self {
        Self { client: client.clone(), count, storage, version: version.to_owned() }
    }

    fn api(&self, namespace: &str) -> Api<HostedCluster> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Where they will be, and the probe.
    pub fn places(&self) -> Vec<Place> {
        (0..self.count).map(place).chain([probe()]).collect()
    }

    fn cluster(&self, place: &Place) -> Result<HostedCluster> {
        Ok(serde_json::from_value(json!({
            "metadata": {"name": place.name, "namespace": place.namespace},
            "spec": {
                "externalAddress": place.address,
                "version": self.version,
                "storage": {"type": self.storage.name()},
                "service": {"type": "ClusterIP"},
            },
        }))?)
    }

    fn patience(&self) -> Duration {
        PATIENCE + PATIENCE_EACH * u32::try_from(self.count).unwrap_or(u32::MAX)
    }

    /// Makes all of them and waits until each is Available.
    pub async fn create(&self) -> Result<Created> {
        let start = Instant::now();
        let api = self.api(NAMESPACE);
        let making = stream::iter(0..self.count)
            .map(|number| {
                let api = api.clone();
                async move {
                    let place = place(number);
                    let at = Instant::now();
                    api.create(&PostParams::default(), &self.cluster(&place)?).await?;
                    anyhow::Ok((place.name, at))
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<HashMap<String, Instant>>();
        let seeing = tokio::time::timeout(self.patience(), self.available(&api));
        let (made, seen) = tokio::join!(making, seeing);
        let (made, seen) =
            (made?, seen.with_context(|| format!("not Available after {:?}", self.patience()))??);
        let since = |(name, at): (&String, &Instant)| Some((*at - *made.get(name)?).as_secs_f64());
        let last = seen.values().max().context("no clusters")?;
        Ok(Created { all: (*last - start).as_secs_f64(), each: seen.iter().filter_map(since).collect() })
    }

    /// When each was first seen Available.
    async fn available(&self, api: &Api<HostedCluster>) -> Result<HashMap<String, Instant>> {
        let mut seen = HashMap::new();
        let mut events = watcher::watcher(api.clone(), watcher::Config::default()).boxed();
        while seen.len() < self.count {
            let event = events.try_next().await?.context("the watch ended")?;
            let (Event::Apply(cluster) | Event::InitApply(cluster)) = event else { continue };
            if is_available(&cluster) {
                seen.entry(cluster.name_any()).or_insert_with(Instant::now);
            }
        }
        Ok(seen)
    }

    /// Makes one more, elsewhere; seconds until the manager's finalizer is on it.
    pub async fn probe(&self) -> Result<f64> {
        let api = self.api(PROBE_NAMESPACE);
        let start = Instant::now();
        let named = watcher::Config::default().fields("metadata.name=probe");
        let mut events = watcher::watcher(api.clone(), named).boxed();
        api.create(&PostParams::default(), &self.cluster(&probe())?).await?;
        let seen = async {
            loop {
                let event = events.try_next().await?.context("the watch ended")?;
                let (Event::Apply(cluster) | Event::InitApply(cluster)) = event else { continue };
                if !cluster.finalizers().is_empty() {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.context("the probe has no finalizer")??;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Deletes all of them; seconds until all are gone.
    pub async fn delete(&self) -> Result<f64> {
        let start = Instant::now();
        let api = self.api(NAMESPACE);
        let background = DeleteParams::background();
        api.delete_collection(&background, &ListParams::default()).await?;
        while !api.list_metadata(&ListParams::default()).await?.items.is_empty() {
            if start.elapsed() > self.patience() {
                bail!("not deleted after {:?}", self.patience());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

fn place(number: usize) -> Place {
    let [.., high, low] = number.to_be_bytes();
    let address = Ipv4Addr::new(127, 1, high, low);
    Place { namespace: NAMESPACE, name: format!("c{number:04}"), address }
}

fn probe() -> Place {
    Place { namespace: PROBE_NAMESPACE, name: "probe".to_owned(), address: Ipv4Addr::new(127, 2, 0, 1) }
}

fn is_available(cluster: &HostedCluster) -> bool {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Available" && condition.status == "True")
}
