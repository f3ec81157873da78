//! The driver on a real API server, driven by a toy controller: a `Toy` wants so many ConfigMaps.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use reconcile::{
    Cache, Condition, Context, Controller, Effect, Event, Key, Metrics, Next, ObjectId, Pass, Plan, Said,
    Scope, Wakes,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use testbed::ControlPlaneOnly;
use testbed::faults::{Fault, FaultHandle, Rule};
use tokio_util::sync::CancellationToken;

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToySpec {
    children: usize,
}

/// What is observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToyStatus {
    children: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
}

cluster_api::kind! {
    /// What the toy controller is about.
    Toy { group: "test.k0smotron.io", version: "v1", kind: "Toy", plural: "toys", spec: ToySpec, status: ToyStatus }
}

struct Toys {
    children: Cache<()>,
}

struct Seen {
    toy: Toy,
    children: Vec<(String, String)>,
}

impl Controller for Toys {
    type Kind = Toy;
    type Observed = Seen;
    type Status = ToyStatus;
    type Own = ();

    const NAME: &'static str = "toy";
    const FINALIZER: Option<&'static str> = Some("test.k0smotron.io/toy");
    const FAILURE_CONDITION: Option<&'static str> = Some("Reconciled");

    async fn observe(&self, pass: &Pass<Toy>) -> Result<Seen> {
        let children = pass.list_here(&self.children, &[("toy", &pass.key.name)]).await?;
        let children = children.iter().filter(|child| !child.deleting());
        Ok(Seen {
            toy: (*pass.object).clone(),
            children: children.map(|c| (c.name().to_owned(), c.uid().to_owned())).collect(),
        })
    }

    fn plan(&self, seen: &Seen) -> Plan<ToyStatus, ()> {
        let toy = &seen.toy;
        let deleting = toy.metadata.deletion_timestamp.is_some();
        let wanted = if deleting { 0 } else { toy.spec.children };
        let name = |n: usize| format!("{}-{n}", toy.name_any());
        let mut effects = if deleting { vec![] } else { vec![Effect::Hold] };
        effects.extend((0..wanted).map(|n| Effect::apply(child(toy, &name(n)))));
        let surplus = seen.children.iter().filter(|(child, _)| !(0..wanted).any(|n| name(n) == *child));
        effects.extend(surplus.map(|(child, uid)| Effect::Delete {
            what: ObjectId::of::<ConfigMap>(&toy.namespace().unwrap(), child),
            uid: uid.clone(),
        }));
        if deleting && seen.children.is_empty() {
            effects.push(Effect::Release);
        }
        let ready = Condition::new(
            "Ready",
            seen.children.len() == wanted,
            if seen.children.len() == wanted { "Ready" } else { "Growing" },
            "",
        );
        Plan {
            effects,
            status: Some(ToyStatus { children: seen.children.len(), conditions: vec![] }),
            conditions: vec![ready.clone(), Condition::new("Reconciled", true, "Reconciled", "")],
            next: Next::OnChange,
            said: Said { step: "Settled", words: String::new(), events: vec![Event::of(&ready, false)] },
            disruptive: false,
        }
    }

    async fn act(&self, _: &Pass<Toy>, _: &Seen, (): &()) -> Result<bool> {
        Ok(false)
    }
}

fn child(toy: &Toy, name: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": toy.namespace(), "labels": { "toy": toy.name_any() }, "ownerReferences": [{
            "apiVersion": "test.k0smotron.io/v1", "kind": "Toy", "name": toy.name_any(), "uid": toy.uid(), "controller": true,
        }]},
        "data": { "of": toy.name_any() },
    }))
    .unwrap()
}

/// One life of the process; dropped as if it was killed.
struct Process {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(client: Client) -> Process {
    let stop = CancellationToken::new();
    let context =
        Context::new(client, Scope::default(), Metrics::new(), stop.clone(), Duration::from_secs(3));
    context.watch_clusters();
    let children = context.cache(ApiResource::erase::<ConfigMap>(&()), "toy", reconcile::nothing);
    let wakes = Wakes::new().owned(&children);
    let primary = context.primary::<Toy>();
    let task = tokio::spawn(reconcile::run(context, Arc::new(Toys { children }), primary, wakes, 5));
    Process { stop, task }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

struct World {
    server: ControlPlaneOnly,
    admin: Client,
}

impl World {
    async fn new() -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = ControlPlaneOnly::start().await?;
        server
            .apply_crds(&[
                crd("toys", "Toy", "test.k0smotron.io", "v1"),
                crd("clusters", "Cluster", "cluster.x-k8s.io", "v1beta2"),
            ])
            .await?;
        let admin = server.client().await?;
        Ok(Self { server, admin })
    }

    async fn namespace(&self, name: &str) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(self.admin.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    fn toys(&self, namespace: &str) -> Api<Toy> {
        Api::namespaced(self.admin.clone(), namespace)
    }

    fn children(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.admin.clone(), namespace)
    }

