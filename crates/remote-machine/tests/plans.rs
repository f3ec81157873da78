//! Given this observation, what next: one fact per test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test ends at the first surprise, and passes what it makes"
)]

use api::remote_machine::RemoteMachine;
use reconcile::{Effect, Is, Next};
use remote_machine::machine::{Observed, Own, Step, decide, plan};
use serde_json::{Value, json};

const FACTS: &str = r#"{"role":"worker","k0s":"/usr/local/bin/k0s","files":["/etc/k0s.token"]}"#;

/// A machine for which everything is there, key and clean-up facts recorded.
const READY_TO_RUN: &str = r#"
now: "2026-01-01T00:01:00Z"
remote:
  metadata:
    name: m
    namespace: ns
    uid: u
    generation: 1
    finalizers: [remotemachine.k0smotron.io/finalizer]
    annotations:
      k0smotron.io/ssh-host-key: SHA256:known
      k0smotron.io/clean-up: '{"role":"worker","k0s":"/usr/local/bin/k0s","files":["/etc/k0s.token"]}'
  spec:
    address: 10.0.0.1
    sshKeyRef: { name: key }
machine: { name: m, uid: mu, dataSecret: data, configKind: K0sWorkerConfig }
cluster: { infrastructureProvisioned: true }
input:
  key: { Ok: "1" }
  hostKeys: { Ok: "" }
  data: { Ok: { run: r1, steps: 3, facts: { role: worker, k0s: /usr/local/bin/k0s, files: [/etc/k0s.token] } } }
"#;

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// That machine with changes; `null` removes.
fn with(changes: Value) -> Observed {
    let mut all: Value = serde_saphyr::from_str(READY_TO_RUN).unwrap();
    merge(&mut all, changes);
    serde_json::from_value(all).unwrap()
}

fn annotated(key: &str, value: &Value) -> Value {
    json!({"remote": {"metadata": {"annotations": {key: value}}}})
}

fn deleting(changes: Value) -> Observed {
    let mut all = json!({"remote": {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}});
    merge(&mut all, changes);
    with(all)
}

/// A row of the table of tasks, with the input that is observed.
fn task(observed: Observed, work: &str, state: Value, failures: u32) -> Observed {
    let mut value = serde_json::to_value(&observed).unwrap();
    let last = state.pointer("/Failed/failure").cloned();
    value["task"] = json!({"uid": "u", "work": work, "input": observed.input_digest(), "failures": failures, "last": last, "state": state});
    serde_json::from_value(value).unwrap()
}

fn failed(reason: &str) -> Value {
    json!({"Failed": {"failure": {"reason": reason, "message": "because"}, "at": "2026-01-01T00:00:58Z"}})
}

fn running(step: usize) -> Value {
    json!({"Running": {"phase": "Running", "step": step}})
}

fn refused(changes: Value, reason: &str) -> String {
    match decide(&with(changes)) {
        Step::Refuse(failure) => {
            assert_eq!(failure.reason.word(), reason, "{failure}");
            failure.message
        }
        step => panic!("{step:?}"),
    }
}

fn condition(observed: &Observed, type_: &str) -> (Is, String, String) {
    let plan = plan(observed);
    let found = plan.conditions.into_iter().find(|condition| condition.type_ == type_).unwrap();
    (found.status, found.reason, found.message)
}

#[test]
fn k8_without_owner_nothing_is_written() {
    for orphan in [json!({"machine": null}), json!({"cluster": null})] {
        let plan = plan(&with(orphan));
        assert_eq!((plan.effects.len(), plan.status, plan.conditions.len()), (0, None, 0));
    }
}

#[test]
fn it_is_held_before_the_first_act() {
    let unheld = with(json!({"remote": {"metadata": {"finalizers": null}}}));
    assert_eq!(plan(&unheld).effects, [Effect::Hold]);
}

#[test]
fn it_waits_for_infrastructure_and_for_data_and_says_so() {
    let waiting = with(json!({"cluster": {"infrastructureProvisioned": false}}));
    assert_eq!(decide(&waiting), Step::WaitForInfrastructure);
    assert_eq!(plan(&waiting).next, Next::OnChange);
    assert_eq!(condition(&waiting, "BootstrapExecSucceeded").1, "WaitingForInfrastructure");
    let waiting = with(json!({"machine": {"dataSecret": null}, "input": null}));
    assert_eq!(condition(&waiting, "BootstrapExecSucceeded").1, "BootstrapSecretMissing");
}

#[test]
fn what_is_missing_is_named() {
    assert!(
        refused(json!({"remote": {"spec": {"address": null}}}), "MissingFields").contains("spec.address")
    );
    let missing = json!({"reason": "SSHKeyMissing", "message": "m"});
    refused(json!({"input": {"key": {"Ok": null, "Err": missing}}}), "SSHKeyMissing");
    refused(
        json!({"input": {"data": {"Ok": null, "Err": {"reason": "UnsupportedBootstrapFormat", "message": "m"}}}}),
        "UnsupportedBootstrapFormat",
    );
}

