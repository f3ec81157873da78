//! Watching a kind and acting on each of its objects.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Result;
use futures::TryStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

/// How often and how long apart an act is tried: a conflict is gone at once, a starting API server in seconds.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// Calls `act` for every object that is there, comes or changes. Does not return.
pub async fn each<K, F>(api: Api<K>, act: F) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    F: AsyncFn(K) -> Result<()>,
{
    let mut events = Box::pin(watcher(api, watcher::Config::default()));
    loop {
        let object = match events.try_next().await {
            Ok(Some(Event::Apply(object) | Event::InitApply(object))) => object,
            Ok(Some(_)) => continue,
            Ok(None) => return Ok(()),
            Err(error) => {
                eprintln!("agent: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        for attempt in 1..=TRIES {
            match act(object.clone()).await {
                Ok(()) => break,
                // Gone or changed meanwhile: the next event says what is to be done.
                Err(error) if is_outdated(&error) => break,
                Err(error) => {
                    eprintln!("agent: {} (try {attempt} of {TRIES}): {error:#}", object.name_any());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn is_outdated(error: &anyhow::Error) -> bool {
    let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() else { return false };
    // Nothing can be made in a namespace that goes away, and other objects wait behind this one.
    matches!(status.code, 404 | 409) || status.message.contains("being terminated")
}
