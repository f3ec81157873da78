//! What follows from the decided step: the set of objects in the order of section 7, then the step itself.

use kube::api::{ApiResource, DynamicObject, TypeMeta};
use reconcile::{Effect, Event, Next, ObjectId, Plan, Said};
use serde_json::json;

use api::JoinTokenRequest;
use api::hosted::HostedClusterStatus;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};

use super::certificates::KubeconfigState;
use super::decide::{self, Deletion, Going, Step};
use super::events;
use super::facts::{ClaimFact, Seen};
use super::labels::{CLUSTER_UID, COMPONENT};
use super::membership::{self, Act};
use super::objects::{control_plane, etcd, manifests, service};
use super::observe::{Observed, Request, count};
use super::own::Own;
use super::record::Record;
use super::situation::{Situation, claims_of};
use super::status;

/// A plan of this controller.
pub type ClusterPlan = Plan<HostedClusterStatus, Own>;

/// The plan for an observation.
pub fn plan(seen: &Observed) -> ClusterPlan {
    if seen.deleting {
        return delete(seen, &decide::deletion(seen));
    }
    let mut faults = decide::faults(seen);
    match Situation::of(seen) {
        Ok(situation) if faults.is_empty() => living(&situation),
        Ok(_) => reject(seen, &faults),
        Err(more) => {
            faults.extend(
                more.into_iter()
                    .filter(|fault| faults.iter().all(|known| known.path != fault.path))
                    .collect::<Vec<_>>(),
            );
            reject(seen, &faults)
        }
    }
}

fn living(situation: &Situation<'_>) -> ClusterPlan {
    let seen = situation.seen;
    let step = decide::decide(situation);
    let mut plan = Plan::nothing(name(&step), words(&step));
    (plan.status, plan.conditions) = status::of(situation, &step);
    plan.said.events = events::of_conditions(&plan.conditions);
    plan.said.events.extend(events::of_story(situation, &plan.conditions));
    let (pods, etcd_pods): (Vec<_>, Vec<_>) = (seen.pods.iter().collect(), seen.etcd_pods.iter().collect());
    let rollouts = [situation.control_plane_rollout(&pods), situation.etcd_rollout(&etcd_pods)];
    let timers = rollouts
        .iter()
        .flatten()
        .filter_map(super::rollout::View::timer)
        .chain(situation.timer)
        .chain(former_service(situation));
    for at in timers {
        plan.next = plan.next.or_sooner(until(seen, at));
    }
    match &step {
        Step::Open => plan.effects = open(situation),
        // One disruptive act, alone: it is decided again on live reads, and nothing else is done with it.
        Step::RestartControlPlane(going) | Step::RestartEtcd(going) => {
            restart(&mut plan, seen, going);
        }
        Step::Membership(act) => change_membership(&mut plan, situation, act),
        Step::MoveLeader(pod) => {
            plan.effects = vec![Effect::Own(Own::MoveLeader(pod.clone()))];
            plan.next = plan.next.or_sooner(SOON);
        }
        Step::PushConfig(config) => {
            plan.effects = declare(situation, None);
            plan.effects.push(Effect::Own(Own::PushConfig(config.clone())));
        }
        Step::Wait(_, _, at) => {
            plan.effects = declare(situation, None);
            if let Some(at) = at {
                plan.next = plan.next.or_sooner(until(seen, *at));
            }
        }
        Step::Settled => plan.effects = declare(situation, None),
        Step::Delete(_) | Step::Reject(_) | Step::Refuse(..) => {}
    }
    plan.said.events.extend(events::of_pruned(&plan.effects, plan.disruptive));
    if seen.child.as_ref().is_some_and(|child| child.yes().is_none()) {
        plan.next = plan.next.or_sooner(child_again(seen));
    }
    plan
}

