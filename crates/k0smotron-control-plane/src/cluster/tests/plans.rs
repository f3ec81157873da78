//! One fact per test.

use jiff::SignedDuration;
use reconcile::{Effect, Is, Next};

use super::world::{after, born, effects, exposed, running, serving, with_keys, with_spec};
use crate::cluster::observe::{ChildFacts, Foreign, Observed, Source};
use crate::cluster::own::Own;
use crate::cluster::plan::{ClusterPlan, plan};
use workload::Reach;

const SQLITE: &str = "version: v1.36.3+k0s.2\nstorage: {type: kine}";
const ETCD: &str = "version: v1.36.3+k0s.2\nreplicas: 3";

pub fn condition<'a>(plan: &'a ClusterPlan, type_: &str) -> &'a reconcile::Condition {
    plan.conditions.iter().find(|condition| condition.type_ == type_).unwrap()
}

pub fn settled(spec: &str) -> Observed {
    let mut seen = serving(spec);
    let (_, digest) = crate::cluster::objects::config::dynamic_part(
        &crate::cluster::wanted::Wanted::of(
            seen.origin.clone(),
            &seen.spec,
            &crate::cluster::wanted::Running::default(),
            &seen.operator,
        )
        .unwrap(),
    );
    seen.pushed = Some(api::hosted::DynamicConfigStatus { digest, child_uid: Some("child".into()) });
    seen.status.ready_replicas = Some(1);
    if seen.etcd.is_some() {
        let members = (0..3).map(|n| crate::cluster::membership::Member {
            name: format!("kmc-one-etcd-{n}"),
            id: n.to_string(),
            started: true,
            leader: n == 2,
            ..Default::default()
        });
        seen.members = Some(Reach::Yes(crate::cluster::membership::Live {
            cluster: "c".into(),
            members: members.collect(),
        }));
        for _ in 0..2 {
            let next = plan(&seen);
            seen = after(seen, &next);
        }
        seen.members = None;
    }
    seen
}

/// Section 7: nothing of the rest can be built without an address.
#[test]
fn first_come_finalizer_service_and_keys() {
    let plan = plan(&with_spec(SQLITE));
    assert_eq!(
        effects(&plan),
        ["Hold", "apply Service kmc-one", "MakeKeys { authorities: [Ca, Proxy, Sa], leaves: [] }"]
    );
}

/// Section 7.
#[test]
fn with_an_address_everything_else_is_declared_in_the_order_of_requests() {
    let plan = plan(&exposed(with_keys(with_spec(ETCD))));
    let effects = effects(&plan);
    let place = |what: &str| {
        effects
            .iter()
            .position(|effect| effect.contains(what))
            .unwrap_or_else(|| panic!("no {what} in {effects:?}"))
    };
    let order = [
        "Hold",
        "Service kmc-one",
        "telemetry",
        "kmc-one-config",
        "WriteConfig",
        "Service kmc-one-etcd",
        "etcd-members",
        "StatefulSet kmc-one-etcd",
        "StatefulSet kmc-one",
    ];
    assert!(
        order.windows(2).all(|pair| place(pair[0]) < place(pair[1]) || pair[1] == "StatefulSet kmc-one"),
        "{effects:?}"
    );
    assert_eq!(effects.last().unwrap(), "apply StatefulSet kmc-one");
}

/// Section 2: no spec means node ports by the schema; `spec: {}` is a ClusterIP with etcd.
#[test]
fn an_empty_spec_is_an_etcd_cluster_behind_a_cluster_ip() {
    let plan =
        plan(&born("{apiVersion: k0smotron.io/v1beta2, kind: Cluster, metadata: {name: one}, spec: {}}"));
    assert_eq!(effects(&plan)[1], "apply Service kmc-one");
    assert!(effects(&plan)[2].contains("leaves: [ApiserverEtcdClient, EtcdServer, EtcdPeer, Operator]"));
}

