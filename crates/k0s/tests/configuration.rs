//! ClusterConfig: the user's words stay, ours are merged over them (H-15, H-16, K0S-6, K0S-8).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use k0s::{ClusterConfig, NODE_LOCAL, STATIC, changes_refused, merge};
use proptest::prelude::*;
use serde_json::{Value, json};

fn config(value: &Value) -> ClusterConfig {
    ClusterConfig::from_user(Some(value)).unwrap()
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9:/.]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn spec() -> impl Strategy<Value = Value> {
    let keys = ["api", "storage", "konnectivity", "network", "installConfig", "images", "telemetry"];
    let network = ["serviceCIDR", "podCIDR", "clusterDomain", "calico", "primaryAddressFamily"];
    let network = prop::collection::btree_map(prop::sample::select(network.to_vec()), json_value(), 1..4);
    let rest = prop::collection::btree_map(prop::sample::select(keys.to_vec()), json_value(), 0..6);
    (rest, prop::option::of(network)).prop_map(|(rest, network)| {
        let mut spec = json!(rest);
        if let Some(network) = network {
            spec["network"] = json!(network);
        }
        spec
    })
}

proptest! {
    /// K0S-8: the two halves together are the whole.
    #[test]
    fn k0s8_a_cut_configuration_is_whole_again(spec in spec()) {
        let whole = config(&json!({ "spec": spec }));
        for paths in [&NODE_LOCAL[..], &STATIC[..]] {
            let parts = whole.cut(paths);
            let mut again = Value::Object(parts.rest.clone());
            for (key, value) in parts.listed {
                match (&mut again[&key], value) {
                    (Value::Object(here), Value::Object(more)) => here.extend(more),
                    (here, value) => *here = value,
                }
            }
            prop_assert_eq!(again, Value::Object(whole.spec()));
            for path in paths {
                let (rest, gone) = (config(&json!({ "spec": parts.rest })), *path);
                prop_assert!(rest.get(gone).is_none(), "{} is still there", gone);
            }
        }
    }

    /// K0S-6: what we do not write stays as it was.
    #[test]
    fn k0s6_editing_changes_nothing_else(spec in spec(), value in "[a-z]{1,5}") {
        let mut edited = config(&json!({ "spec": spec.clone() }));
        edited.set("storage.etcd.etcdPrefix", value.clone().into());
        prop_assert_eq!(edited.text("storage.etcd.etcdPrefix"), Some(value.as_str()));
        let strip = |spec: &Value| {
            let mut spec = spec.clone();
            spec.as_object_mut().unwrap().remove("storage");
            spec
        };
        prop_assert_eq!(strip(&Value::Object(edited.spec())), strip(&spec));
    }

    #[test]
    fn merging_twice_is_merging_once(theirs in json_value(), ours in json_value()) {
        let mut once = theirs;
        merge(&mut once, ours.clone());
        let mut twice = once.clone();
        merge(&mut twice, ours);
        prop_assert_eq!(twice, once);
    }
}

#[test]
fn h15_api_version_and_kind_are_filled_and_others_refused() {
    let filled = ClusterConfig::from_user(None).unwrap().to_value();
    assert_eq!(filled, json!({ "apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig" }));
    for (wrong, path) in [
        (json!({ "kind": "Cluster" }), "kind"),
        (json!({ "apiVersion": "k0s.k0sproject.io/v1beta2" }), "apiVersion"),
        (json!({ "spec": [] }), "spec"),
        (json!("x"), "k0s configuration"),
    ] {
        assert_eq!(ClusterConfig::from_user(Some(&wrong)).unwrap_err().path, path);
    }
}

#[test]
fn h15_maps_merge_our_lists_replace_and_absent_values_overwrite_nothing() {
    let mut config =
        config(&json!({ "spec": { "api": { "port": 1, "sans": ["a"], "extraArgs": { "v": "2" } } } }));
    config.merge_spec(json!({ "api": { "port": 30443, "sans": ["b"], "externalAddress": null, "extraArgs": { "x": "y" } } }));
    assert_eq!(
        Value::Object(config.spec()),
        json!({ "api": { "port": 30443, "sans": ["b"], "extraArgs": { "v": "2", "x": "y" } } })
    );
    config.add_sans(["b", "", "a.example"].map(String::from));
    assert_eq!(config.get("api.sans"), Some(&json!(["a.example", "b"])));
}

#[test]
fn h16_the_object_in_the_child_lacks_the_static_part() {
    let config = config(&json!({ "spec": {
        "api": { "port": 1 }, "konnectivity": { "agentPort": 2 },
        "network": { "serviceCIDR": "10.0.0.0/16", "calico": { "mtu": 1400 } }, "images": { "repository": "r" }
    } }));
    let object = config.dynamic_object(&STATIC);
    assert_eq!(object["metadata"], json!({ "name": "k0s", "namespace": "kube-system" }));
    assert_eq!(
        object["spec"],
        json!({ "network": { "calico": { "mtu": 1400 } }, "images": { "repository": "r" } })
    );
    let on_machines = config.dynamic_object(&NODE_LOCAL);
    assert_eq!(on_machines["spec"]["konnectivity"], json!({ "agentPort": 2 }));
}

#[test]
fn a_changed_address_range_is_refused_but_writing_a_default_down_is_none() {
    let empty = config(&json!({}));
    let written = config(&json!({ "spec": { "network": {
        "podCIDR": "10.244.0.0/16", "serviceCIDR": "10.96.0.0/12", "provider": "kuberouter"
    } } }));
    assert!(changes_refused(&empty, &written).is_empty());
    let other = config(&json!({ "spec": { "network": { "provider": "calico", "podCIDR": "10.1.0.0/16" } } }));
    let faults = changes_refused(&empty, &other);
    assert_eq!(faults.len(), 2);
    assert!(faults[0].to_string().starts_with("spec.network.podCIDR: cannot change from \"10.244.0.0/16\""));
}