/// What etcd does cannot be watched; it takes about this long.
const SOON: Next = Next::In(std::time::Duration::from_secs(1));
/// A child that did not answer is asked again after two seconds (its Service may not have learned of the pod that has
/// just got Ready), then twice as late each time: nothing depends on it, so it is not pressed.
fn child_again(seen: &Observed) -> Next {
    const MOST: u64 = 60;
    let seconds = 1_u64.checked_shl(seen.child_tries).unwrap_or(MOST).clamp(2, MOST);
    Next::In(std::time::Duration::from_secs(seconds))
}

fn until(seen: &Observed, at: jiff::Timestamp) -> Next {
    let left = at.duration_since(seen.now);
    Next::In(
        std::time::Duration::try_from(left).unwrap_or_default().max(std::time::Duration::from_millis(100)),
    )
}

/// What needs no address: finalizer, Service, keys.
fn open(situation: &Situation<'_>) -> Vec<Effect<Own>> {
    let mut effects = vec![Effect::Hold, Effect::apply(service::service(&situation.wanted))];
    effects.extend(keys(situation));
    effects
}

fn keys(situation: &Situation<'_>) -> Option<Effect<Own>> {
    let certificates = &situation.certificates;
    let (authorities, leaves) = (certificates.missing.clone(), certificates.due.clone());
    (!authorities.is_empty() || !leaves.is_empty())
        .then_some(Effect::Own(Own::MakeKeys { authorities, leaves }))
}

/// The whole set, as far as it can be built. `change` is the membership act of this pass.
fn declare(situation: &Situation<'_>, change: Option<&Act>) -> Vec<Effect<Own>> {
    let Situation { seen, wanted, .. } = situation;
    let mut effects = open(situation);
    effects.push(Effect::apply(manifests::telemetry(wanted)));
    if let Some(endpoint) = situation.endpoint() {
        effects.push(Effect::apply(manifests::endpoint(wanted, endpoint)));
    }
    if let Some(discovered) = situation.discovered() {
        effects.push(Effect::apply(super::objects::config::config_map(wanted, &discovered)));
    }
    if let Some(name) = &situation.config_secret
        && seen.secret(name).is_none()
    {
        effects.push(Effect::Own(Own::WriteConfig(name.clone())));
    }
    if wanted.uses_etcd() {
        effects.extend(declare_etcd(situation, change));
    }
    if let Some(template) = &situation.template
        && situation.config_secret.is_some()
    {
        effects.push(Effect::apply(control_plane::stateful_set(wanted, template)));
    }
    if situation.kubeconfig == Some(KubeconfigState::Due) {
        effects.push(Effect::Own(Own::WriteKubeconfig));
    }
    effects.extend(own_claims(situation));
    effects.extend(prune(situation));
    effects
}

fn declare_etcd(situation: &Situation<'_>, change: Option<&Act>) -> Vec<Effect<Own>> {
    let wanted = &situation.wanted;
    let mut effects =
        vec![Effect::apply(etcd::peer_service(wanted)), Effect::apply(etcd::client_service(wanted))];
    let Some(view) = &situation.membership else { return effects };
    let record: Option<&Record> = match change {
        Some(Act::Record(record)) => Some(record),
        _ => view.record.as_ref(),
    };
    if let Some(record) = record {
        effects.push(Effect::apply(etcd::members(wanted, record)));
    }
    let by_claims = view
        .claims
        .iter()
        .filter_map(|claim| super::names::ordinal(&claim.pod))
        .max()
        .map(|ordinal| ordinal + 1);
    let replicas = match change {
        Some(Act::Resize(replicas)) => Some(*replicas),
        // Never smaller than the membership, nor than the volumes when nobody knows it (9.2, H-30).
        _ => view.replicas.or(record.map(Record::pods)).or(by_claims),
    };
    if let (Some(replicas), Some(template)) = (replicas, &situation.etcd_template) {
        effects.push(Effect::apply(etcd::stateful_set(wanted, replicas, template)));
    }
    effects
}