/// H-14.
#[test]
fn the_kubeconfig_is_written_when_the_first_replica_is_ready() {
    let seen = exposed(with_keys(with_spec(SQLITE)));
    let first = plan(&seen);
    assert!(!effects(&first).contains(&"WriteKubeconfig".to_owned()));
    let ready = plan(&running(after(seen, &first)));
    assert!(effects(&ready).contains(&"WriteKubeconfig".to_owned()), "{:?}", effects(&ready));
}

#[test]
fn a_cluster_that_serves_is_settled_and_available() {
    for spec in [SQLITE, ETCD] {
        let plan = plan(&settled(spec));
        assert_eq!(plan.said.step, "Settled", "{spec}: {}", plan.said.words);
        assert_eq!(condition(&plan, "Available").status, Is::True);
        assert!(
            plan.effects.iter().all(|effect| matches!(effect, Effect::Apply(_) | Effect::Hold)),
            "{:?}",
            effects(&plan)
        );
        assert!(matches!(plan.next, Next::In(wait) if wait.as_secs() > 86_400 * 100), "{:?}", plan.next);
    }
}

/// H-9.
#[test]
fn a_lost_authority_of_a_running_cluster_is_never_generated_again() {
    let mut seen = settled(SQLITE);
    seen.secrets.retain(|secret| secret.name != "one-ca");
    let plan = plan(&seen);
    assert_eq!(condition(&plan, "CertificatesAvailable").reason, "AuthorityLost");
    assert!(!effects(&plan).iter().any(|effect| effect.contains("MakeKeys")), "{:?}", effects(&plan));
    assert_eq!(condition(&plan, "Available").status, Is::True);
}

/// H-9.
#[test]
fn an_altered_authority_is_refused_and_rolls_nothing_out() {
    let mut seen = settled(SQLITE);
    for secret in &mut seen.secrets {
        if secret.name == "one-ca" {
            secret.fact.certificate = Some("another".into());
        }
    }
    seen.spec.service_account = Some("other".into());
    let plan = plan(&seen);
    assert_eq!(condition(&plan, "CertificatesAvailable").reason, "InvalidCertificateRef");
    let live = seen.control_plane.as_ref().unwrap().fact.template();
    let applied = plan.effects.iter().find_map(|effect| match effect {
        Effect::Apply(object) if super::world::kind(object) == "StatefulSet" => {
            Some(object.data["spec"]["template"].clone())
        }
        _ => None,
    });
    assert_eq!(applied, Some(live));
}

/// H-9.
#[test]
fn a_secret_that_the_user_names_is_waited_for() {
    let plan = plan(&exposed(with_spec(&format!("{SQLITE}\ncertificateRefs: [{{type: ca, name: mine}}]"))));
    assert_eq!(condition(&plan, "CertificatesAvailable").reason, "InvalidCertificateRef");
    assert!(effects(&plan).contains(&"MakeKeys { authorities: [Proxy, Sa], leaves: [] }".to_owned()));
}

/// H-11.
#[test]
fn a_leaf_is_issued_anew_when_a_third_of_its_life_is_left_and_that_moment_is_the_timer() {
    let mut seen = settled(ETCD);
    let third = SignedDuration::from_hours(365 * 16);
    seen.now = seen.now.checked_add(third - SignedDuration::from_hours(1)).unwrap();
    assert!(!effects(&plan(&seen)).iter().any(|effect| effect.contains("MakeKeys")));
    seen.now = seen.now.checked_add(SignedDuration::from_hours(2)).unwrap();
    assert!(
        effects(&plan(&seen)).iter().any(|effect| effect.contains("leaves: [ApiserverEtcdClient")),
        "{:?}",
        effects(&plan(&seen))
    );
}

/// H-18, 13.1.
#[test]
fn scaling_changes_the_statefulset_alone_and_restarts_nothing() {
    let mut seen = settled(ETCD);
    let before = seen.control_plane.clone().unwrap();
    seen.spec.replicas = Some(2);
    seen.spec.storage = serde_json::from_value(serde_json::json!({"etcd": {"replicas": 3}})).unwrap();
    let next = plan(&seen);
    let scaled = after(seen, &next);
    let set = scaled.control_plane.unwrap();
    assert_eq!(
        (set.fact.replicas, &set.fact.template, &set.annotations),
        (2, &before.fact.template, &before.annotations)
    );
}

