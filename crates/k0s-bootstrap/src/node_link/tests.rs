//! Given this observation, which Node.

use reconcile::Effect;
use serde_json::{Value, json};
use workload::Reach;

use super::*;

fn node(name: &str, provider_id: Option<&str>, label: Option<&str>, address: &str) -> Value {
    let labels = label.map(|machine| json!({(crate::MACHINE_NAME_LABEL): machine}));
    json!({
        "name": name, "uid": format!("uid-{name}"), "providerId": provider_id, "labels": labels.unwrap_or(json!({})),
        "addresses": [{"type": "InternalIP", "address": address}],
    })
}

fn observed(nodes: &[Value]) -> Observed {
    let value = json!({
        "now": "2026-01-01T00:00:00Z",
        "machine": {
            "name": "m1", "namespace": "ns", "uid": "u1", "cluster": "c1", "ours": true,
            "providerId": "remote-machine://h:22", "addresses": ["10.0.0.1", "127.0.0.1"],
        },
        "nodes": {"Yes": nodes},
    });
    serde_json::from_value(value).unwrap()
}

fn linked_to(step: Step) -> Option<(String, Option<String>)> {
    match step {
        Step::Link { node, provider_id } => Some((node.name, provider_id)),
        _ => None,
    }
}

const ID: &str = "remote-machine://h:22";

#[test]
fn rule_1_only_machines_of_ours_that_have_a_kubelet_are_linked() {
    let ours = observed(&[node("m1", None, None, "10.0.0.9")]);
    let changes: [fn(&mut MachineFacts); 4] =
        [|m| m.ours = false, |m| m.nodeless = true, |m| m.paused = true, |m| m.deleting = true];
    for change in changes {
        let mut observed = ours.clone();
        change(&mut observed.machine);
        assert!(matches!(decide(&observed), Step::Leave(_)));
        assert!(!observed.machine.looks_for_a_node(), "and its cluster is not asked");
    }
}

#[test]
fn rule_2_a_machine_with_a_node_asks_nobody() {
    let mut observed = observed(&[]);
    observed.machine.node = Some("m1".to_owned());
    assert_eq!(decide(&observed), Step::Linked);
    assert!(!observed.machine.looks_for_a_node());
}

#[test]
fn rules_3_to_5_wait_for_provider_id_cluster_and_node() {
    let mut waiting = observed(&[]);
    assert_eq!(decide(&waiting), Step::Wait(Wait::Node));
    waiting.nodes = Some(Reach::No("no answer".to_owned()));
    assert_eq!(decide(&waiting), Step::Wait(Wait::Cluster("no answer".to_owned())));
    waiting.machine.provider_id = None;
    assert_eq!(decide(&waiting), Step::Wait(Wait::ProviderId));
}

#[test]
fn the_strongest_match_wins() {
    let by_address = node("a", None, None, "10.0.0.1");
    let by_name = node("m1", None, None, "10.0.0.9");
    let by_label = node("l", None, Some("m1"), "10.0.0.9");
    let by_id = node("i", Some(ID), Some("m1"), "10.0.0.9");
    let id = Some(ID.to_owned());
    assert_eq!(
        linked_to(decide(&observed(std::slice::from_ref(&by_address)))),
        Some(("a".to_owned(), id.clone()))
    );
    let two = [by_address.clone(), by_name.clone()];
    assert_eq!(linked_to(decide(&observed(&two))), Some(("m1".to_owned(), id.clone())));
    let three = [by_address.clone(), by_name.clone(), by_label.clone()];
    assert_eq!(linked_to(decide(&observed(&three))), Some(("l".to_owned(), id)));
    assert_eq!(decide(&observed(&[by_address, by_name, by_label, by_id])), Step::Linked);
}

/// C-51: two nodes sharing an address are not mixed up.
#[test]
fn c51_rule_6_two_nodes_that_fit_equally_well_are_reported_and_not_touched() {
    let observed = observed(&[node("a", None, None, "10.0.0.1"), node("b", None, None, "10.0.0.1")]);
    let step = decide(&observed);
    assert_eq!(step, Step::Ambiguous { nodes: vec!["a".to_owned(), "b".to_owned()] });
    let plan = plan(&observed, step);
    assert!(matches!(&plan.effects[..], [Effect::ApplyStatus(_)]));
    assert_eq!(plan.said.events[0].reason, "AmbiguousNode");
}

#[test]
fn a_loopback_address_is_nobodys() {
    assert_eq!(decide(&observed(&[node("a", None, None, "127.0.0.1")])), Step::Wait(Wait::Node));
}

#[test]
fn rule_7_a_node_that_has_the_provider_id_gets_the_label_alone() {
    let step = decide(&observed(&[node("a", Some(ID), None, "10.0.0.9")]));
    assert_eq!(linked_to(step), Some(("a".to_owned(), None)));
}

#[test]
fn rule_8_another_provider_id_is_never_overwritten() {
    let observed = observed(&[node("m1", Some("aws:///i-1"), None, "10.0.0.1")]);
    let step = decide(&observed);
    assert_eq!(step, Step::Mismatch { node: "m1".to_owned(), found: "aws:///i-1".to_owned() });
    let plan = plan(&observed, step);
    let Effect::ApplyStatus(object) = &plan.effects[0] else { panic!("{:?}", plan.effects) };
    let condition = &object.data["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("NodeLinked"), &json!("ProviderIDMismatch"))
    );
    assert_eq!(condition["lastTransitionTime"], "2026-01-01T00:00:00Z");
}

#[test]
fn a_node_that_is_going_does_not_count() {
    let mut going = node("m1", None, None, "10.0.0.1");
    going["deleting"] = json!(true);
    assert_eq!(decide(&observed(&[going])), Step::Wait(Wait::Node));
}

#[test]
fn a_trouble_that_is_over_is_told_and_a_machine_without_trouble_is_not_written() {
    let mut observed = observed(&[node("m1", Some(ID), Some("m1"), "10.0.0.1")]);
    assert!(plan(&observed, decide(&observed)).effects.is_empty());
    let condition = json!({"type": "NodeLinked", "status": "False", "reason": "AmbiguousNode", "message": "",
        "lastTransitionTime": "2025-01-01T00:00:00Z"});
    observed.machine.condition = Some(serde_json::from_value(condition).unwrap());
    let effects = plan(&observed, decide(&observed)).effects;
    let Effect::ApplyStatus(object) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(object.data["status"]["conditions"][0]["status"], "True");
}