/// Claims get the label by which a later cluster of this name tells that they are not its own (H-36). Not before they
/// have a volume: the scheduler writes to them until then, and a write of ours in between costs their pod seconds.
fn own_claims(situation: &Situation<'_>) -> Vec<Effect<Own>> {
    let (seen, wanted) = (situation.seen, &situation.wanted);
    let mut claims: Vec<&Seen<ClaimFact>> = Vec::new();
    if seen.control_plane.is_some() {
        claims.extend(claims_of(seen, &wanted.data_name, &wanted.names.control_plane()));
    }
    if seen.etcd.is_some() {
        claims.extend(claims_of(seen, "etcd-data", &wanted.names.etcd()));
    }
    let has_volume = |claim: &Seen<ClaimFact>| {
        let mut pods = seen.pods.iter().chain(&seen.etcd_pods);
        claim.fact.phase != "Pending"
            || pods
                .any(|pod| pod.fact.ready_since.is_some() && claim.name.ends_with(&format!("-{}", pod.name)))
    };
    let unlabelled = claims.into_iter().filter(|claim| {
        !claim.deleting && claim.labels.get(CLUSTER_UID) != Some(&seen.origin.uid) && has_volume(claim)
    });
    unlabelled.map(|claim| Effect::apply(label(seen, claim))).collect()
}

fn label(seen: &Observed, claim: &Seen<ClaimFact>) -> DynamicObject {
    let metadata = json!({
        "name": claim.name,
        "namespace": seen.origin.namespace,
        "uid": claim.uid,
        "labels": {CLUSTER_UID: seen.origin.uid},
    });
    DynamicObject {
        types: Some(TypeMeta { api_version: "v1".to_owned(), kind: "PersistentVolumeClaim".to_owned() }),
        metadata: serde_json::from_value(metadata).unwrap_or_default(),
        data: json!({}),
    }
}

/// What is no longer wanted goes (H-8): config revisions that no pod uses, and the Service of a former type.
fn prune(situation: &Situation<'_>) -> Vec<Effect<Own>> {
    let (seen, wanted) = (situation.seen, &situation.wanted);
    let mut effects = Vec::new();
    // While a pod is being replaced there may be none that is not Ready.
    let rolled_out = situation.control_plane_applied()
        && seen.ready() >= wanted.spec.effective_replicas()
        && seen.pods.iter().all(|pod| pod.fact.ready_since.is_some());
    if rolled_out {
        let in_use = |name: &str| {
            situation.config_secret.as_deref() == Some(name)
                || seen.pods.iter().any(|pod| pod.fact.config.as_deref() == Some(name))
        };
        let ours = |secret: &&Seen<super::facts::SecretFact>| {
            secret.labels.get(CLUSTER_UID) == Some(&seen.origin.uid)
                && secret.labels.get(COMPONENT).is_some_and(|component| component == "cluster-config")
        };
        let unused =
            seen.secrets.iter().filter(ours).filter(|secret| !secret.deleting && !in_use(&secret.name));
        effects.extend(unused.map(|secret| remove::<Secret>(seen, &secret.name, &secret.uid)));
    }
    let keep = [wanted.service_name(), wanted.names.etcd_peers(), wanted.names.etcd_clients()];
    let serves = situation.endpoint().is_some() && rolled_out && seen.ready() > 0;
    if serves && patience(situation).is_some_and(|until| until <= seen.now) {
        let former = seen.services.iter().filter(|service| {
            !service.deleting
                && !keep.contains(&service.name)
                && service.labels.get(CLUSTER_UID) == Some(&seen.origin.uid)
        });
        effects.extend(former.map(|service| remove::<Service>(seen, &service.name, &service.uid)));
    }
    effects
}

/// Until when the Service of a former type stays.
fn patience(situation: &Situation<'_>) -> Option<jiff::Timestamp> {
    let service = situation.seen.service(&situation.wanted.service_name())?;
    service.created?.checked_add(FORMER_SERVICE).ok()
}