/// H-23, design 2: alone, and decided twice.
#[test]
fn a_changed_version_restarts_the_highest_ordinal_first_alone() {
    let mut seen = settled(ETCD);
    seen.spec.version = Some("v1.36.4+k0s.0".into());
    let next = plan(&seen);
    let seen = after(seen, &next);
    let restart = plan(&seen);
    assert_eq!(effects(&restart), ["delete Pod kmc-one-2"]);
    assert!(restart.disruptive);
    assert_eq!(condition(&restart, "ControlPlaneUpToDate").reason, "NotAllReplicasUpToDate");
}

/// H-23.
#[test]
fn no_control_plane_pod_restarts_while_a_member_of_etcd_is_not_ready() {
    let mut seen = settled(ETCD);
    seen.spec.version = Some("v1.36.4+k0s.0".into());
    let next = plan(&seen);
    let mut seen = after(seen, &next);
    seen.etcd_pods[1].fact.ready_since = None;
    assert!(!plan(&seen).disruptive);
}

/// H-24.
#[test]
fn a_pod_of_a_bad_revision_goes_at_once() {
    let mut seen = settled(ETCD);
    seen.pods[2].fact.revision = "bad".into();
    seen.pods[2].fact.ready_since = None;
    seen.etcd_pods[1].fact.ready_since = None;
    assert_eq!(effects(&plan(&seen)), ["delete Pod kmc-one-2"]);
}

/// H-25.
#[test]
fn a_revision_that_does_not_get_ready_in_time_stops_with_the_pods_own_words() {
    let mut seen = settled(ETCD);
    seen.pods[2].fact.ready_since = None;
    seen.pods[2].fact.trouble = Some("CrashLoopBackOff (exit code 1)".into());
    seen.pods[1].fact.revision = "former".into();
    assert_eq!(condition(&plan(&seen), "ControlPlaneUpToDate").reason, "NotAllReplicasUpToDate");
    seen.now = seen.now.checked_add(SignedDuration::from_mins(11)).unwrap();
    let plan = plan(&seen);
    let told = condition(&plan, "ControlPlaneUpToDate");
    assert_eq!(told.reason, "RolloutStalled");
    assert!(told.message.contains("CrashLoopBackOff (exit code 1)"), "{}", told.message);
    assert!(!plan.disruptive);
}

/// H-25, H-43: waiting does not make an image.
#[test]
fn a_revision_without_an_image_stops_at_once_with_a_warning() {
    let mut seen = settled(SQLITE);
    seen.pods[0].fact.ready_since = None;
    seen.pods[0].fact.trouble = Some("ErrImagePull: quay.io/k0sproject/k0s:v9 not found".into());
    let plan = plan(&seen);
    let told = condition(&plan, "ControlPlaneUpToDate");
    assert_eq!(told.reason, "RolloutStalled");
    assert!(told.message.contains("k0s:v9 not found"), "{}", told.message);
    assert!(plan.said.events.iter().any(|event| event.warning && event.reason == "RolloutStalled"));
}

/// H-12.
#[test]
fn a_container_that_has_run_305_days_restarts() {
    let mut seen = settled(ETCD);
    seen.now = seen.now.checked_add(SignedDuration::from_hours(305 * 24)).unwrap();
    // Leaves were renewed in the meantime.
    for secret in &mut seen.secrets {
        secret.fact.life = Some((seen.now, seen.now.checked_add(SignedDuration::from_hours(8760)).unwrap()));
    }
    assert_eq!(effects(&plan(&seen)), ["delete Pod kmc-one-0"]);
    let mut sqlite = settled(SQLITE);
    sqlite.now = seen.now;
    assert!(!plan(&sqlite).disruptive, "its data would go with the pod; its script restarts the container");
}

