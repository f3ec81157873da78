//! When what was there, in seconds since the first object was asked for.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::HostedCluster;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::bed::NAMESPACE;
use super::probe;
use crate::scale::Storage;

/// Many times what it takes; a busy machine of two cores needs a minute.
const PATIENCE: Duration = Duration::from_mins(5);

/// Of one control plane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// Its last StatefulSet was there.
    pub objects: f64,
    /// The kubelet said that its container runs.
    pub runs: f64,
    /// `/readyz` answered 200.
    pub answers: f64,
    /// Its pod was Ready.
    pub ready: f64,
    /// The condition was True; 0 by hand, where there is none.
    pub available: f64,
}

/// Follows a control plane by watches, and by asking it as soon as its address and authority are known.
pub async fn follow(
    client: &Client,
    name: &str,
    storage: Storage,
    hosted: bool,
    start: Instant,
) -> Result<Moments> {
    let pod = format!("kmc-{name}-0");
    let runs =
        until::<Pod>(client, start, "a running container", |seen| seen.name_any() == pod && is_running(seen));
    let ready = until::<Pod>(client, start, "a Ready pod", |seen| seen.name_any() == pod && is_ready(seen));
    let answers = async {
        probe::until_ready(client, name).await?;
        anyhow::Ok(start.elapsed().as_secs_f64())
    };
    let available = async {
        if !hosted {
            return Ok(0.0);
        }
        until::<HostedCluster>(client, start, "the condition Available", |seen| {
            seen.name_any() == name && is_available(seen)
        })
        .await
    };
    let all =
        async { tokio::try_join!(objects(client, name, storage, start), runs, answers, ready, available) };
    let all = tokio::time::timeout(PATIENCE, all).await;
    let (objects, runs, answers, ready, available) =
        all.with_context(|| format!("{name}: not ready after {PATIENCE:?}"))??;
    Ok(Moments { objects, runs, answers, ready, available })
}

/// Seconds until its StatefulSets are there: the last of its objects.
pub async fn objects(client: &Client, name: &str, storage: Storage, start: Instant) -> Result<f64> {
    let mut wanted = vec![format!("kmc-{name}")];
    if storage == Storage::Etcd {
        wanted.push(format!("kmc-{name}-etcd"));
    }
    until::<StatefulSet>(client, start, "the StatefulSets", |set| {
        wanted.retain(|name| *name != set.name_any());
        wanted.is_empty()
    })
    .await
}

/// Seconds until an object of the namespace is as wanted.
async fn until<K>(
    client: &Client,
    start: Instant,
    what: &str,
    mut wanted: impl FnMut(&K) -> bool,
) -> Result<f64>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Send
        + DeserializeOwned
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    loop {
        let event = events.try_next().await.with_context(|| format!("wait for {what}"))?;
        let (Event::Apply(object) | Event::InitApply(object)) = event.context("the watch ended")? else {
            continue;
        };
        if wanted(&object) {
            return Ok(start.elapsed().as_secs_f64());
        }
    }
}

fn is_running(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers
        .into_iter()
        .any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_available(cluster: &HostedCluster) -> bool {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Available" && condition.status == "True")
}