/// When a timer must look at the Service of a former type, if there is one.
fn former_service(situation: &Situation<'_>) -> Option<jiff::Timestamp> {
    let (seen, names) = (situation.seen, &situation.wanted.names);
    let keep = [situation.wanted.service_name(), names.etcd_peers(), names.etcd_clients()];
    let former = seen.services.iter().any(|service| !service.deleting && !keep.contains(&service.name));
    patience(situation).filter(|until| former && *until > seen.now)
}

/// H-38: workers and users learn of a new address in the meantime.
pub const FORMER_SERVICE: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

fn remove<K: kube::Resource<DynamicType = ()>>(seen: &Observed, name: &str, uid: &str) -> Effect<Own> {
    let what = ObjectId {
        resource: ApiResource::erase::<K>(&()),
        namespace: Some(seen.origin.namespace.clone()),
        name: name.to_owned(),
    };
    Effect::Delete { what, uid: uid.to_owned() }
}

fn remove_request(request: &Request) -> Effect<Own> {
    let what = ObjectId::of::<JoinTokenRequest>(&request.namespace, &request.name);
    Effect::Delete { what, uid: request.uid.clone() }
}

fn restart(plan: &mut ClusterPlan, seen: &Observed, going: &Going) {
    plan.effects = vec![remove::<Pod>(seen, &going.name, &going.uid)];
    plan.disruptive = true;
    plan.said.events.push(Event::acted("RestartingPod", format!("{} restarts: {}", going.name, going.why)));
}

fn change_membership(plan: &mut ClusterPlan, situation: &Situation<'_>, act: &Act) {
    let seen = situation.seen;
    plan.next = plan.next.or_sooner(SOON);
    let prefix = "etcd-data-";
    match act {
        Act::Record(_) | Act::Resize(_) => plan.effects = declare(situation, Some(act)),
        Act::AddLearner(pod) => {
            plan.effects = vec![Effect::Own(Own::AddLearner(pod.clone()))];
            plan.said.events.push(Event::acted("MemberAdded", format!("{pod} joins etcd as a learner")));
        }
        Act::Promote(member) => {
            plan.effects = vec![Effect::Own(Own::Promote(member.id.clone()))];
            plan.said
                .events
                .push(Event::acted("MemberPromoted", format!("{} has caught up and votes", member.name)));
        }
        Act::MoveLeader(member) => plan.effects = vec![Effect::Own(Own::MoveLeader(member.name.clone()))],
        Act::Remove(member, why) => {
            plan.effects = vec![Effect::Own(Own::Remove(member.id.clone()))];
            plan.disruptive = true;
            if *why == membership::DATA_LOST {
                let words = format!(
                    "{} lost its data; it is removed, and joins anew with an empty volume",
                    member.name
                );
                plan.said.events.push(Event::warned("MemberLost", words));
            }
            plan.said
                .events
                .push(Event::acted("MemberRemoved", format!("{} leaves etcd: {why}", member.name)));
        }
        Act::DeleteClaim(pod) => {
            let name = format!("{prefix}{pod}");
            let claim = seen.claims.iter().find(|claim| claim.name == name);
            plan.effects = claim
                .map(|claim| remove::<PersistentVolumeClaim>(seen, &claim.name, &claim.uid))
                .into_iter()
                .collect();
            plan.disruptive = true;
        }
        Act::DeletePod(name) => {
            let pod = seen.etcd_pods.iter().find(|pod| pod.name == *name);
            plan.effects = pod.map(|pod| remove::<Pod>(seen, &pod.name, &pod.uid)).into_iter().collect();
            plan.disruptive = true;
        }
        Act::Nothing | Act::Wait(_) | Act::Ask(_) | Act::QuorumLost(_) | Act::Unknown(_) => {}
    }
}

