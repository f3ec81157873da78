//! Given this observation, what next; and the golden vectors of section 17.
#![allow(clippy::needless_pass_by_value)] // literal values are handed over

use std::collections::BTreeMap;
use std::time::Duration;

use api::K0sWorkerConfigSpec;
use bootstrap_data::{Command, cloud_config, from_json, shell, to_json};
use pki::SecretBytes;
use reconcile::{Effect, Is, Next};
use serde_json::{Value, json};

use super::*;

/// A worker whose Cluster is complete, before its data are made.
fn ready() -> Value {
    json!({
        "now": "2026-01-01T00:00:00Z",
        "config": {"name": "w1", "namespace": "ns", "uid": "u1", "generation": 3},
        "owner": {"name": "m1", "cluster": "c1", "version": "v1.34.1+k0s"},
        "cluster": {
            "name": "c1", "infrastructureProvisioned": true, "endpoint": "10.0.0.1:6443",
            "controlPlaneInitialized": true,
        },
        "authority": true,
        "missing": [],
        "served": {"Yes": ["default-1.34", "default-1.33"]},
    })
}

/// The same with some facts changed; `null` removes one.
fn with(changes: Value) -> Observed {
    let mut value = ready();
    merge(&mut value, changes);
    serde_json::from_value(value).unwrap()
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

fn data(token: Value) -> Value {
    json!({"data": {"uid": "s1", "ours": true, "complete": true, "token": token}, "missing": null, "served": null})
}

fn reason(observed: &Observed) -> (Is, String, String) {
    let plan = plan(observed, decide(observed));
    let condition = plan.conditions.iter().find(|one| one.type_ == "DataSecretAvailable").unwrap();
    (condition.status, condition.reason.clone(), condition.message.clone())
}

#[test]
fn when_everything_is_there_the_data_are_made() {
    assert_eq!(decide(&with(json!({}))), Step::MakeData);
}

#[test]
fn rule_1_a_config_that_is_going_is_left_alone() {
    assert_eq!(decide(&with(json!({"config": {"deleting": true}}))), Step::Leave);
}

#[test]
fn rule_2_without_an_owner_nothing_is_written() {
    let observed = with(json!({"owner": null}));
    let plan = plan(&observed, decide(&observed));
    assert_eq!((plan.effects.len(), plan.status, plan.conditions.len()), (0, None, 0));
}

#[test]
fn rule_3_data_never_change_although_the_spec_does() {
    let mut changes = data(Value::Null);
    merge(&mut changes, json!({"config": {"spec": {"version": "nonsense", "args": ["--debug"]}}}));
    let observed = with(changes);
    assert_eq!(decide(&observed), Step::Settled { next: Next::OnChange });
    let status = plan(&observed, decide(&observed)).status.unwrap();
    assert_eq!(status.data_secret_name.as_deref(), Some("w1"));
    assert_eq!(status.initialization.unwrap().data_secret_created, Some(true));
    assert_eq!(status.observed_generation, Some(3));
}

#[test]
fn rule_3_a_token_is_extended_at_half_its_life_while_the_machine_has_no_node() {
    let at = |expires: &str| decide(&with(data(json!({"id": "abcdef", "expires": expires}))));
    let hour = Step::Settled { next: Next::In(Duration::from_mins(30)) };
    assert_eq!(at("2026-01-01T01:00:00Z"), hour);
    assert_eq!(at("2026-01-01T00:30:00Z"), Step::ExtendToken);
    assert_eq!(at("2025-12-31T00:00:00Z"), Step::ExtendToken, "also after it has ended");
}

#[test]
fn rule_3_a_token_goes_when_the_machine_has_joined_and_never_in_a_pool() {
    let joined = |pool: bool, token: Value| {
        let mut changes = data(token);
        merge(&mut changes, json!({"owner": {"joined": !pool, "pool": pool}}));
        decide(&with(changes))
    };
    let token = json!({"id": "abcdef", "expires": "2026-01-01T00:50:00Z"});
    assert_eq!(joined(false, token.clone()), Step::RemoveToken);
    assert_eq!(joined(true, token), Step::Settled { next: Next::In(Duration::from_mins(20)) });
    assert_eq!(
        joined(false, json!({"id": "abcdef"})),
        Step::Settled { next: Next::OnChange },
        "it went already"
    );
}

#[test]
fn an_ended_token_is_told_and_the_data_stay_available() {
    let observed = with(data(json!({"id": "abcdef", "expires": "2025-12-31T00:00:00Z"})));
    let plan = plan(&observed, decide(&observed));
    let token = plan.conditions.iter().find(|one| one.type_ == "JoinTokenValid").unwrap();
    assert_eq!((token.status, &*token.reason), (Is::False, "Expired"));
    assert_eq!(reason(&observed).0, Is::True);
}

#[test]
fn rule_3_a_secret_of_somebody_else_is_never_used() {
    let mut changes = data(Value::Null);
    merge(&mut changes, json!({"data": {"ours": false}}));
    let observed = with(changes);
    assert_eq!(decide(&observed), Step::Occupied);
    assert_eq!(reason(&observed).1, "DataSecretGenerationFailed");
}

#[test]
fn rule_4_data_are_never_made_again_for_a_machine_that_has_joined() {
    let observed = with(json!({"owner": {"joined": true}, "status": {"dataSecretName": "w1"}}));
    assert_eq!(decide(&observed), Step::Joined);
    assert_eq!(reason(&observed).0, Is::True);
}

#[test]
fn c30_data_that_are_lost_before_the_machine_has_joined_are_made_again() {
    let observed =
        with(json!({"status": {"dataSecretName": "w1", "initialization": {"dataSecretCreated": true}}}));
    assert_eq!(decide(&observed), Step::MakeData);
    let status = plan(&observed, Step::MakeData).status.unwrap();
    assert_eq!(status.data_secret_name.as_deref(), Some("w1"), "core has copied the name");
}

#[test]
fn rule_5_all_faults_are_told_at_once_with_field_value_and_remedy() {
    let spec = json!({
        "version": "1.34.x",
        "downloadURL": "ftp://h/k0s",
        "workingDir": "etc",
        "provisioner": {"type": "ignition", "platform": "windows"},
        "files": [
            {"path": "a", "content": ""},
            {"path": "/a", "content": "", "permissions": "0999"},
            {"path": "/a", "content": "", "contentFrom": {"secretRef": {"name": "s", "key": "k"}}},
            {"path": "/b"},
            {"path": "/c", "contentFrom": {}},
        ],
    });
    let (status, reason, message) = reason(&with(json!({"config": {"spec": spec}})));
    assert_eq!((status, &*reason), (Is::False, "InvalidSpec"));
    for field in [
        "spec.version: ",
        "spec.downloadURL: ",
        "spec.workingDir: ",
        "spec.provisioner.type: ",
        "spec.provisioner.platform: ",
        "spec.files[0].path: ",
        "spec.files[1].permissions: ",
        "spec.files[2].path: ",
        "spec.files[2]: ",
        "spec.files[3]: ",
        "spec.files[4].contentFrom: ",
    ] {
        assert!(message.contains(field), "{field} in {message}");
    }
    assert!(message.contains("\"0999\"") && message.contains("ftp://h/k0s"), "{message}");
}

#[test]
fn rules_6_to_9_each_wait_says_what_it_waits_for() {
    let waits = [
        (json!({"cluster": null}), "WaitingForCluster"),
        (json!({"cluster": {"infrastructureProvisioned": false}}), "WaitingForInfrastructure"),
        (json!({"cluster": {"endpoint": null}}), "WaitingForEndpoint"),
        (json!({"cluster": {"controlPlaneInitialized": false}}), "WaitingForControlPlaneInitialization"),
        (json!({"authority": false}), "WaitingForAuthority"),
        (
            json!({"missing": [{"field": "spec.files[0].contentFrom", "what": "Secret ns/s"}]}),
            "WaitingForContent",
        ),
        (json!({"served": {"Yes": null, "No": "no answer"}}), "ChildUnreachable"),
        (json!({"served": {"Yes": []}}), "WaitingForWorkerConfiguration"),
        (json!({"served": {"Yes": ["default-1.35"]}}), "WorkerMinorNotServed"),
    ];
    for (changes, expected) in waits {
        let observed = with(changes);
        let (status, reason, message) = reason(&observed);
        assert_eq!((status, &*reason), (Is::False, expected));
        assert!(!message.is_empty(), "{reason}");
        assert_eq!(plan(&observed, decide(&observed)).effects, [], "{reason}");
    }
}

/// K0S-21: a worker whose minor or profile is not served is reported before its data are rendered.
#[test]
fn k0s_21_profile_and_minor_are_looked_for_and_an_unknown_version_is_not_held_up() {
    let wanted = |spec: Value| match decide(&with(json!({"config": {"spec": spec}}))) {
        Step::Wait(Wait::NotServed { wanted, .. }) => Some(wanted),
        Step::MakeData => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(wanted(json!({"version": "v1.35.1+k0s.0"})).as_deref(), Some("default-1.35"));
    assert_eq!(wanted(json!({"args": ["--profile=big"]})).as_deref(), Some("big-1.34"));
    assert_eq!(wanted(json!({"args": ["--profile", "big"]})).as_deref(), Some("big-1.34"));
    assert_eq!(
        decide(&with(json!({"owner": {"version": null}, "served": {"Yes": ["default-1.36"]}}))),
        Step::MakeData
    );
}

#[test]
fn data_are_one_act_and_one_event() {
    let observed = with(json!({}));
    let plan = plan(&observed, decide(&observed));
    assert_eq!(plan.effects, [Effect::Own(Own::MakeData)]);
    assert_eq!(plan.said.events[0].reason, "DataSecretCreated");
    assert_eq!(plan.status.unwrap().data_secret_name, None, "not told before it is there");
}

fn parts(spec: Value, owner: &Value) -> Parts {
    let spec: K0sWorkerConfigSpec = serde_json::from_value(spec).unwrap();
    Parts::read(&spec, &serde_json::from_value(owner.clone()).unwrap()).unwrap()
}

fn install(spec: Value) -> String {
    let parts = parts(spec, &json!({"name": "m1"}));
    shell(&[Command::run(parts.install)]).trim_end().to_owned()
}

#[test]
fn g4_to_g6_and_g8_install_commands_are_byte_equal() {
    let start =
        "/usr/local/bin/k0s install worker --token-file /etc/k0s.token --labels=k0smotron.io/machine-name=m1";
    let g4 = json!({"args": ["--debug", "--kubelet-extra-args=\"--v=2\""]});
    assert_eq!(
        install(g4.clone()),
        format!("{start} --debug --kubelet-extra-args=\"--hostname-override=m1 --v=2\"")
    );
    let mut g5 = g4;
    g5["useSystemHostname"] = json!(true);
    assert_eq!(install(g5), format!("{start} --debug --kubelet-extra-args=\"--v=2\""));
    assert_eq!(install(json!({"useSystemHostname": true})), start, "G6");
    assert_eq!(
        install(json!({"args": ["--taints=a=b c:NoSchedule"]})),
        format!("{start} '--taints=a=b c:NoSchedule' --kubelet-extra-args=\"--hostname-override=m1\""),
        "G8"
    );
}

#[test]
fn c48_hosts_of_a_pool_keep_their_own_names() {
    let parts = parts(json!({}), &json!({"name": "p1", "pool": true}));
    let words = parts.install.join(" ");
    assert_eq!(words, "/usr/local/bin/k0s install worker --token-file /etc/k0s.token");
}

#[test]
fn a_version_comes_from_the_config_then_from_the_owner_then_from_nobody() {
    let version = |spec: Value, owner: Value| parts(spec, &owner).version.map(|version| version.to_string());
    let owner = json!({"name": "m1", "version": "v1.34.1"});
    assert_eq!(version(json!({"version": "v1.33.2-k0s.1"}), owner.clone()).as_deref(), Some("v1.33.2+k0s.1"));
    assert_eq!(version(json!({"version": ""}), owner).as_deref(), Some("v1.34.1+k0s.0"));
    assert_eq!(version(json!({}), json!({"name": "m1"})), None);
}

fn commands(spec: &Value, script: bool) -> (bootstrap_data::NodeSetup, String) {
    let parts = parts(spec.clone(), &json!({"name": "m1", "version": "v1.31.2"}));
    let spec: K0sWorkerConfigSpec = serde_json::from_value(spec.clone()).unwrap();
    let contents: BTreeMap<String, SecretBytes> = [
        ("spec.files[1].contentFrom".to_owned(), "{{ helm }}".to_owned().into()),
        ("spec.provisioner.customUserDataRef".to_owned(), "packages: [c]\n".to_owned().into()),
    ]
    .into();
    let setup = setup(&spec, &parts, &contents, "TOKEN".to_owned().into(), script).unwrap();
    let text = shell(&setup.commands);
    (setup, text)
}

#[test]
fn section_7_files_and_commands_come_in_their_order() {
    let spec = json!({
        "preK0sCommands": ["pre && true"], "postK0sCommands": ["post | cat"], "workingDir": "/opt/k",
        "files": [
            {"path": "/etc/one", "content": "1", "permissions": "0600"},
            {"path": "/etc/two", "contentFrom": {"configMapRef": {"name": "m", "key": "k"}}},
        ],
    });
    let (setup, text) = commands(&spec, false);
    let files: Vec<_> =
        setup.files.iter().map(|file| (file.path.as_str(), file.permissions.to_string())).collect();
    let expected = [("/opt/k/k0s.token", "0600"), ("/etc/one", "0600"), ("/etc/two", "0644")];
    assert_eq!(files, expected.map(|(path, mode)| (path, mode.to_owned())));
    assert_eq!(setup.files[2].content.expose(), b"{{ helm }}");
    let lines: Vec<&str> = text.lines().collect();
    let download = "curl -sSfL --retry 5 https://get.k0s.sh | K0S_INSTALL_PATH=/usr/local/bin K0S_VERSION=v1.31.2+k0s.0 sh";
    assert_eq!(lines[..2], ["pre && true", download]);
    assert!(
        lines[2].starts_with("/usr/local/bin/k0s install worker --token-file /opt/k/k0s.token "),
        "{}",
        lines[2]
    );
    assert_eq!(lines[3], k0s::START_WORKER);
    assert_eq!(lines[4..], ["post | cat", bootstrap_data::SENTINEL]);
}

#[test]
fn section_8_the_binary_comes_from_where_the_user_says() {
    let download = |spec: Value| {
        commands(&spec, false)
            .1
            .lines()
            .take_while(|line| !line.contains("install worker"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(download(json!({"preInstalledK0s": true})), Vec::<String>::new());
    assert_eq!(
        download(json!({"downloadURL": "https://h/k0s"})),
        ["curl -sSfL --retry 5 https://h/k0s -o /usr/local/bin/k0s", "chmod +x /usr/local/bin/k0s"]
    );
    assert_eq!(
        download(json!({"downloadURL": "oci://r.example/k0s@sha256:ab"}))[1],
        "oras blob fetch --output /usr/local/bin/k0s r.example/k0s@sha256:ab"
    );
}

#[test]
fn c13_the_users_own_text_is_merged_and_ours_is_kept() {
    let spec = json!({
        "provisioner": {"customUserDataRef": {"secretRef": {"name": "s", "key": "k"}}},
        "files": [{"path": "/etc/one", "content": "1"}, {"path": "/etc/two", "content": ""}],
    });
    let (setup, _) = commands(&spec, true);
    let text = cloud_config(&setup).unwrap();
    let text = text.expose_str().unwrap();
    assert!(text.starts_with("## template: jinja\n#cloud-config\n"), "{text}");
    let read: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(read["packages"], json!(["c"]));
    assert_eq!(read["runcmd"], json!(["/bin/sh /etc/k0s/k0smotron-bootstrap.sh"]));
    let paths: Vec<_> =
        read["write_files"].as_array().unwrap().iter().map(|file| file["path"].clone()).collect();
    assert_eq!(paths, ["/etc/k0s.token", "/etc/one", "/etc/two", "/etc/k0s/k0smotron-bootstrap.sh"]);
}

#[test]
fn the_setup_is_the_same_for_our_own_reader() {
    let (setup, _) = commands(&json!({"preK0sCommands": ["a"]}), true);
    assert_eq!(from_json(to_json(&setup).expose()).unwrap(), setup);
}

/// What a host of cloud-init gets, as a person has approved it.
#[test]
fn the_user_data_of_a_worker() {
    let spec = json!({
        "preK0sCommands": ["swapoff -a"], "args": ["--taints=a=b c:NoSchedule"],
        "files": [{"path": "/etc/one", "content": "1\n"}, {"path": "/etc/two", "contentFrom": {"configMapRef": {"name": "m", "key": "k"}}}],
    });
    let (setup, _) = commands(&spec, false);
    let text = cloud_config(&setup).unwrap();
    insta::assert_snapshot!(text.expose_str().unwrap());
}
