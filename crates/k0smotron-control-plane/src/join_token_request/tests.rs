//! Given this observation, what next.
#![allow(clippy::needless_pass_by_value)] // literal values are handed over

use std::time::Duration;

use k0s::JoinToken;
use reconcile::{Effect, Is, Next};
use serde_json::{Value, json};
use workload::Reach;

use super::*;

/// A request whose token is recorded and about to be issued.
fn recorded() -> Value {
    json!({
        "now": "2026-01-01T00:00:00Z",
        "freshId": "fresh1",
        "request": {
            "name": "j", "namespace": "ns", "uid": "u1", "generation": 1, "held": true,
            "cluster": "c1", "clusterNamespace": "ns", "expiry": "1h", "role": "worker",
        },
        "status": {"tokenID": "abcdef", "expiresAt": "2026-01-01T01:00:00Z"},
        "cluster": {"uid": "k1", "granted": true, "host": "10.0.0.1", "port": 30443},
        "authority": "digest",
        "child": {"Yes": "Free"},
    })
}

fn merge(value: &mut Value, changes: Value) {
    match (value, changes) {
        (Value::Object(value), Value::Object(changes)) => {
            for (key, change) in changes {
                if change.is_null() {
                    value.remove(&key);
                } else {
                    merge(value.entry(key).or_insert(Value::Null), change);
                }
            }
        }
        (value, changes) => *value = changes,
    }
}

fn with(changes: Value) -> Observed {
    let mut value = recorded();
    merge(&mut value, changes);
    serde_json::from_value(value).unwrap()
}

/// With the Secret that says what it should.
fn issued(changes: Value) -> Observed {
    let inputs = with(json!({})).inputs();
    let mut observed = with(changes);
    observed.secret = Some(TokenSecretFacts {
        uid: "s1".to_owned(),
        ours: true,
        complete: true,
        id: Some("abcdef".to_owned()),
        inputs,
    });
    observed
}

fn reason(observed: &Observed) -> (Is, String) {
    let plan = plan(observed, decide(observed));
    let condition = plan.conditions.iter().find(|one| one.type_ == "JoinTokenSecretCreated").unwrap();
    (condition.status, condition.reason.clone())
}

#[test]
fn h45_the_finalizer_then_the_id_then_the_token() {
    assert_eq!(decide(&with(json!({"request": {"held": false}}))), Step::Hold);
    let observed = with(json!({"status": null, "child": null}));
    let expires = Some("2026-01-01T01:00:00Z".parse().unwrap());
    assert_eq!(decide(&observed), Step::Record { id: "fresh1".to_owned(), expires });
    let recording = plan(&observed, decide(&observed));
    assert_eq!(recording.effects, [], "the status is written before anything exists");
    let status = recording.status.unwrap();
    assert_eq!(
        (status.token_id.as_deref(), status.expires_at.as_deref()),
        (Some("fresh1"), Some("2026-01-01T01:00:00Z"))
    );
    assert_eq!(decide(&with(json!({}))), Step::Issue);
}

#[test]
fn h45_after_a_crash_the_token_of_the_recorded_id_is_used_again() {
    assert_eq!(decide(&with(json!({"child": {"Yes": "Ours"}}))), Step::Issue);
    let foreign = with(json!({"child": {"Yes": "Foreign"}}));
    assert_eq!(decide(&foreign), Step::Rename { id: "fresh1".to_owned() });
    assert_eq!(plan(&foreign, decide(&foreign)).status.unwrap().token_id.as_deref(), Some("fresh1"));
}

#[test]
fn h45_after_a_move_the_id_comes_from_the_secret() {
    let mut observed = issued(json!({}));
    observed.status.token_id = None;
    assert!(matches!(decide(&observed), Step::Record { id, .. } if id == "abcdef"));
}

#[test]
fn h45_an_expiry_that_is_no_duration_is_refused() {
    let observed = with(json!({"request": {"expiry": "1h; id"}}));
    assert_eq!(reason(&observed), (Is::False, "InvalidSpec".to_owned()));
    assert!(matches!(decide(&observed), Step::Reject(why) if why.contains("\"1h; id\"")));
}

#[test]
fn h46_zero_is_never() {
    let observed = with(json!({"request": {"expiry": "0s"}, "status": null, "child": null}));
    let status = plan(&observed, decide(&observed)).status.unwrap();
    assert_eq!(status.expires_at.as_deref(), Some("never"));
    let issued = issued(json!({"status": {"expiresAt": "never"}}));
    assert_eq!(decide(&issued), Step::Settled { next: Next::OnChange });
}

#[test]
fn h46_what_is_issued_is_settled_until_it_ends() {
    let observed = issued(json!({"child": null}));
    assert_eq!(decide(&observed), Step::Settled { next: Next::In(Duration::from_hours(1)) });
    assert_eq!(reason(&observed), (Is::True, "Created".to_owned()));
}