/// 8.2.
#[test]
fn a_version_skip_is_blocked_and_rolls_nothing_out() {
    let mut seen = settled(SQLITE);
    seen.status.version = Some("v1.36.3+k0s.2".into());
    seen.spec.version = Some("v1.38.0+k0s.0".into());
    let plan = plan(&seen);
    assert_eq!(condition(&plan, "ControlPlaneUpToDate").reason, "UpgradeBlocked");
    assert!(condition(&plan, "ControlPlaneUpToDate").message.contains("version skip"));
    let before = seen.control_plane.clone().unwrap().fact.template;
    assert_eq!(after(seen, &plan).control_plane.unwrap().fact.template, before);
}

/// H-34.
#[test]
fn a_missing_data_source_is_named_and_the_pods_stay() {
    let mut seen = with_spec("storage: {type: kine, kine: {dataSourceSecretName: db}}");
    seen.source = Source::Missing("Secret db does not exist".into());
    let plan = plan(&exposed(with_keys(seen)));
    assert_eq!(condition(&plan, "Reconciled").reason, "DataSourceMissing");
    assert!(!effects(&plan).iter().any(|effect| effect.contains("StatefulSet")));
}

/// H-7.
#[test]
fn an_object_of_somebody_else_is_never_written() {
    let mut seen = with_spec(SQLITE);
    seen.foreign =
        vec![Foreign { what: "StatefulSet kmc-one".into(), whose: "belongs to Cluster on".into() }];
    let plan = plan(&seen);
    assert!(plan.effects.is_empty());
    assert_eq!(condition(&plan, "Reconciled").reason, "ApplyFailed");
    assert!(condition(&plan, "Reconciled").message.contains("Cluster on"));
}

/// H-36.
#[test]
fn volumes_of_a_former_cluster_are_not_used_unless_the_user_says_so() {
    let mut seen = settled(ETCD);
    seen.etcd = None;
    for claim in &mut seen.claims {
        claim.labels.insert("k0smotron.io/cluster-uid".into(), "former".into());
    }
    assert_eq!(condition(&plan(&seen), "Reconciled").reason, "VolumesOfFormerCluster");
    seen.origin.annotations.insert("k0smotron.io/reuse-volumes".into(), "true".into());
    assert_eq!(condition(&plan(&seen), "Reconciled").status, Is::True);
}

/// H-36: claims are labelled when they have their volume; a StatefulSet that was deleted before leaves some without.
#[test]
fn a_claim_that_never_had_a_volume_is_of_no_former_cluster() {
    let mut seen = settled(ETCD);
    seen.etcd = None;
    for claim in &mut seen.claims {
        claim.labels.clear();
        claim.fact.phase = "Pending".into();
        claim.fact.volume.clear();
    }
    assert_eq!(condition(&plan(&seen), "Reconciled").status, Is::True);
    seen.claims[0].fact.volume = "promised".into();
    assert_eq!(condition(&plan(&seen), "Reconciled").reason, "VolumesOfFormerCluster");
}

/// H-20: a write between two of the scheduler's sends the pod back to its queue.
#[test]
fn a_claim_that_gets_its_volume_is_left_to_the_scheduler() {
    let mut seen = settled(ETCD);
    let claim = seen.claims[0].name.clone();
    seen.claims[0].labels.clear();
    let labelled = |seen: &Observed| {
        effects(&plan(seen)).iter().any(|effect| effect.contains(&format!("PersistentVolumeClaim {claim}")))
    };
    assert!(labelled(&seen));
    seen.claims[0].fact.phase = "Pending".into();
    assert!(labelled(&seen), "its pod is Ready");
    seen.etcd_pods[0].fact.ready_since = None;
    assert!(!labelled(&seen));
}

/// H-30.
#[test]
fn a_deleted_etcd_statefulset_comes_back_at_its_recorded_size() {
    let mut seen = settled(ETCD);
    seen.etcd = None;
    seen.spec.replicas = Some(1);
    let next = plan(&seen);
    assert_eq!(after(seen, &next).etcd.unwrap().fact.replicas, 3);
}

