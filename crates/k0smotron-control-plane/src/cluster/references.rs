//! Secrets that users name and that carry no label of ours: one metadata-only watch for all of them, which keeps
//! nothing but whom to wake (hosted.md H-21). It begins with the first such name.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use reconcile::{Context, Key};
use tokio::sync::mpsc;

/// Who refers to what.
#[derive(Clone)]
pub struct References(Arc<Inner>);

struct Inner {
    context: Context,
    /// Secret (namespace, name) to the clusters that name it, and back.
    named: Mutex<HashMap<Key, HashSet<Key>>>,
    wake: mpsc::UnboundedSender<Key>,
    watching: AtomicBool,
}

impl References {
    /// No references yet; the receiver gets the clusters whose Secrets changed.
    pub fn new(context: &Context) -> (Self, mpsc::UnboundedReceiver<Key>) {
        let (wake, woken) = mpsc::unbounded_channel();
        let inner = Inner {
            context: context.clone(),
            named: Mutex::default(),
            wake,
            watching: AtomicBool::new(false),
        };
        (Self(Arc::new(inner)), woken)
    }

    /// The Secrets that a cluster names, all of them.
    pub fn follow(&self, cluster: &Key, secrets: Vec<String>) {
        let any = !secrets.is_empty();
        {
            let mut named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
            named.values_mut().for_each(|clusters| {
                clusters.remove(cluster);
            });
            for secret in secrets {
                named.entry(Key::new(&*cluster.namespace, secret)).or_default().insert(cluster.clone());
            }
            named.retain(|_, clusters| !clusters.is_empty());
        }
        if any && !self.0.watching.swap(true, Ordering::SeqCst) {
            self.0.context.spawn(self.clone().watch());
        }
    }

    /// A cluster is gone.
    pub fn forget(&self, cluster: &Key) {
        self.follow(cluster, Vec::new());
    }

    async fn watch(self) {
        let client = self.0.context.client().clone();
        let namespaces = &self.0.context.scope().namespaces;
        let apis: Vec<Api<PartialObjectMeta<Secret>>> = if namespaces.is_empty() {
            vec![Api::all(client)]
        } else {
            namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
        };
        let streams =
            apis.into_iter().map(|api| watcher(api, watcher::Config::default()).default_backoff().boxed());
        let mut events = futures::stream::select_all(streams);
        let stop = self.0.context.stop().clone();
        while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
            match event {
                Ok(watcher::Event::Apply(secret) | watcher::Event::Delete(secret)) => {
                    self.changed(&Key::new(secret.namespace().unwrap_or_default(), secret.name_any()));
                }
                // A list names everything; whoever refers to it has read it already, or reads it in its next pass.
                Ok(watcher::Event::InitApply(_) | watcher::Event::Init) => {}
                Ok(watcher::Event::InitDone) => self.all_changed(),
                Err(error) => tracing::warn!(%error, "watch of Secrets that users name failed, retrying"),
            }
        }
    }

    fn changed(&self, secret: &Key) {
        let named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
        for cluster in named.get(secret).into_iter().flatten() {
            // The receiver lives as long as the controller.
            let _ = self.0.wake.send(cluster.clone());
        }
    }

    fn all_changed(&self) {
        let named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
        for cluster in named.values().flatten().collect::<HashSet<_>>() {
            let _ = self.0.wake.send(cluster.clone());
        }
    }
}