#[test]
fn what_has_no_effect_yet_is_refused_by_name() {
    for (field, value) in
        [("pool", json!("p")), ("provisionJob", json!({})), ("jumpHost", json!({"address": "j"}))]
    {
        let message = refused(json!({"remote": {"spec": {field: value}}}), "UnsupportedField");
        assert!(message.contains(&format!("spec.{field}")), "{message}");
    }
}

#[test]
fn r1_the_host_key_is_learned_and_recorded_before_anything_else() {
    let new = with(annotated("k0smotron.io/ssh-host-key", &Value::Null));
    assert_eq!(plan(&new).effects, [Effect::Own(Own::Learn)]);
    let learned = task(new, "Learn", json!({"Learned": {"fingerprint": "SHA256:new"}}), 0);
    assert_eq!(decide(&learned), Step::RecordHostKey { fingerprint: "SHA256:new".into() });
    let [Effect::Apply(object)] = &plan(&learned).effects[..] else { panic!() };
    assert_eq!(object.metadata.annotations.as_ref().unwrap()["k0smotron.io/ssh-host-key"], "SHA256:new");
    assert_eq!(object.metadata.annotations.as_ref().unwrap()["k0smotron.io/clean-up"], FACTS);
    assert_eq!(object.metadata.uid.as_deref(), Some("u"));
}