/// H-30.
#[test]
fn without_a_record_data_is_never_started_as_a_new_cluster() {
    let mut seen = settled(ETCD);
    seen.config_maps.clear();
    seen.etcd = None;
    seen.etcd_pods.clear();
    let next = plan(&seen);
    assert_eq!(condition(&next, "EtcdHealthy").reason, "MembershipUnknown");
    assert!(!effects(&next).iter().any(|effect| effect.contains("etcd-members")));
    assert_eq!(after(seen, &next).etcd.unwrap().fact.replicas, 3, "members with data start by themselves");
}

/// H-16.
#[test]
fn a_dynamic_change_is_applied_in_the_child_and_restarts_nothing() {
    let mut seen = settled(SQLITE);
    let template = seen.control_plane.clone().unwrap().fact.template;
    seen.spec.k0s_config =
        serde_json::from_value(serde_json::json!({"spec": {"network": {"kuberouter": {"mtu": 1400}}}}))
            .unwrap();
    seen.child = Some(Reach::Yes(ChildFacts { uid: "child".into(), kubelets: Vec::new() }));
    let next = plan(&seen);
    assert!(matches!(next.effects.last(), Some(Effect::Own(Own::PushConfig(_)))), "{:?}", effects(&next));
    assert_eq!(after(seen, &next).control_plane.unwrap().fact.template, template);
}

/// H-37.
#[test]
fn without_a_balancer_address_all_but_the_control_plane_is_made() {
    let plan = plan(&exposed(with_keys(with_spec("service: {type: LoadBalancer}"))));
    let effects = effects(&plan);
    assert!(effects.contains(&"apply StatefulSet kmc-one-etcd".to_owned()));
    assert!(!effects.contains(&"apply StatefulSet kmc-one".to_owned()));
    assert_eq!(condition(&plan, "ControlPlaneExposed").reason, "WaitingForAddress");
}

/// H-38.
#[test]
fn a_moved_address_is_one_rollout_and_the_former_one_stays_in_the_certificates() {
    let mut seen = settled(&format!("{SQLITE}\nexternalAddress: old.example"));
    seen.status.external_address = Some("old.example".into());
    seen.spec.external_address = Some("new.example".into());
    let next = plan(&seen);
    let config = next.effects.iter().find_map(|effect| match effect {
        Effect::Apply(object) if object.metadata.name.as_deref() == Some("kmc-one-config") => {
            Some(object.data.to_string())
        }
        _ => None,
    });
    assert!(config.unwrap().contains("old.example"));
    assert_eq!(next.status.as_ref().unwrap().former_external_addresses, ["old.example"]);
    assert_ne!(
        after(seen.clone(), &next).control_plane.unwrap().fact.template,
        seen.control_plane.unwrap().fact.template
    );
}

/// H-56.
#[test]
fn deletion_takes_the_control_plane_first_and_needs_no_valid_spec() {
    let mut seen = settled(ETCD);
    seen.deleting = true;
    seen.spec.version = Some("nonsense".into());
    assert_eq!(effects(&plan(&seen)), ["delete StatefulSet kmc-one"]);
    seen.control_plane = None;
    assert_eq!(effects(&plan(&seen)), ["delete StatefulSet kmc-one-etcd"]);
    seen.etcd = None;
    let last = plan(&seen);
    assert_eq!(effects(&last), ["Release"]);
    assert!(
        last.said
            .events
            .iter()
            .any(|event| event.reason == "VolumesKept" && event.note.contains("etcd-data-kmc-one-etcd-0"))
    );
}

#[test]
fn an_unusable_field_is_named_with_its_path_and_nothing_is_written() {
    let plan = plan(&with_spec("version: nonsense\nstorage: {type: kine}"));
    let told = condition(&plan, "Reconciled");
    assert_eq!((told.reason.as_str(), plan.effects.len()), ("InvalidSpec", 0));
    assert!(told.message.contains("spec.version"), "{}", told.message);
}

/// K0S-7.
#[test]
fn an_unknown_field_of_the_k0s_configuration_is_named() {
    let plan = plan(&with_spec(&format!("{SQLITE}\nk0sConfig: {{spec: {{netwrok: {{}}}}}}")));
    let told = condition(&plan, "Reconciled");
    assert!(told.reason == "InvalidSpec" && told.message.contains("netwrok"), "{}", told.message);
}
