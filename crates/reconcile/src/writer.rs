//! Every write of a pass: sent only if it would change something, and remembered until the caches show it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use either::Either;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::FIELD_MANAGER;
use crate::cache::{AnyCache, Key};
use crate::clock;
use crate::context::Context;
use crate::effect::ObjectId;
use crate::owned::{Part, wanted_digest};

/// Something that a cache must show before the next pass over the object may begin.
#[derive(Clone)]
pub(crate) struct Expected {
    cache: Arc<dyn AnyCache>,
    what: What,
}

#[derive(Clone)]
enum What {
    /// An event of this version or a later one.
    Seen(u64),
    /// The object of this uid is no longer there.
    Gone(Key, String),
}

/// How long a pass waits for its own writes to arrive. A watch that is so far behind has failed and lists
/// anew by itself; the pass then goes on, and its writes are safe all the same (fixed names, uids).
const PATIENCE: Duration = Duration::from_secs(10);

impl Expected {
    pub(crate) async fn met(&self) {
        let mut seen = self.cache.seen();
        let met = seen.wait_for(|seen| match &self.what {
            What::Seen(version) => seen >= version,
            What::Gone(key, uid) => self.cache.uid(key).as_ref() != Some(uid),
        });
        tokio::select! {
            _ = met => {}
            () = clock::sleep(PATIENCE) => tracing::warn!("a watch is more than {PATIENCE:?} behind our own write"),
        }
    }
}

/// The writes of one controller; one writer per pass.
pub(crate) struct Writer {
    context: Context,
    controller: &'static str,
    expected: Mutex<Vec<Expected>>,
    applied: Mutex<Applied>,
    restored: Mutex<Vec<String>>,
}

/// What was wanted of each object when it was last seen to be as wanted: who finds the same wish unfulfilled knows
/// that somebody else changed the object. Hashes suffice, and there are many objects.
pub(crate) type Applied = BTreeMap<u64, u64>;

fn hash(what: impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({})", self.controller)
    }
}

impl Writer {
    pub(crate) fn new(context: Context, controller: &'static str, applied: Applied) -> Self {
        Self {
            context,
            controller,
            expected: Mutex::default(),
            applied: Mutex::new(applied),
            restored: Mutex::default(),
        }
    }