#[test]
fn h46_an_ended_token_goes_from_child_and_namespace() {
    let ended = issued(json!({"status": {"expiresAt": "2025-12-31T00:00:00Z"}}));
    let expiring = plan(&ended, decide(&ended));
    assert!(
        matches!(&expiring.effects[..], [Effect::Own(Own::Revoke), Effect::Delete { uid, .. }] if uid == "s1")
    );
    let gone = with(json!({"status": {"expiresAt": "2025-12-31T00:00:00Z"}, "child": null}));
    assert_eq!(decide(&gone), Step::Expired);
    assert_eq!(plan(&gone, Step::Expired).conditions[1].type_, "Expired");
}

#[test]
fn h46_a_changed_endpoint_or_authority_rewrites_the_text_with_the_same_id() {
    assert_eq!(decide(&issued(json!({"cluster": {"host": "10.0.0.2"}}))), Step::Issue);
    assert_eq!(decide(&issued(json!({"authority": "other"}))), Step::Issue);
    let unknown = issued(json!({"cluster": {"host": null}}));
    assert!(matches!(decide(&unknown), Step::Settled { .. }), "while it changes the text stays");
}

#[test]
fn h46_deletion_removes_the_token_first_and_gives_up_after_ten_minutes() {
    let deleted = |since: &str| with(json!({"request": {"deletingSince": since}}));
    let just_now = deleted("2025-12-31T23:59:00Z");
    assert_eq!(plan(&just_now, decide(&just_now)).effects, [Effect::Own(Own::Revoke), Effect::Release]);
    let long_ago = deleted("2025-12-31T23:50:00Z");
    let abandoned = plan(&long_ago, decide(&long_ago));
    assert_eq!(abandoned.effects, [Effect::Release]);
    let event = &abandoned.said.events[0];
    assert!(event.warning && event.note.contains("abcdef"), "{event:?}");
}

#[test]
fn h46_deletion_needs_no_child_that_goes_itself_and_no_token_that_was_never_made() {
    let deleted = with(json!({"request": {"deletingSince": "2025-12-31T23:59:00Z"}}));
    let changes: [fn(&mut Observed); 4] = [
        |o| o.cluster = None,
        |o| o.cluster.as_mut().unwrap().deleting = true,
        |o| o.status.token_id = None,
        |o| o.request.moved = true,
    ];
    for change in changes {
        let mut observed = deleted.clone();
        change(&mut observed);
        assert_eq!(decide(&observed), Step::Release);
    }
    let mut not_held = deleted;
    not_held.request.held = false;
    assert_eq!(decide(&not_held), Step::Leave);
}

#[test]
fn h47_another_namespace_gets_nothing_until_granted_and_issued_tokens_stay() {
    let other =
        json!({"request": {"clusterNamespace": "theirs"}, "cluster": {"granted": false}, "status": null});
    assert_eq!(reason(&with(other.clone())).1, "NotAllowed");
    let kept = issued(json!({"request": {"clusterNamespace": "theirs"}, "cluster": {"granted": false}}));
    let plan = plan(&kept, decide(&kept));
    assert!(matches!(decide(&kept), Step::Settled { .. }));
    let Effect::Apply(object) = &plan.effects[0] else { panic!("{:?}", plan.effects) };
    assert_eq!(object.metadata.labels.as_ref().unwrap()["k0smotron.io/cluster-uid"], "k1");
    assert_eq!(object.metadata.owner_references, None);
}

#[test]
fn h47_a_request_of_the_clusters_namespace_is_owned_by_the_cluster() {
    let observed = issued(json!({}));
    let plan = plan(&observed, decide(&observed));
    let Effect::Apply(object) = &plan.effects[0] else { panic!("{:?}", plan.effects) };
    let owner = &object.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((&*owner.kind, &*owner.uid, owner.controller), ("Cluster", "k1", Some(true)));
}

#[test]
fn every_wait_says_what_it_waits_for() {
    let mut no_cluster = with(json!({}));
    no_cluster.cluster = None;
    assert_eq!(reason(&no_cluster).1, "ClusterNotFound");
    let occupied = {
        let mut observed = issued(json!({}));
        observed.secret.as_mut().unwrap().ours = false;
        observed
    };
    assert_eq!(reason(&occupied).1, "NotOurs");
    let waits = [
        (json!({"cluster": {"deleting": true}}), "ClusterNotFound"),
        (json!({"cluster": {"paused": true}}), "ClusterPaused"),
        (json!({"cluster": {"host": null}}), "WaitingForEndpoint"),
        (json!({"authority": null}), "WaitingForAuthority"),
    ];
    for (changes, expected) in waits {
        assert_eq!(reason(&with(changes)).1, expected);
    }
    let mut unreachable = with(json!({}));
    unreachable.child = Some(Reach::No("no answer".to_owned()));
    assert_eq!(reason(&unreachable).1, "ChildUnreachable");
}

/// Golden vector of section 17: the server of each role, brackets around IPv6.
#[test]
fn the_server_is_the_endpoint_and_for_controllers_the_join_port() {
    let server = |changes: Value| with(changes).server().unwrap();
    assert_eq!(server(json!({"cluster": {"port": 6443}})), "https://10.0.0.1:6443");
    assert_eq!(server(json!({"cluster": {"port": 6443, "host": "fd00::1"}})), "https://[fd00::1]:6443");
    assert_eq!(server(json!({"request": {"role": "controller"}})), "https://10.0.0.1:9443");
    assert!(JoinToken::decode(b"nonsense").is_err());
}
