//! What people are told as time goes by, and once something changed.

use jiff::SignedDuration;
use reconcile::{Effect, Is, Next, Tell};

use super::plans::{condition, settled};
use super::world::{effects, with_spec};
use crate::cluster::observe::{Observed, Request};
use crate::cluster::plan::{ClusterPlan, plan};
use crate::cluster::template::NETWORK;

const SQLITE_ON_A_CLAIM: &str = "version: v1.36.3+k0s.2\nstorage: {type: kine}\npersistence: {type: pvc, persistentVolumeClaim: {spec: {accessModes: [ReadWriteOnce]}}}";
const ETCD: &str = "version: v1.36.3+k0s.2\nreplicas: 3";

fn told<'a>(plan: &'a ClusterPlan, reason: &str) -> Option<&'a reconcile::Event> {
    plan.said.events.iter().find(|event| event.reason == reason)
}

fn days(number: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * number)
}

/// H-13.
#[test]
fn an_authority_that_ends_within_180_days_is_told_once_a_week() {
    let mut seen = settled(SQLITE_ON_A_CLAIM);
    let end = |days_left: i64, seen: &mut Observed| {
        let now = seen.now;
        for secret in seen.secrets.iter_mut().filter(|secret| secret.name == "one-ca") {
            secret.fact.life = Some((now, now.checked_add(days(days_left)).unwrap()));
        }
    };
    end(181, &mut seen);
    let early = plan(&seen);
    assert!(condition(&early, "CertificatesAvailable").message.is_empty());
    assert!(matches!(early.next, Next::In(time) if time <= std::time::Duration::from_hours(24)));
    let mut words = Vec::new();
    for left in [179, 176, 174] {
        end(left, &mut seen);
        let plan = plan(&seen);
        let event = told(&plan, "AuthorityExpiring").unwrap();
        assert!(event.warning && event.tell == Tell::MessageChanged("CertificatesAvailable"));
        words.push(event.note.split(", in ").nth(1).unwrap().to_owned());
    }
    assert_eq!(words[0], words[1], "not twice in a week");
    assert_ne!(words[1], words[2]);
}

/// H-12.
#[test]
fn a_restart_for_certificates_is_told_fourteen_days_before() {
    let mut seen = settled(SQLITE_ON_A_CLAIM);
    let started = seen.pods[0].fact.running_since.unwrap();
    seen.now = started.checked_add(days(290)).unwrap();
    assert!(told(&plan(&seen), "CertificateRestartDue").is_none());
    seen.now = started.checked_add(days(292)).unwrap();
    let due = plan(&seen);
    let event = told(&due, "CertificateRestartDue").unwrap();
    assert!(event.note.starts_with("kmc-one-0 restarts on 2027-04-02"), "{}", event.note);
    assert!(!effects(&due).iter().any(|effect| effect.starts_with("delete")), "not yet");
}

/// Section 5.2.
#[test]
fn a_change_of_the_network_of_a_cluster_that_exists_is_refused() {
    let config = "\nk0sConfig: {spec: {network: {podCIDR: 10.1.0.0/16}}}";
    let mut seen = settled(SQLITE_ON_A_CLAIM);
    assert!(seen.control_plane.as_ref().unwrap().annotation(NETWORK).unwrap().contains("10.244.0.0/16"));
    seen.spec = with_spec(&format!("{SQLITE_ON_A_CLAIM}{config}")).spec;
    let refused = plan(&seen);
    let reconciled = condition(&refused, "Reconciled");
    assert_eq!(reconciled.reason, "InvalidSpec");
    assert!(
        reconciled
            .message
            .starts_with("spec.k0sConfig.spec.network.podCIDR: cannot change from \"10.244.0.0/16\""),
        "{}",
        reconciled.message
    );
    assert!(refused.effects.is_empty(), "{:?}", effects(&refused));
    // What an older release made is not judged.
    seen.control_plane.as_mut().unwrap().annotations.remove(NETWORK);
    assert_ne!(condition(&plan(&seen), "Reconciled").reason, "InvalidSpec");
}