    /// The objects that somebody had changed or deleted, as `Kind name`.
    pub(crate) fn restored(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.restored))
    }

    /// What the next pass over this object must know.
    pub(crate) fn applied(&self) -> Applied {
        std::mem::take(&mut *lock(&self.applied))
    }

    /// What the next pass must wait for.
    pub(crate) fn expected(&self) -> Vec<Expected> {
        std::mem::take(&mut *lock(&self.expected))
    }

    pub(crate) async fn apply(&self, object: &DynamicObject) -> anyhow::Result<bool> {
        self.apply_part(object, Part::Main).await
    }

    pub(crate) async fn apply_status(&self, object: &DynamicObject) -> anyhow::Result<bool> {
        self.apply_part(object, Part::Status).await
    }

    async fn apply_part(&self, object: &DynamicObject, part: Part) -> anyhow::Result<bool> {
        let resource = resource_of(object)?;
        let key = Key::of(object);
        let caches = self.context.caches_of(&resource.group, &resource.kind);
        let known = caches.iter().find_map(|cache| cache.known(&key, part));
        let wanted = wanted_digest(object);
        let wish = hash(&wanted);
        let name = hash((&resource.kind, &key, part));
        if known.as_ref().is_some_and(|(_, digest)| digest.as_ref() == Some(&wanted)) {
            lock(&self.applied).insert(name, wish);
            return Ok(false);
        }
        let api = api(self.context.client(), &resource, &key.namespace);
        let how = PatchParams::apply(FIELD_MANAGER).force();
        let sent = match part {
            Part::Main => api.patch(&key.name, &how, &Patch::Apply(object)).await,
            Part::Status => api.patch_status(&key.name, &how, &Patch::Apply(object)).await,
        };
        let written = sent.with_context(|| format!("cannot apply {} {key}", resource.kind))?;
        self.wrote("apply", &resource, &written);
        let before = lock(&self.applied).insert(name, wish);
        let changed = known.as_ref().is_none_or(|(version, _)| *version != written.metadata.resource_version);
        // Where nothing is watched, nobody knows what the object was before; what carries a uid is not ours to make.
        let restorable = part == Part::Main && !caches.is_empty() && object.metadata.uid.is_none();
        if changed && restorable && before == Some(wish) {
            lock(&self.restored).push(format!("{} {}", resource.kind, key.name));
        }
        Ok(changed)
    }

    pub(crate) async fn create(&self, object: &DynamicObject) -> anyhow::Result<bool> {
        let resource = resource_of(object)?;
        let key = Key::of(object);
        let how = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match api(self.context.client(), &resource, &key.namespace).create(&how, object).await {
            Ok(written) => {
                self.wrote("create", &resource, &written);
                Ok(true)
            }
            Err(error) if code(&error) == Some(409) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot create {} {key}", resource.kind)),
        }
    }

    pub(crate) async fn delete(&self, what: &ObjectId, uid: &str) -> anyhow::Result<bool> {
        let namespace = what.namespace.clone().unwrap_or_default();
        let key = Key::new(namespace.as_str(), &*what.name);
        lock(&self.applied).remove(&hash((&what.resource.kind, &key, Part::Main)));
        let how = DeleteParams::background()
            .preconditions(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        match api(self.context.client(), &what.resource, &namespace).delete(&what.name, &how).await {
            Ok(Either::Left(going)) => {
                self.wrote("delete", &what.resource, &going);
                Ok(true)
            }
            Ok(Either::Right(_)) => {
                self.context.metrics().wrote(self.controller, "delete", &what.resource.kind);
                let gone = What::Gone(key, uid.to_owned());
                for cache in self.context.caches_of(&what.resource.group, &what.resource.kind) {
                    self.expect(Expected { cache, what: gone.clone() });
                }
                Ok(true)
            }
            // Gone, or another object of that name: what was to be deleted is not there.
            Err(error) if matches!(code(&error), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error)
                .with_context(|| format!("cannot delete {} {namespace}/{}", what.resource.kind, what.name)),
        }
    }

    /// Adds or removes a finalizer, guarded by the version that was observed.
    pub(crate) async fn finalizers(
        &self,
        resource: &ApiResource,
        object: &impl ResourceExt,
        wanted: Vec<String>,
    ) -> anyhow::Result<bool> {
        let key = Key::of(object);
        let patch = json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": wanted}});
        self.merge(resource, &key, None, &patch).await
    }

    /// A merge patch of the status.
    pub(crate) async fn status(
        &self,
        resource: &ApiResource,
        key: &Key,
        patch: &Value,
    ) -> anyhow::Result<bool> {
        self.merge(resource, key, Some("status"), &json!({ "status": patch })).await
    }

    async fn merge(
        &self,
        resource: &ApiResource,
        key: &Key,
        part: Option<&str>,
        patch: &Value,
    ) -> anyhow::Result<bool> {
        let api = api(self.context.client(), resource, &key.namespace);
        let how = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let sent = match part {
            None => api.patch(&key.name, &how, &Patch::Merge(patch)).await,
            Some(part) => api.patch_subresource(part, &key.name, &how, &Patch::Merge(patch)).await,
        };
        match sent {
            Ok(written) => {
                self.wrote("patch", resource, &written);
                Ok(true)
            }
            // It is gone: nothing is left to write to.
            Err(error) if code(&error) == Some(404) => Ok(false),
            Err(error) => Err(error).with_context(|| {
                format!("cannot write {} of {} {key}", part.unwrap_or("the finalizers"), resource.kind)
            }),
        }
    }

    fn wrote(&self, verb: &'static str, resource: &ApiResource, written: &DynamicObject) {
        self.context.metrics().wrote(self.controller, verb, &resource.kind);
        let version = written.metadata.resource_version.as_deref().and_then(|text| text.parse().ok());
        let Some(version) = version else { return };
        for cache in self.context.caches_of(&resource.group, &resource.kind) {
            if cache.selects(written.metadata.labels.as_ref()) {
                self.expect(Expected { cache, what: What::Seen(version) });
            }
        }
    }

    fn expect(&self, expected: Expected) {
        lock(&self.expected).push(expected);
    }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The HTTP code of an answer of the API server.
pub(crate) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn api(client: &Client, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
    if namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, resource)
    }
}

/// Plurals that are not the lower-cased kind with an `s`, among the kinds that we write.
const IRREGULAR: [(&str, &str); 3] =
    [("NetworkPolicy", "networkpolicies"), ("Ingress", "ingresses"), ("Endpoints", "endpoints")];

fn resource_of(object: &DynamicObject) -> anyhow::Result<ApiResource> {
    let types = object.types.as_ref().context("an object without apiVersion and kind")?;
    let gvk =
        GroupVersionKind::try_from(types).with_context(|| format!("apiVersion {:?}", types.api_version))?;
    let irregular: BTreeMap<_, _> = IRREGULAR.into();
    Ok(match irregular.get(gvk.kind.as_str()) {
        Some(plural) => ApiResource::from_gvk_with_plural(&gvk, plural),
        None => ApiResource::from_gvk_with_plural(&gvk, &format!("{}s", gvk.kind.to_lowercase())),
    })
}