fn reject(seen: &Observed, faults: &[super::wanted::Fault]) -> ClusterPlan {
    let words = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let mut plan = Plan::nothing("Reject", words.clone());
    (plan.status, plan.conditions) = status::of_rejected(seen, "InvalidSpec", &words);
    plan.said.events = events::of_conditions(&plan.conditions);
    plan
}

fn delete(seen: &Observed, deletion: &Deletion) -> ClusterPlan {
    let set = |set: &Option<Seen<super::facts::SetFact>>| -> Vec<Effect<Own>> {
        set.iter()
            .filter(|set| !set.deleting)
            .map(|set| remove::<StatefulSet>(seen, &set.name, &set.uid))
            .collect()
    };
    let (words, last) = match deletion {
        Deletion::ControlPlane => ("the control plane's pods go", set(&seen.control_plane)),
        Deletion::Etcd => ("etcd's pods go", set(&seen.etcd)),
        Deletion::Release => ("everything else goes with this object", vec![Effect::Release]),
        Deletion::Gone => ("others still hold this object", Vec::new()),
    };
    let mut plan = Plan::nothing("Delete", words);
    // Requests go first, and are not waited for: their tokens end with the child.
    plan.effects = seen.requests.iter().map(remove_request).chain(last).collect();
    (plan.status, plan.conditions) = status::of_deleted(seen, words);
    if *deletion == Deletion::Release {
        let kept = kept_claims(seen);
        if !kept.is_empty() {
            plan.said
                .events
                .push(Event::acted("VolumesKept", format!("these claims stay: {}", kept.join(", "))));
        }
    }
    plan.said = Said { step: "Delete", words: words.to_owned(), events: plan.said.events };
    plan
}

fn kept_claims(seen: &Observed) -> Vec<&str> {
    let etcd = |claim: &&Seen<ClaimFact>| claim.name.starts_with("etcd-data-");
    let ours =
        |claim: &&Seen<ClaimFact>| claim.labels.get(CLUSTER_UID) == Some(&seen.origin.uid) && !claim.deleting;
    let goes = |claim: &&Seen<ClaimFact>| {
        if etcd(claim) { seen.spec.auto_delete_etcd_claims() } else { seen.spec.auto_delete_claims() }
    };
    seen.claims.iter().filter(ours).filter(|claim| !goes(claim)).map(|claim| claim.name.as_str()).collect()
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Delete(_) => "Delete",
        Step::Reject(_) => "Reject",
        Step::Refuse(reason, _) | Step::Wait(reason, ..) => reason,
        Step::Open => "Open",
        Step::Membership(_) => "ChangeMembers",
        Step::MoveLeader(_) => "MoveLeader",
        Step::RestartEtcd(_) => "RestartEtcd",
        Step::RestartControlPlane(_) => "RestartControlPlane",
        Step::PushConfig(_) => "PushConfig",
        Step::Settled => "Settled",
    }
}

fn words(step: &Step) -> String {
    match step {
        Step::Delete(_) | Step::Reject(_) => String::new(),
        Step::Refuse(_, words) | Step::Wait(_, words, _) => words.clone(),
        Step::Open => "the Service and the keys are made".to_owned(),
        Step::Membership(act) => act.to_string(),
        Step::MoveLeader(pod) => format!("leadership of etcd moves off {pod}"),
        Step::RestartEtcd(going) | Step::RestartControlPlane(going) => {
            format!("{} restarts: {}", going.name, going.why)
        }
        Step::PushConfig(_) => "the dynamic configuration is applied in the child".to_owned(),
        Step::Settled => "nothing to do".to_owned(),
    }
}

/// How many of the pods run the wanted revision.
pub fn updated(situation: &Situation<'_>) -> i32 {
    let Some(set) = &situation.seen.control_plane else { return 0 };
    if !situation.control_plane_applied() || !set.fact.current {
        return 0;
    }
    count(situation.seen.pods.iter().filter(|pod| pod.fact.revision == set.fact.update_revision).count())
}
