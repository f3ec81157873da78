//! Watch caches: one watch per kind, shared by all controllers, keeping only what somebody reads.
//!
//! An entry is the object's metadata (without managed fields), the digest of what *our* field manager owns
//! in it ([`crate::owned`]), and a fact: the part of the body that its readers want.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::owned::{Digest, Part, digest_of_owner};

/// Namespace and name. The namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of<K: ResourceExt>(object: &K) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What a cache keeps of one object.
#[derive(Clone, Debug)]
pub struct Entry<F> {
    /// Its metadata, without managed fields.
    pub meta: ObjectMeta,
    /// What our field manager owns in it, if anything.
    pub ours: Option<Digest>,
    /// The same of its status.
    pub our_status: Option<Digest>,
    /// The part of the body that readers want.
    pub fact: F,
}

impl<F> Entry<F> {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key::new(self.meta.namespace.clone().unwrap_or_default(), self.name())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.meta.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.meta.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// It is being deleted.
    pub fn deleting(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    /// The name of its controller, if that is of this kind and group (the version does not count).
    pub fn controller(&self, group: &str, kind: &str) -> Option<&str> {
        self.meta.owner_references.iter().flatten().find_map(|owner| {
            let same =
                owner.kind == kind && owner.api_version.split_once('/').map_or("", |(g, _)| g) == group;
            (owner.controller == Some(true) && same).then_some(owner.name.as_str())
        })
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(key, value)| self.label(key) == Some(value))
    }
}

/// What happened to one entry: before and after.
#[derive(Clone, Debug)]
pub struct Change<F> {
    /// Which object.
    pub key: Key,
    /// As it was known; `None` when it is new.
    pub before: Option<Arc<Entry<F>>>,
    /// As it is; `None` when it is gone.
    pub after: Option<Arc<Entry<F>>>,
}

impl<F> Change<F> {
    /// The object as it is, or as it was when it went.
    pub fn entry(&self) -> Option<&Entry<F>> {
        self.after.as_deref().or(self.before.as_deref())
    }

    /// Whether these facts of the object are others than before; coming and going is a difference.
    pub fn differs<T: PartialEq>(&self, facts: impl Fn(&Entry<F>) -> T) -> bool {
        self.before.as_deref().map(&facts) != self.after.as_deref().map(&facts)
    }
}

/// Which objects a cache holds.
#[derive(Clone, Debug)]
pub struct Select {
    /// The kind.
    pub resource: ApiResource,
    /// The namespaces; empty means all (or a cluster-scoped kind).
    pub namespaces: Vec<String>,
    /// A label selector, or empty.
    pub labels: String,
}

type Reduce<F> = dyn Fn(DynamicObject) -> anyhow::Result<F> + Send + Sync;

struct Inner<F> {
    client: Client,
    select: Select,
    reduce: Box<Reduce<F>>,
    entries: RwLock<BTreeMap<Key, Arc<Entry<F>>>>,
    changes: broadcast::Sender<Change<F>>,
    seen: watch::Sender<u64>,
    synced: watch::Sender<bool>,
}

/// A watch cache of one kind. Cheap to clone: clones share the entries.
pub struct Cache<F>(Arc<Inner<F>>);

impl<F> Clone for Cache<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F> fmt::Debug for Cache<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", self.0.select.resource.kind)
    }
}

