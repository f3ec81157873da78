//! What a real API server makes of our CRDs: they are served, good objects pass, bad ones are refused with words
//! that name the field and the remedy (H-3), and what is stored already can still be edited and deleted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test that cannot go on has failed; tables own their rows"
)]

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use testbed::ControlPlaneOnly;

#[path = "admission/bad.rs"]
mod bad;
#[path = "admission/changes.rs"]
mod changes;
#[path = "admission/good.rs"]
mod good;
mod losses;

fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk(&kind))
}

fn whole(kind: &str, name: &str, spec: Value) -> Value {
    let group = match kind {
        "Cluster" | "JoinTokenRequest" => "k0smotron.io",
        kind if kind.starts_with("Remote") => "infrastructure.cluster.x-k8s.io",
        kind if kind.starts_with("K0sWorker") => "bootstrap.cluster.x-k8s.io",
        _ => "controlplane.cluster.x-k8s.io",
    };
    json!({"apiVersion": format!("{group}/v1beta2"), "kind": kind, "metadata": {"name": name}, "spec": spec})
}

async fn create(client: &Client, object: &Value, dry_run: bool) -> Result<DynamicObject, String> {
    let params = PostParams { dry_run, ..PostParams::default() };
    let body = serde_json::from_value(object.clone()).unwrap();
    api(client, object).create(&params, &body).await.map_err(said)
}

async fn merge(client: &Client, object: &Value, patch: &Value) -> Result<DynamicObject, String> {
    let name = object["metadata"]["name"].as_str().unwrap();
    api(client, object).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(said)
}

