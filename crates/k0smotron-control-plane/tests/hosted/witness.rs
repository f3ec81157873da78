//! What was ever seen in a namespace, however briefly: each pod and claim by name, each content of an authority.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::stage::Stage;

type Seen = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

pub struct Witness {
    seen: Seen,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Witness {
    pub fn of(stage: &Stage, cluster: &str) -> Self {
        let seen = Seen::default();
        let authorities = ["ca", "proxy", "sa", "etcd"].map(|suffix| format!("{cluster}-{suffix}"));
        let tasks = vec![
            watch(stage.api::<Pod>(), &seen, |pod| {
                let revision = pod.labels().get("controller-revision-hash")?;
                let image = pod.spec.as_ref()?.containers.first()?.image.as_ref()?;
                let made = pod.creation_timestamp()?.0;
                Some((format!("Pod {}", pod.name_any()), format!("{made} {revision} {image} {}", pod.uid()?)))
            }),
            watch(stage.api::<PersistentVolumeClaim>(), &seen, |claim| {
                Some((format!("PersistentVolumeClaim {}", claim.name_any()), claim.uid()?))
            }),
            watch(stage.api::<Secret>(), &seen, move |secret| {
                let name = secret.name_any();
                let content = hex::encode(Sha256::digest(serde_json::to_string(&secret.data).ok()?));
                authorities.contains(&name).then_some((format!("Secret {name}"), content))
            }),
        ];
        Self { seen, tasks }
    }

    /// The objects, or contents of an authority, that there were of each name.
    pub fn told(&self) -> BTreeMap<String, BTreeSet<String>> {
        lock(&self.seen).clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn watch<K>(
    api: Api<K>,
    seen: &Seen,
    note: impl Fn(&K) -> Option<(String, String)> + Send + 'static,
) -> tokio::task::JoinHandle<()>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let seen = seen.clone();
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()));
        while let Some(event) = events.next().await {
            if let Ok(Event::Apply(object) | Event::InitApply(object)) = event
                && let Some((name, what)) = note(&object)
            {
                lock(&seen).entry(name).or_default().insert(what);
            }
        }
    })
}

fn lock(seen: &Seen) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