    async fn manager(&self, faults: &FaultHandle) -> Result<Client> {
        self.server.faulty_client("manager", &["system:masters"], faults).await
    }

    async fn names(&self, namespace: &str) -> Result<Vec<String>> {
        let list = self.children(namespace).list(&kube::api::ListParams::default().labels("toy")).await?;
        Ok(list.iter().map(ResourceExt::name_any).collect())
    }

    async fn make(&self, namespace: &str, children: usize) -> Result<()> {
        self.toys(namespace).create(&PostParams::default(), &Toy::new("t", ToySpec { children })).await?;
        Ok(())
    }

    async fn scale(&self, namespace: &str, children: usize) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"children": children}}));
        self.toys(namespace).patch("t", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The notes of the events of a reason, and how often each was told.
    async fn events(&self, namespace: &str, reason: &str) -> Result<Vec<(String, i32)>> {
        let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.admin.clone(), namespace);
        let all = events.list(&kube::api::ListParams::default()).await?;
        let told = all.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
        let times =
            |event: &k8s_openapi::api::events::v1::Event| event.series.as_ref().map_or(1, |s| s.count);
        Ok(told.map(|event| (event.note.clone().unwrap_or_default(), times(&event))).collect())
    }

    async fn until_status(&self, namespace: &str, children: usize) -> Result<()> {
        eventually(|| async {
            let toy = self.toys(namespace).get_opt("t").await?;
            Ok(toy.and_then(|toy| toy.status).is_some_and(|status| status.children == children))
        })
        .await
    }
}

fn crd(plural: &str, kind: &str, group: &str, version: &str) -> serde_json::Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"), "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    })
}