/// Changes that a slow subscriber may lag behind by before it is told to look at everything again. Each cache pays for
/// all of these places (88 bytes each), and subscribers do nothing but pass keys on.
const CHANGES_KEPT: usize = 512;
/// kubectl's copy of what its user applied: of no use to us, and as large as the rest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl<F: Clone + Send + Sync + 'static> Cache<F> {
    /// A cache that is not watching yet; [`Cache::keep`] fills it.
    pub fn new(
        client: Client,
        select: Select,
        reduce: impl Fn(DynamicObject) -> anyhow::Result<F> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            client,
            select,
            reduce: Box::new(reduce),
            entries: RwLock::default(),
            changes: broadcast::channel(CHANGES_KEPT).0,
            seen: watch::channel(0).0,
            synced: watch::channel(false).0,
        }))
    }

    /// The kind.
    pub fn resource(&self) -> &ApiResource {
        &self.0.select.resource
    }

    /// One entry.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry<F>>> {
        self.read().get(key).cloned()
    }

    /// The entries of a namespace that carry these labels, sorted by name.
    pub fn list(&self, namespace: &str, labels: &[(&str, &str)]) -> Vec<Arc<Entry<F>>> {
        self.read()
            .range(Key::new(namespace, "")..)
            .take_while(|(key, _)| key.namespace == namespace)
            .filter(|(_, entry)| entry.has(labels))
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// All entries, sorted.
    pub fn all(&self) -> Vec<Arc<Entry<F>>> {
        self.read().values().cloned().collect()
    }

    /// Every change from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Change<F>> {
        self.0.changes.subscribe()
    }

    /// One object, read now.
    pub async fn get_live(&self, key: &Key) -> anyhow::Result<Option<Arc<Entry<F>>>> {
        let api = self.api(&key.namespace);
        let found =
            api.get_opt(&key.name).await.with_context(|| format!("cannot read {} {key}", self.kind()))?;
        found.map(|object| self.entry(object).map(Arc::new)).transpose()
    }

    /// The objects of a namespace that carry these labels, read now, sorted by name.
    pub async fn list_live(
        &self,
        namespace: &str,
        labels: &[(&str, &str)],
    ) -> anyhow::Result<Vec<Arc<Entry<F>>>> {
        let mut selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if !self.0.select.labels.is_empty() {
            selector.push(self.0.select.labels.clone());
        }
        let list = ListParams::default().labels(&selector.join(","));
        let found = self.api(namespace).list(&list).await;
        let found = found.with_context(|| format!("cannot list {} in {namespace}", self.kind()))?;
        let mut entries = Vec::with_capacity(found.items.len());
        for object in found.items {
            entries.push(Arc::new(self.entry(object)?));
        }
        entries.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(entries)
    }

    /// Watches until `stop`, keeping the entries current. Errors are retried with back-off: the watch is the
    /// only way this process learns of changes, so it never gives up.
    pub async fn keep(self, stop: CancellationToken) {
        let namespaces = &self.0.select.namespaces;
        let scopes: Vec<&str> =
            if namespaces.is_empty() { vec![""] } else { namespaces.iter().map(String::as_str).collect() };
        let mut config = watcher::Config::default();
        if !self.0.select.labels.is_empty() {
            config = config.labels(&self.0.select.labels);
        }
        let streams = scopes.iter().enumerate().map(|(index, namespace)| {
            watcher::watcher(self.api(namespace), config.clone())
                .default_backoff()
                .map(move |event| (index, event))
                .boxed()
        });
        let mut events = futures::stream::select_all(streams);
        let mut listing: HashMap<usize, Vec<Key>> = HashMap::new();
        let mut waiting = scopes.len();
        loop {
            let (scope, event) = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => match event { Some(event) => event, None => return },
            };
            match event {
                Ok(watcher::Event::Init) => {
                    listing.insert(scope, Vec::new());
                }
                Ok(watcher::Event::InitApply(object)) => {
                    if let Some(keys) = listing.get_mut(&scope) {
                        keys.push(Key::of(&object));
                    }
                    self.put(object);
                }
                Ok(watcher::Event::InitDone) => {
                    if let Some(keys) = listing.remove(&scope) {
                        self.keep_only(scopes[scope], &keys);
                    }
                    waiting = waiting.saturating_sub(1);
                    if waiting == 0 {
                        self.0.synced.send_replace(true);
                    }
                }
                Ok(watcher::Event::Apply(object)) => self.put(object),
                Ok(watcher::Event::Delete(object)) => self.take(&object),
                Err(error) => {
                    tracing::warn!(kind = self.kind(), error = %error_chain(&error), "watch failed, retrying");
                }
            }
        }
    }

    fn put(&self, object: DynamicObject) {
        let version = version_of(&object);
        let key = Key::of(&object);
        match self.entry(object) {
            Ok(entry) => {
                let entry = Arc::new(entry);
                let before = self.write().insert(key.clone(), entry.clone());
                let same =
                    before.as_ref().is_some_and(|b| b.meta.resource_version == entry.meta.resource_version);
                if !same {
                    // Nobody listening is fine: a cache may be read without being subscribed to.
                    let _ = self.0.changes.send(Change { key, before, after: Some(entry) });
                }
            }
            Err(error) => {
                tracing::error!(kind = self.kind(), %key, error = format!("{error:#}"), "cannot read object");
            }
        }
        self.saw(version);
    }

    fn take(&self, object: &DynamicObject) {
        let key = Key::of(object);
        if let Some(before) = self.write().remove(&key) {
            let _ = self.0.changes.send(Change { key, before: Some(before), after: None });
        }
        self.saw(version_of(object));
    }

    /// After a fresh list: what it did not name is gone.
    fn keep_only(&self, namespace: &str, keys: &[Key]) {
        let keep: std::collections::HashSet<&Key> = keys.iter().collect();
        let gone: Vec<Key> = self
            .read()
            .keys()
            .filter(|key| (namespace.is_empty() || key.namespace == namespace) && !keep.contains(key))
            .cloned()
            .collect();
        for key in gone {
            if let Some(before) = self.write().remove(&key) {
                let _ = self.0.changes.send(Change { key, before: Some(before), after: None });
            }
        }
    }

    fn saw(&self, version: u64) {
        self.0.seen.send_if_modified(|seen| {
            let newer = version > *seen;
            *seen = version.max(*seen);
            newer
        });
    }

    fn entry(&self, mut object: DynamicObject) -> anyhow::Result<Entry<F>> {
        let ours = digest_of_owner(&object, Part::Main);
        let our_status = digest_of_owner(&object, Part::Status);
        object.metadata.managed_fields = None;
        if let Some(annotations) = &mut object.metadata.annotations {
            annotations.remove(LAST_APPLIED);
        }
        let meta = object.metadata.clone();
        let fact = (self.0.reduce)(object)?;
        Ok(Entry { meta, ours, our_status, fact })
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        let client = self.0.client.clone();
        if namespace.is_empty() {
            Api::all_with(client, &self.0.select.resource)
        } else {
            Api::namespaced_with(client, namespace, &self.0.select.resource)
        }
    }

    fn kind(&self) -> &str {
        &self.0.select.resource.kind
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Key, Arc<Entry<F>>>> {
        self.0.entries.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<Key, Arc<Entry<F>>>> {
        self.0.entries.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A cache whose fact is the whole typed object.
pub fn typed<K>(object: DynamicObject) -> anyhow::Result<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    Ok(serde_json::from_value(serde_json::to_value(object)?)?)
}

/// A cache of whose bodies nothing is kept.
#[allow(clippy::unnecessary_wraps)] // the shape of a reduction
pub fn nothing(_: DynamicObject) -> anyhow::Result<()> {
    Ok(())
}

/// What the driver needs of a cache whatever its facts are.
pub(crate) trait AnyCache: Send + Sync {
    /// What is known of an object: its version and the digest of our part of it.
    fn known(&self, key: &Key, part: Part) -> Option<(Option<String>, Option<Digest>)>;
    fn uid(&self, key: &Key) -> Option<String>;
    fn seen(&self) -> watch::Receiver<u64>;
    fn synced(&self) -> watch::Receiver<bool>;
    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool;
}

impl<F: Clone + Send + Sync + 'static> AnyCache for Cache<F> {
    fn known(&self, key: &Key, part: Part) -> Option<(Option<String>, Option<Digest>)> {
        let entry = self.get(key)?;
        let digest = match part {
            Part::Main => entry.ours.clone(),
            Part::Status => entry.our_status.clone(),
        };
        Some((entry.meta.resource_version.clone(), digest))
    }

    fn uid(&self, key: &Key) -> Option<String> {
        self.get(key).map(|entry| entry.uid().to_owned())
    }

    fn seen(&self) -> watch::Receiver<u64> {
        self.0.seen.subscribe()
    }

    fn synced(&self) -> watch::Receiver<bool> {
        self.0.synced.subscribe()
    }

    /// Whether an object with these labels is delivered by this watch: only then may we wait for it.
    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        crate::selector::matches(&self.0.select.labels, labels)
    }
}

fn version_of(object: &DynamicObject) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// An error with its causes, each told once.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