/// H-56.
#[test]
fn join_token_requests_go_before_the_pods() {
    let mut seen = settled(SQLITE_ON_A_CLAIM);
    seen.deleting = true;
    seen.requests = vec![Request { namespace: "other".into(), name: "edge".into(), uid: "u".into() }];
    assert_eq!(effects(&plan(&seen)), ["delete JoinTokenRequest edge", "delete StatefulSet kmc-one"]);
}

/// H-8, H-43.
#[test]
fn what_is_pruned_is_told() {
    let mut seen = settled(SQLITE_ON_A_CLAIM);
    let mut former = seen.services[0].clone();
    former.name = "kmc-one-lb".into();
    seen.services.push(former);
    seen.now = seen.now.checked_add(days(1)).unwrap();
    for service in &mut seen.services {
        service.created = service.created.and_then(|at| at.checked_sub(days(1)).ok());
    }
    let pruned = plan(&seen);
    assert!(effects(&pruned).contains(&"delete Service kmc-one-lb".to_owned()), "{:?}", effects(&pruned));
    assert!(told(&pruned, "Pruned").unwrap().note.ends_with("Service kmc-one-lb"));
}

/// Section 14: a member that has just been promoted is no lost quorum.
#[test]
fn a_promoted_member_whose_probe_lags_is_scaling_and_not_a_lost_quorum() {
    let mut seen = settled(ETCD);
    let now = seen.now;
    for pod in &mut seen.etcd_pods[1..] {
        pod.created = now.checked_sub(SignedDuration::from_secs(20)).ok();
        pod.fact.ready_since = None;
    }
    assert_eq!(condition(&plan(&seen), "EtcdHealthy").reason, "QuorumLost");
    seen.status.conditions = vec![
        serde_json::from_value(
            serde_json::json!({"type": "EtcdHealthy", "status": "False", "reason": "Scaling",
            "message": "", "lastTransitionTime": now.to_string()}),
        )
        .unwrap(),
    ];
    let growing = plan(&seen);
    assert_eq!(condition(&growing, "EtcdHealthy").reason, "Scaling");
    assert_eq!(condition(&growing, "EtcdHealthy").status, Is::False);
    assert!(matches!(growing.next, Next::In(_)), "a timer looks again");
    seen.now = now.checked_add(SignedDuration::from_mins(2)).unwrap();
    assert_eq!(condition(&plan(&seen), "EtcdHealthy").reason, "QuorumLost");
}

/// H-32: the loss of a volume is a warning.
#[test]
fn a_member_that_lost_its_volume_is_told_as_lost() {
    let mut seen = settled(ETCD);
    let members = seen.config_maps.iter().find(|map| map.name == "kmc-one-etcd-members").cloned();
    assert!(members.is_some(), "a record is needed: {:?}", seen.config_maps);
    seen.claims.retain(|claim| !claim.name.ends_with("-1"));
    for pod in seen.etcd_pods.iter_mut().filter(|pod| pod.name.ends_with("-1")) {
        pod.fact.ready_since = None;
    }
    let live = (0..3).map(|n| crate::cluster::membership::Member {
        name: format!("kmc-one-etcd-{n}"),
        id: n.to_string(),
        started: true,
        leader: n == 2,
        ..Default::default()
    });
    let live = crate::cluster::membership::Live { cluster: "c".into(), members: live.collect() };
    seen.members = Some(workload::Reach::Yes(live));
    let removal = plan(&seen);
    assert!(removal.effects.iter().any(|effect| matches!(effect, Effect::Own(_))), "{:?}", effects(&removal));
    let event = told(&removal, "MemberLost").unwrap();
    assert!(event.warning && event.note.starts_with("kmc-one-etcd-1 lost its data"), "{}", event.note);
}