#[test]
fn r1_pinned_and_insecure_hosts_are_not_asked_first() {
    let none = annotated("k0smotron.io/ssh-host-key", &Value::Null);
    for spec in [
        json!({"hostKeys": ["SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}),
        json!({"hostKeyPolicy": "Insecure"}),
    ] {
        let mut changes = none.clone();
        merge(&mut changes, json!({"remote": {"spec": spec}}));
        assert_eq!(decide(&with(changes)), Step::Provision);
    }
    let insecure = with(json!({"remote": {"spec": {"hostKeyPolicy": "Insecure"}}}));
    assert_eq!(condition(&insecure, "HostKeyVerified").1, "Insecure");
}

#[test]
fn what_the_clean_up_needs_is_recorded_before_anything_is_sent() {
    let unrecorded = with(annotated("k0smotron.io/clean-up", &Value::Null));
    assert_eq!(plan(&unrecorded).effects, [Effect::Own(Own::LogIn)]);
    let let_in = task(unrecorded, "LogIn", json!("LetIn"), 0);
    assert_eq!(decide(&let_in), Step::RecordCleanUp { facts: FACTS.into() });
    assert_eq!(plan(&with(json!({}))).effects, [Effect::Own(Own::Provision)]);
}

#[test]
fn r5_a_machine_whose_host_lets_nobody_in_goes_at_once() {
    let unrecorded = with(annotated("k0smotron.io/clean-up", &Value::Null));
    let refused = task(unrecorded, "LogIn", failed("AuthFailed"), 3);
    assert_eq!(condition(&refused, "BootstrapExecSucceeded").1, "AuthFailed");
    let going =
        task(deleting(annotated("k0smotron.io/clean-up", &Value::Null)), "LogIn", failed("AuthFailed"), 3);
    assert_eq!(plan(&going).effects, [Effect::Own(Own::Forget), Effect::Release]);
}

#[test]
fn running_work_is_watched_and_told() {
    let mut observed = task(with(json!({})), "Provision", running(2), 0);
    observed.input = None;
    observed.task.as_mut().unwrap().run = serde_json::from_value(json!({"id": "r1", "steps": 3})).unwrap();
    assert_eq!(condition(&observed, "BootstrapExecSucceeded").2, "running command 2 of 3");
    let run = plan(&observed).status.unwrap().run.unwrap();
    assert_eq!((run.id.as_deref(), run.step, run.steps), (Some("r1"), Some(2), Some(3)));
    assert!(plan(&observed).effects.is_empty());
}

#[test]
fn r12_a_failure_is_told_and_tried_again_after_a_while_that_grows() {
    let once = task(with(json!({})), "Provision", failed("CommandFailed"), 1);
    assert_eq!(plan(&once).next, Next::In(std::time::Duration::from_secs(3)));
    assert_eq!(
        condition(&once, "BootstrapExecSucceeded"),
        (Is::False, "CommandFailed".into(), "because".into())
    );
    assert_eq!(
        condition(&once, "Ready"),
        (Is::False, "IssuesReported".into(), "* BootstrapExecSucceeded: because".into())
    );
    assert!(plan(&once).status.unwrap().deprecated.is_none());
    let later = task(with(json!({"now": "2026-01-01T00:01:04Z"})), "Provision", failed("CommandFailed"), 1);
    assert_eq!(decide(&later), Step::Provision);
    let often = task(with(json!({})), "Provision", failed("ConnectFailed"), 9);
    assert_eq!(plan(&often).next, Next::In(std::time::Duration::from_secs(298)));
}

#[test]
fn r12_another_key_or_spec_is_tried_at_once() {
    let mut observed = task(with(json!({})), "Provision", failed("AuthFailed"), 9);
    assert!(matches!(decide(&observed), Step::Failed { .. }));
    observed.input.as_mut().unwrap().key = Ok("2".into());
    assert_eq!(decide(&observed), Step::Provision);
    let wished = task(
        with(annotated("k0smotron.io/retry-provision", &json!("true"))),
        "Provision",
        failed("AuthFailed"),
        9,
    );
    assert_eq!(decide(&wished), Step::RetryNow);
}

#[test]
fn a_changed_host_key_waits_for_its_annotation() {
    let stopped = task(with(json!({})), "Provision", failed("HostKeyMismatch"), 1);
    assert!(condition(&stopped, "BootstrapExecSucceeded").2.contains("accept-new-host-key"));
    let accepted = task(
        with(annotated("k0smotron.io/accept-new-host-key", &json!("true"))),
        "Provision",
        failed("HostKeyMismatch"),
        1,
    );
    assert_eq!(decide(&accepted), Step::ForgetHostKey);
}

#[test]
fn k32_the_provider_id_is_written_before_the_status_says_provisioned() {
    let done = json!({"Provisioned": {"host": {"operating_system": "linux", "architecture": "amd64", "hostname": "h", "addresses": ["10.0.0.1", "10.9.0.1"]}}});
    let observed = task(with(json!({})), "Provision", done.clone(), 0);
    let plan_now = plan(&observed);
    let [Effect::Apply(object)] = &plan_now.effects[..] else { panic!() };
    assert_eq!(object.data["spec"]["providerID"], "remote-machine://10.0.0.1:22");
    assert_eq!(plan_now.status.unwrap().initialization, None);
    let observed = task(
        with(json!({"remote": {"spec": {"providerID": "remote-machine://10.0.0.1:22"}}})),
        "Provision",
        done,
        0,
    );
    let plan = plan(&observed);
    assert!(plan.effects.is_empty());
    let status = serde_json::to_value(plan.status.unwrap()).unwrap();
    assert_eq!(status["initialization"], json!({"provisioned": true}));
    assert_eq!(
        status["addresses"],
        json!([
            {"type": "ExternalIP", "address": "10.0.0.1"}, {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "10.9.0.1"}, {"type": "Hostname", "address": "h"},
        ])
    );
    assert_eq!(plan.conditions[0].reason, "InfoReported");
}

#[test]
fn r25_an_ipv6_address_stands_in_brackets_and_a_name_is_also_a_dns_name() {
    let done = json!({"Provisioned": {"host": {"operating_system": "linux", "architecture": "amd64", "hostname": "", "addresses": []}}});
    let observed =
        task(with(json!({"remote": {"spec": {"address": "fd00::1", "port": 2222}}})), "Provision", done, 0);
    let [Effect::Apply(object)] = &plan(&observed).effects[..] else { panic!() };
    assert_eq!(object.data["spec"]["providerID"], "remote-machine://[fd00::1]:2222");
    let named = with(json!({"remote": {"spec": {"address": "h.example", "providerID": "x"}}}));
    let status = serde_json::to_value(plan(&named).status.unwrap()).unwrap();
    assert_eq!(
        status["addresses"],
        json!([{"type": "ExternalIP", "address": "h.example"}, {"type": "ExternalDNS", "address": "h.example"}])
    );
}

#[test]
fn provisioned_once_is_provisioned_for_ever_and_nothing_is_looked_at_again() {
    for spec in
        [json!({"spec": {"providerID": "x"}}), json!({"status": {"initialization": {"provisioned": true}}})]
    {
        let observed =
            with(json!({"remote": spec, "input": null, "cluster": {"infrastructureProvisioned": false}}));
        assert_eq!(decide(&observed), Step::Settled);
    }
}

#[test]
fn r21_plain_metadata_reaches_the_machine_and_that_of_tools_does_not() {
    let labels =
        json!({"rack": "r1", "zone": "z1", "cluster.x-k8s.io/cluster-name": "c", "k0smotron.io/x": "x"});
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}", "argocd.argoproj.io/x": "x", "note": "n"});
    let observed = with(json!({
        "remote": {"spec": {"providerID": "x"}, "metadata": {"labels": labels, "annotations": annotations}},
        "machine": {"labels": {"zone": "other"}},
    }));
    let [Effect::Apply(object)] = &plan(&observed).effects[..] else { panic!() };
    let value = serde_json::to_value(object).unwrap();
    assert_eq!(
        value["metadata"],
        json!({"name": "m", "namespace": "ns", "uid": "mu", "labels": {"rack": "r1"}, "annotations": {"note": "n"}})
    );
    let mut same = observed;
    same.machine.as_mut().unwrap().labels.insert("rack".into(), "r1".into());
    same.machine.as_mut().unwrap().annotations.insert("note".into(), "n".into());
    assert!(plan(&same).effects.is_empty());
}

#[test]
fn r5_what_was_never_sent_to_needs_no_contact() {
    let never = deleting(annotated("k0smotron.io/clean-up", &Value::Null));
    assert_eq!(plan(&never).effects, [Effect::Own(Own::Forget), Effect::Release]);
}

#[test]
fn r5_deletion_needs_neither_machine_nor_cluster_nor_data() {
    let alone = deleting(json!({"machine": null, "cluster": null, "input": {"data": null}}));
    assert_eq!(plan(&alone).effects, [Effect::Own(Own::CleanUp)]);
    let unheld = deleting(json!({"remote": {"metadata": {"finalizers": []}}}));
    assert_eq!(decide(&unheld), Step::Gone);
}

#[test]
fn r5_a_run_in_progress_is_cancelled_then_cleaned() {
    let observed = task(deleting(json!({})), "Provision", running(1), 0);
    assert_eq!(plan(&observed).effects, [Effect::Own(Own::Forget)]);
    let cleaned = task(deleting(json!({})), "CleanUp", json!({"Cleaned": {"remarks": []}}), 0);
    assert!(matches!(decide(&cleaned), Step::LetGo { dirty: false, .. }));
}

#[test]
fn r4_a_required_clean_up_is_tried_for_ever_and_says_the_way_out() {
    let observed = task(deleting(json!({})), "CleanUp", failed("ConnectFailed"), 50);
    assert!(matches!(decide(&observed), Step::CleanUpFailed { attempts: 50, .. }));
    let (is, reason, message) = condition(&observed, "Deleting");
    assert_eq!((is, &*reason), (Is::True, "CleanUpFailed"));
    assert!(message.contains("ConnectFailed: because") && message.contains("skip-clean-up"), "{message}");
    let skipped =
        task(deleting(annotated("k0smotron.io/skip-clean-up", &json!("true"))), "CleanUp", running(0), 50);
    assert!(matches!(decide(&skipped), Step::LetGo { dirty: true, .. }));
}

#[test]
fn best_effort_gives_up_after_three_attempts_and_skip_at_once() {
    let best_effort = json!({"remote": {"spec": {"cleanUpPolicy": "BestEffort"}}});
    let twice = task(deleting(best_effort.clone()), "CleanUp", failed("ConnectFailed"), 2);
    assert!(matches!(decide(&twice), Step::CleanUpFailed { .. }));
    let thrice = task(deleting(best_effort), "CleanUp", failed("ConnectFailed"), 3);
    assert!(matches!(decide(&thrice), Step::LetGo { dirty: true, .. }));
    let skip = deleting(json!({"remote": {"spec": {"cleanUpPolicy": "Skip"}}}));
    assert!(matches!(decide(&skip), Step::LetGo { dirty: true, .. }));
}

#[test]
fn an_empty_list_of_clean_up_commands_touches_nothing() {
    let empty = deleting(json!({"remote": {"spec": {"cleanUpCommands": []}}}));
    assert!(matches!(decide(&empty), Step::LetGo { .. }));
    let some = deleting(json!({"remote": {"spec": {"cleanUpCommands": ["true"]}}}));
    assert_eq!(decide(&some), Step::CleanUp);
}

#[test]
fn a_key_that_is_gone_is_said_while_deleting() {
    let gone = deleting(
        json!({"input": {"key": {"Ok": null, "Err": {"reason": "SSHKeyMissing", "message": "gone"}}}}),
    );
    assert!(condition(&gone, "Deleting").2.contains("SSHKeyMissing: gone"));
}

#[test]
fn k33_what_is_deleted_because_it_moved_is_left_alone() {
    let moved = deleting(annotated("clusterctl.cluster.x-k8s.io/delete-for-move", &json!("")));
    assert!(matches!(decide(&moved), Step::LetGo { dirty: false, .. }));
}

#[test]
fn r20_only_our_own_fields_are_applied() {
    let unrecorded = with(annotated("k0smotron.io/clean-up", &Value::Null));
    let observed = task(unrecorded, "LogIn", json!("LetIn"), 0);
    let [Effect::Apply(object)] = &plan(&observed).effects[..] else { panic!() };
    assert!(object.data.get("spec").is_none());
    let remote: RemoteMachine = observed.remote;
    assert_eq!(remote.spec.address.as_deref(), Some("10.0.0.1"));
}
