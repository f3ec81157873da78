//! What wakes a pass: changes of watched objects and signals from outside the API server.

use kube::Resource;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cache::{AnyCache, Cache, Change, Key};
use crate::context::Context;

/// Wishes for passes: some keys, or everything after a subscriber lagged behind.
pub(crate) enum Wish {
    Keys(Vec<Key>),
    All,
}

type Start = Box<dyn FnOnce(&Context, &str, &str, mpsc::UnboundedSender<Wish>) + Send>;

/// The list of what wakes a controller besides its own kind.
#[derive(Default)]
pub struct Wakes(Vec<Start>);

impl std::fmt::Debug for Wakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wakes({})", self.0.len())
    }
}

impl Wakes {
    /// Nothing besides the controller's own kind.
    pub fn new() -> Self {
        Self::default()
    }

    /// A change of an object whose controller is of our kind wakes that owner.
    #[must_use]
    pub fn owned<F: Clone + Send + Sync + 'static>(mut self, cache: &Cache<F>) -> Self {
        let cache = cache.clone();
        self.0.push(Box::new(move |context, group, kind, wishes| {
            let (group, kind) = (group.to_owned(), kind.to_owned());
            follow(context, &cache, wishes, move |change| {
                change
                    .entry()
                    .and_then(|e| e.controller(&group, &kind))
                    .map(|name| Key::new(&*change.key.namespace, name))
                    .into_iter()
                    .collect()
            });
        }));
        self
    }

    /// A change wakes the objects that `keys` names.
    #[must_use]
    pub fn by<F: Clone + Send + Sync + 'static>(
        mut self,
        cache: &Cache<F>,
        keys: impl Fn(&Change<F>) -> Vec<Key> + Send + Sync + 'static,
    ) -> Self {
        let cache = cache.clone();
        self.0.push(Box::new(move |context, _, _, wishes| follow(context, &cache, wishes, keys)));
        self
    }

    /// A change of a Cluster of Cluster API wakes the objects that `keys` names. Clusters may be watched long after
    /// the controller runs; everything is looked at once they are.
    #[must_use]
    pub(crate) fn clusters(
        mut self,
        keys: impl Fn(&Change<bool>) -> Vec<Key> + Send + Sync + 'static,
    ) -> Self {
        self.0.push(Box::new(move |context, _, _, wishes| {
            if let Some(clusters) = context.clusters() {
                return follow(context, &clusters, wishes, keys);
            }
            let late = context.clone();
            context.spawn(async move {
                let mut watched = late.clusters_when_watched();
                let Some(Ok(clusters)) = until(late.stop(), watched.wait_for(Option::is_some))
                    .await
                    .map(|known| known.map(|k| k.clone()))
                else {
                    return;
                };
                let Some(clusters) = clusters else { return };
                follow(&late, &clusters, wishes.clone(), keys);
                let mut synced = clusters.synced();
                if let Some(Ok(_)) = until(late.stop(), synced.wait_for(|yes| *yes)).await {
                    // Nobody listening means that the controller has ended.
                    let _ = wishes.send(Wish::All);
                }
            });
        }));
        self
    }

    /// A signal from outside: a child cluster, a task.
    #[must_use]
    pub fn signal(mut self, mut keys: mpsc::UnboundedReceiver<Key>) -> Self {
        self.0.push(Box::new(move |context, _, _, wishes| {
            let stop = context.stop().clone();
            context.spawn(async move {
                while let Some(key) = until(&stop, keys.recv()).await.flatten() {
                    if wishes.send(Wish::Keys(vec![key])).is_err() {
                        return;
                    }
                }
            });
        }));
        self
    }

    /// Starts following everything; wishes arrive at the receiver.
    pub(crate) fn start<K: Resource<DynamicType = ()>>(
        self,
        context: &Context,
    ) -> mpsc::UnboundedReceiver<Wish> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for start in self.0 {
            start(context, &K::group(&()), &K::kind(&()), sender.clone());
        }
        receiver
    }
}

fn follow<F: Clone + Send + Sync + 'static>(
    context: &Context,
    cache: &Cache<F>,
    wishes: mpsc::UnboundedSender<Wish>,
    keys: impl Fn(&Change<F>) -> Vec<Key> + Send + 'static,
) {
    let mut changes = cache.subscribe();
    let stop = context.stop().clone();
    context.spawn(async move {
        loop {
            let wish = match until(&stop, changes.recv()).await {
                None | Some(Err(broadcast::error::RecvError::Closed)) => return,
                Some(Err(broadcast::error::RecvError::Lagged(_))) => Wish::All,
                Some(Ok(change)) => match keys(&change) {
                    none if none.is_empty() => continue,
                    keys => Wish::Keys(keys),
                },
            };
            if wishes.send(wish).is_err() {
                return;
            }
        }
    });
}

async fn until<T>(stop: &CancellationToken, what: impl Future<Output = T>) -> Option<T> {
    stop.run_until_cancelled(what).await
}
