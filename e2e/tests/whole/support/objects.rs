//! Objects of the management cluster: apply, look, wait, delete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use super::{Day, PATIENCE, PAUSE, kubectl};

/// Group, version, kind, plural.
pub type Kind = (&'static str, &'static str, &'static str, &'static str);
pub const CLUSTER: Kind = ("k0smotron.io", "v1beta2", "Cluster", "clusters");
pub const REQUEST: Kind = ("k0smotron.io", "v1beta2", "JoinTokenRequest", "jointokenrequests");
pub const REMOTE_MACHINE: Kind =
    ("infrastructure.cluster.x-k8s.io", "v1beta2", "RemoteMachine", "remotemachines");
pub const MACHINE: Kind = ("cluster.x-k8s.io", "v1beta2", "Machine", "machines");
pub const SECRET: Kind = ("", "v1", "Secret", "secrets");
pub const SERVICE: Kind = ("", "v1", "Service", "services");

impl Day {
    fn api(&self, (group, version, kind, plural): Kind) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.client.clone(), "default", &resource)
    }

    /// Server-side applies, as a user does.
    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        testbed::control_plane::apply(&self.client, objects).await
    }

    /// An object as it is now; null if it is not there.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Value> {
        let found = self.api(kind).get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?.unwrap_or_default())
    }

    /// Sets annotations.
    pub async fn annotate(&self, kind: Kind, name: &str, key: &str, value: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Asks for a deletion.
    pub async fn let_go(&self, kind: Kind, name: &str) -> Result<()> {
        match self.api(kind).delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Deletes an object and waits until it is gone.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        self.let_go(kind, name).await?;
        self.gone(kind, name).await
    }

    /// Waits until an object is gone.
    pub async fn gone(&self, kind: Kind, name: &str) -> Result<()> {
        self.until(kind, name, "it is gone", Value::is_null).await.map(drop)
    }

    /// Waits until an object is as wanted; the error shows it as it was last.
    pub async fn until(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        yes: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let began = Instant::now();
        loop {
            let seen = self.get(kind, name).await?;
            if yes(&seen) {
                return Ok(seen);
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{} {name}: not within {PATIENCE:?}: {what}\n{:#}",
                kind.2,
                seen["status"]
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until a condition has this reason and its message all these words, and says what it says.
    pub async fn until_told(
        &self,
        kind: Kind,
        name: &str,
        type_: &str,
        reason: &str,
        words: &[&str],
    ) -> Result<String> {
        let what = format!("{type_} tells {reason} with {words:?}");
        let yes = |seen: &Value| {
            told(seen, type_).is_some_and(|(_, found, message)| {
                found == reason && words.iter().all(|word| message.contains(word))
            })
        };
        let seen = self.until(kind, name, &what, yes).await?;
        Ok(told(&seen, type_).map(|(_, _, message)| message.to_owned()).unwrap_or_default())
    }

    /// Waits until a condition is True.
    pub async fn until_true(&self, kind: Kind, name: &str, type_: &str) -> Result<Value> {
        let yes = |seen: &Value| told(seen, type_).is_some_and(|(status, _, _)| status == "True");
        self.until(kind, name, &format!("{type_} is True"), yes).await
    }

    /// Waits for an event of this reason about an object, with these words.
    pub async fn until_event(&self, kind: Kind, name: &str, reason: &str, words: &[&str]) -> Result<()> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let fields = format!("involvedObject.kind={},involvedObject.name={name}", kind.2);
        let began = Instant::now();
        loop {
            let all = events.list(&ListParams::default().fields(&fields)).await?;
            let said = |event: &Event| {
                format!(
                    "{} {}",
                    event.reason.clone().unwrap_or_default(),
                    event.message.clone().unwrap_or_default()
                )
            };
            let good = |event: &&Event| {
                event.reason.as_deref() == Some(reason)
                    && words.iter().all(|word| event.message.as_ref().is_some_and(|told| told.contains(word)))
            };
            if all.items.iter().any(|event| good(&event)) {
                return Ok(());
            }
            let all: Vec<_> = all.items.iter().map(said).collect();
            ensure!(
                began.elapsed() < PATIENCE,
                "{} {name}: no event {reason} with {words:?}, but {all:#?}",
                kind.2
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Status, reason and message of a condition.
pub fn told<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    let found = conditions.find(|condition| condition["type"] == type_)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    Some((text("status"), text("reason"), text("message")))
}

/// All objects that the managers may write, by kind and name.
pub async fn written(day: &Day) -> Result<BTreeMap<String, Value>> {
    let kinds = "kmc,k0smotroncontrolplane,k0sworkerconfig,remotemachine,remotecluster,statefulset,service,configmap,secret,jointokenrequest";
    let text = kubectl(&day.kubeconfig(), &["get", kinds, "-o", "json"]).await?;
    let all: Value = serde_json::from_str(&text)?;
    let items = all["items"].as_array().context("no list")?;
    let name = |item: &Value| format!("{} {}", item["kind"], item["metadata"]["name"]);
    Ok(items.iter().map(|item| (name(item), item.clone())).collect())
}

/// The fields in which objects differ, in words.
pub fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let mut all = Vec::new();
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names {
        let side = |objects: &BTreeMap<String, Value>| objects.get(name).cloned().unwrap_or_default();
        compare(name, &side(before), &side(after), &mut all);
    }
    all
}

fn compare(path: &str, before: &Value, after: &Value, all: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                compare(&format!("{path}.{key}"), &before[key], &after[key], all);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}[{index}]"), one, other, all);
            }
        }
        _ if before != after => all.push(format!("{path}: {before} -> {after}")),
        _ => {}
    }
}