/// Waits for something that must become true within a time far above what it takes.
async fn eventually<F: Future<Output = Result<bool>>>(what: impl Fn() -> F) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !what().await? {
        anyhow::ensure!(Instant::now() < deadline, "it did not become true within 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// No request of the manager's for a while, watches apart.
async fn quiet(faults: &FaultHandle) -> bool {
    let requests =
        || faults.requests().iter().filter(|((verb, _), _)| verb != "watch").map(|(_, n)| n).sum::<u64>();
    let before = requests();
    tokio::time::sleep(Duration::from_secs(2)).await;
    requests() == before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_object_costs_no_request_and_a_restart_writes_nothing() -> Result<()> {
    let world = World::new().await?;
    world.namespace("quiet").await?;
    let faults = FaultHandle::new();
    let process = start(world.manager(&faults).await?);
    world.make("quiet", 3).await?;
    world.until_status("quiet", 3).await?;
    // Finalizer, three children, status, one event.
    assert_eq!(faults.writes().len(), 6, "{:?}", faults.writes());
    assert!(quiet(&faults).await, "{:?}", faults.requests());
    drop(process);

    let again = FaultHandle::new();
    let _process = start(world.manager(&again).await?);
    eventually(|| async { Ok(again.requests().contains_key(&("watch".to_owned(), "toys".to_owned()))) })
        .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(again.writes().is_empty(), "{:?}", again.writes());
    Ok(())
}

/// H-8, H-43.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_child_is_restored_and_a_deleted_one_comes_back() -> Result<()> {
    let world = World::new().await?;
    world.namespace("restore").await?;
    let faults = FaultHandle::new();
    let _process = start(world.manager(&faults).await?);
    world.make("restore", 2).await?;
    world.until_status("restore", 2).await?;
    let children = world.children("restore");
    children
        .patch("t-0", &PatchParams::default(), &Patch::Merge(json!({"data": {"of": "somebody else"}})))
        .await?;
    eventually(|| async { Ok(children.get("t-0").await?.data.unwrap()["of"] == "t") }).await?;
    children
        .patch("t-0", &PatchParams::default(), &Patch::Merge(json!({"data": {"theirs": "kept"}})))
        .await?;
    children.delete("t-1", &DeleteParams::default()).await?;
    eventually(|| async { Ok(children.get_opt("t-1").await?.is_some()) }).await?;
    assert_eq!(children.get("t-0").await?.data.unwrap()["theirs"], "kept", "fields of others are left alone");
    // What the controller itself takes away and makes again was not restored.
    world.scale("restore", 1).await?;
    world.until_status("restore", 1).await?;
    world.scale("restore", 2).await?;
    world.until_status("restore", 2).await?;
    assert!(quiet(&faults).await);
    // The second is counted in the first one's series.
    let words = "edited or deleted by somebody else, and restored: ConfigMap t-0";
    assert_eq!(world.events("restore", "Restored").await?, [(words.to_owned(), 2)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_each_nth_write_it_ends_in_the_same_objects() -> Result<()> {
    let world = World::new().await?;
    // Creation, growth, shrinking: about a dozen writes; the cut wanders over all of them.
    for n in 1..=10 {
        let namespace = format!("cut-{n}");
        world.namespace(&namespace).await?;
        world.make(&namespace, 2).await?;
        let faults = FaultHandle::new();
        faults.cut_after_write(n);
        let mut process = start(world.manager(&faults).await?);
        for children in [2, 4, 1] {
            world.scale(&namespace, children).await?;
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                if faults.is_cut() {
                    faults.mend();
                    process = start(world.manager(&faults).await?);
                }
                let toy = world.toys(&namespace).get("t").await?;
                if toy.status.is_some_and(|status| status.children == children) {
                    break;
                }
                anyhow::ensure!(
                    Instant::now() < deadline,
                    "cut after {n} writes: stuck before {children} children"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let wanted: Vec<String> = (0..children).map(|c| format!("t-{c}")).collect();
            assert_eq!(world.names(&namespace).await?, wanted, "cut after {n} writes");
        }
        world.toys(&namespace).delete("t", &DeleteParams::default()).await?;
        eventually(|| async { Ok(world.toys(&namespace).get_opt("t").await?.is_none()) }).await?;
        assert_eq!(world.names(&namespace).await?, Vec::<String>::new());
        drop(process);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_object_says_so_and_is_not_touched_until_it_is_resumed() -> Result<()> {
    let world = World::new().await?;
    world.namespace("pause").await?;
    let cluster = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "c", "namespace": "pause"}, "spec": {"paused": true}});
    testbed::control_plane::apply(&world.admin, &[cluster]).await?;
    let mut toy = Toy::new("t", ToySpec { children: 2 });
    toy.labels_mut().insert("cluster.x-k8s.io/cluster-name".into(), "c".into());
    world.toys("pause").create(&PostParams::default(), &toy).await?;
    let faults = FaultHandle::new();
    let _process = start(world.manager(&faults).await?);
    let paused = || async {
        let conditions = world.toys("pause").get("t").await?.status.unwrap_or_default().conditions;
        Ok::<_, anyhow::Error>(conditions.into_iter().find(|condition| condition.type_ == "Paused"))
    };
    eventually(|| async {
        Ok(paused().await?.is_some_and(|told| told.status == "True" && told.message.contains("Cluster c")))
    })
    .await?;
    assert_eq!(world.names("pause").await?, Vec::<String>::new());
    assert_eq!(faults.writes().len(), 1, "one write: the condition");

    let resumed = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "c", "namespace": "pause"}, "spec": {"paused": false}});
    testbed::control_plane::apply(&world.admin, &[resumed]).await?;
    world.until_status("pause", 2).await?;
    assert_eq!(paused().await?.unwrap().reason, "NotPaused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_write_is_told_and_retried_and_forgotten_when_it_succeeds() -> Result<()> {
    let world = World::new().await?;
    world.namespace("refused").await?;
    let faults = FaultHandle::new();
    faults.fail(Rule::every(Fault::Status(403)).verb("patch").resource("configmaps"));
    let _process = start(world.manager(&faults).await?);
    world.make("refused", 1).await?;
    let reconciled = || async {
        let conditions = world.toys("refused").get("t").await?.status.unwrap_or_default().conditions;
        Ok::<_, anyhow::Error>(conditions.into_iter().find(|condition| condition.type_ == "Reconciled"))
    };
    eventually(|| async {
        Ok(reconciled().await?.is_some_and(|told| {
            told.reason == "ApplyFailed" && told.message.contains("ConfigMap refused/t-0")
        }))
    })
    .await?;
    eventually(|| async { Ok(faults.count("patch", "configmaps") >= 2) }).await?;
    faults.heal();
    world.until_status("refused", 1).await?;
    eventually(|| async { Ok(reconciled().await?.is_some_and(|told| told.status == "True")) }).await?;
    assert_eq!(world.events("refused", "ReconcileFailed").await?.len(), 1, "two tries, one event");
    Ok(())
}

/// Else a failure that is told in other words each time would be its own alarm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_fails_is_not_tried_at_each_event() -> Result<()> {
    const EVENTS: u64 = 60;
    let world = World::new().await?;
    world.namespace("events").await?;
    let faults = FaultHandle::new();
    faults.fail(Rule::every(Fault::Status(403)).verb("patch").resource("configmaps"));
    let _process = start(world.manager(&faults).await?);
    world.make("events", 1).await?;
    eventually(|| async { Ok(faults.count("patch", "configmaps") >= 1) }).await?;
    for n in 0..EVENTS {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"n": n.to_string()}}}));
        world.toys("events").patch("t", &PatchParams::default(), &patch).await?;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let tries = faults.count("patch", "configmaps");
    assert!(tries < EVENTS / 3, "{tries} tries for {EVENTS} events");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_printed_as_users_write_them() {
    assert_eq!(Key::new("ns", "n").to_string(), "ns/n");
    assert_eq!(Key::new("", "n").to_string(), "n");
}