/// What the API server said, and nothing around it.
fn said(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

async fn with_crds() -> (ControlPlaneOnly, Client) {
    let control_plane = ControlPlaneOnly::start().await.unwrap();
    let crds: Vec<Value> =
        api::crd::crds().unwrap().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    control_plane.apply_crds(&crds).await.unwrap();
    let client = control_plane.client().await.unwrap();
    (control_plane, client)
}

#[tokio::test]
async fn good_objects_pass_and_come_back_as_they_were() {
    let (_control_plane, client) = with_crds().await;
    let mut wrong = Vec::new();
    for (index, (kind, spec)) in good::objects().into_iter().enumerate() {
        let object = whole(kind, &format!("good-{index}"), spec);
        match create(&client, &object, false).await {
            Ok(stored) => good::keeps(&object, &serde_json::to_value(&stored).unwrap(), &mut wrong),
            Err(said) => wrong.push(format!("{object}\n  was refused: {said}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn bad_objects_are_refused_with_the_field_and_the_remedy() {
    let (_control_plane, client) = with_crds().await;
    let mut wrong = Vec::new();
    for (kind, spec, words) in bad::objects() {
        let object = whole(kind, "bad", spec);
        match create(&client, &object, true).await {
            Ok(_) => wrong.push(format!("{object}\n  was accepted; wanted: {words}")),
            Err(said) if said.contains(words) => {}
            Err(said) => wrong.push(format!("{object}\n  said:   {said}\n  wanted: {words}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn names_of_hosted_clusters_are_dns_labels() {
    let (_control_plane, client) = with_crds().await;
    for name in ["a.b".to_owned(), "a".repeat(64)] {
        let refused = create(&client, &whole("Cluster", &name, json!({})), true).await.unwrap_err();
        assert!(refused.contains("metadata.name must be a DNS label of at most 63 characters"), "{refused}");
    }
    create(&client, &whole("Cluster", &"a".repeat(63), json!({})), true).await.unwrap();
}

#[tokio::test]
async fn changes_that_lose_data_are_refused_and_others_are_not() {
    let (_control_plane, client) = with_crds().await;
    let mut wrong = Vec::new();
    for (index, (kind, spec, change, words)) in changes::changes().into_iter().enumerate() {
        let object = whole(kind, &format!("changed-{index}"), spec);
        create(&client, &object, false).await.unwrap();
        let outcome = merge(&client, &object, &json!({"spec": change})).await;
        match (outcome, words) {
            (Ok(_), None) => {}
            (Err(said), Some(words)) if said.contains(words) => {}
            (outcome, words) => {
                wrong.push(format!("{object}\n  change {change}\n  gave {outcome:?}\n  wanted {words:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn an_issued_token_request_cannot_be_changed() {
    let (_control_plane, client) = with_crds().await;
    let object = whole("JoinTokenRequest", "one", json!({"clusterName": "c", "expiry": "1h"}));
    create(&client, &object, false).await.unwrap();
    merge(&client, &object, &json!({"spec": {"expiry": "2h"}})).await.unwrap();
    let status = json!({"status": {"tokenID": "abcdef"}});
    api(&client, &object).patch_status("one", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let refused = merge(&client, &object, &json!({"spec": {"expiry": "3h"}})).await.unwrap_err();
    assert!(refused.contains("spec cannot be changed once the token is issued"), "{refused}");
    merge(&client, &object, &json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
}

/// Packaging chapter, 1.4: a rule of ours holds for new values only.
#[tokio::test]
async fn what_was_stored_before_a_rule_can_still_be_labelled_edited_elsewhere_and_deleted() {
    let (control_plane, client) = with_crds().await;
    let crds: Vec<Value> =
        api::crd::crds().unwrap().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let lenient: Vec<Value> = crds.iter().cloned().map(without_rules).collect();
    control_plane.apply_crds(&lenient).await.unwrap();
    let stored = [
        whole(
            "Cluster",
            "old.name",
            json!({"version": "latest", "replicas": 3, "storage": {"type": "kine"}}),
        ),
        whole("Cluster", "old", json!({"service": {"apiPort": 70000}, "persistence": {"type": "nfs"}})),
        whole("RemoteMachine", "old", json!({"port": 70000, "address": "a b", "hostKeyPolicy": "Pinned"})),
        whole("JoinTokenRequest", "old", json!({"clusterName": "c", "expiry": "1d"})),
    ];
    for object in &stored {
        eventually(|| create(&client, object, false)).await;
    }
    control_plane.apply_crds(&crds).await.unwrap();
    // The API server takes a moment to take a CRD's new rules up.
    let bad = whole("JoinTokenRequest", "new", json!({"clusterName": "c", "expiry": "1d"}));
    eventually(|| async {
        match create(&client, &bad, true).await {
            Ok(_) => Err("the rules are not in force".to_owned()),
            Err(said) => Ok(said),
        }
    })
    .await;

    for object in &stored {
        merge(&client, object, &json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["a.b/c"]}}))
            .await
            .unwrap();
    }
    merge(&client, &stored[0], &json!({"spec": {"serviceAccount": "x"}})).await.unwrap();
    merge(&client, &stored[1], &json!({"spec": {"replicas": 3}})).await.unwrap();
    merge(&client, &stored[3], &json!({"spec": {"clusterName": "d"}})).await.unwrap();
    let refused =
        merge(&client, &stored[1], &json!({"spec": {"service": {"apiPort": 70001}}})).await.unwrap_err();
    assert!(refused.contains("apiPort must be between 1 and 65535"), "{refused}");
    for object in &stored {
        let name = object["metadata"]["name"].as_str().unwrap();
        api(&client, object).delete(name, &DeleteParams::default()).await.unwrap();
        merge(&client, object, &json!({"metadata": {"finalizers": null}})).await.unwrap();
        assert!(api(&client, object).get_opt(name).await.unwrap().is_none(), "{name} is still there");
    }
}

/// Tries again for ten seconds.
async fn eventually<T, F: Future<Output = Result<T, String>>>(mut attempt: impl FnMut() -> F) -> T {
    let mut tries = 0;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(said) if tries == 100 => panic!("{said}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn without_rules(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            for field in fields.values_mut() {
                *field = without_rules(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_rules(item.take());
            }
        }
        _ => {}
    }
    schema
}
