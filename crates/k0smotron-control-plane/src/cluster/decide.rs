//! What to do next: the rules, in their order.
//!
//! A hosted control plane is mostly a set of objects that is declared in every pass ([`super::plan`]); an apply
//! that would change nothing is not sent. What cannot be declared is chosen here, one step at a time:
//!
//! 1. being deleted: join token requests go, then StatefulSets, the control plane's first; then the finalizer (H-56);
//! 2. a field that cannot be followed: nothing is written (`InvalidSpec`);
//! 3. an object of somebody else stands in our way: nothing is written (H-7);
//! 4. volumes of a former cluster of this name: nothing is written (H-36);
//! 5. no address of the Service yet: finalizer, Service, keys (section 7);
//! 6. a pod that serves nobody and is not wanted any more goes at once, etcd's first (H-24, H-32);
//! 7. etcd's membership changes, one act at a time (9.4, 9.5);
//! 8. etcd is restarted, followers first, the leader last (9.4);
//! 9. the control plane is restarted, one pod at a time, when etcd is whole (H-23, H-12);
//! 10. the dynamic configuration is applied in the child (H-16);
//! 11. waiting: for what, in words;
//! 12. settled.

use api::faults::Validate as _;
use api::hosted::DynamicConfigStatus;
use jiff::Timestamp;

use super::certificates::KubeconfigState;
use super::exposure::Exposure;
use super::facts::{PodFact, Seen};
use super::membership::Act;
use super::objects::config::dynamic_part;
use super::observe::{Observed, Source};
use super::rollout::{self, Restart};
use super::situation::{Situation, former_claims};
use super::wanted::Fault;

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Delete what is left, in this order; then let go.
    Delete(Deletion),
    /// The user must change the spec.
    Reject(Vec<Fault>),
    /// The user must act elsewhere: reason and words of condition `Reconciled`.
    Refuse(&'static str, String),
    /// Finalizer, Service and keys; the rest needs an address of the Service.
    Open,
    /// A change of etcd's membership.
    Membership(Act),
    /// A restart of an etcd pod.
    RestartEtcd(Going),
    /// Leadership of etcd moves off this member, which is restarted next.
    MoveLeader(String),
    /// A restart of a control plane pod.
    RestartControlPlane(Going),
    /// The dynamic configuration of this digest is applied in the child.
    PushConfig(DynamicConfigStatus),
    /// Everything is declared; this is waited for, until that moment at the latest.
    Wait(&'static str, String, Option<Timestamp>),
    /// Nothing to do.
    Settled,
}

/// A pod that is deleted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Going {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Why.
    pub why: &'static str,
}

/// What a deletion does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The StatefulSet of the control plane.
    ControlPlane,
    /// The StatefulSet of etcd.
    Etcd,
    /// Nothing is left but the finalizer.
    Release,
    /// The finalizer is off.
    Gone,
}

/// The deletion of a cluster needs neither a valid spec nor the child.
pub fn deletion(seen: &Observed) -> Deletion {
    if !seen.held {
        Deletion::Gone
    } else if seen.control_plane.is_some() {
        Deletion::ControlPlane
    } else if seen.etcd.is_some() {
        Deletion::Etcd
    } else {
        Deletion::Release
    }
}

/// What keeps a spec from being followed: what admission knows, and what only a look at it tells.
pub fn faults(seen: &Observed) -> Vec<Fault> {
    seen.spec
        .own_faults()
        .into_iter()
        .map(|fault| Fault::new(fault.path.clone(), fault.to_string()))
        .collect()
}

/// The step of a living cluster whose spec can be followed: rules 3 to 12.
pub fn decide(situation: &Situation<'_>) -> Step {
    let seen = situation.seen;
    if let Some(foreign) = seen.foreign.first() {
        let words = format!(
            "{} is not ours: it {}; rename this cluster or remove that object",
            foreign.what, foreign.whose
        );
        return Step::Refuse("ApplyFailed", words);
    }
    let former = former_claims(seen, &situation.wanted);
    if !former.is_empty() {
        let words = format!(
            "volumes of a former cluster of this name exist: {}; delete these claims, or annotate k0smotron.io/reuse-volumes: \"true\"",
            former.join(", ")
        );
        return Step::Refuse("VolumesOfFormerCluster", words);
    }
    if situation.service.is_none() {
        return Step::Open;
    }
    let etcd_pods: Vec<_> = seen.etcd_pods.iter().collect();
    let pods: Vec<_> = seen.pods.iter().collect();
    let etcd = situation.etcd_rollout(&etcd_pods);
    let control_plane = situation.control_plane_rollout(&pods);
    let etcd_next = etcd.as_ref().map_or(Restart::Nothing, rollout::View::next);
    let next = control_plane.as_ref().map_or(Restart::Nothing, rollout::View::next);
    if let Restart::Pod { name, uid, why, repair: true } = &etcd_next {
        return Step::RestartEtcd(Going { name: name.clone(), uid: uid.clone(), why });
    }
    if let Restart::Pod { name, uid, why, repair: true } = &next {
        return Step::RestartControlPlane(Going { name: name.clone(), uid: uid.clone(), why });
    }
    let act = situation.membership.as_ref().map_or(Act::Nothing, super::membership::View::next);
    if let Some(step) = membership(&act) {
        return step;
    }
    if let Some(step) = etcd_restart(situation, &act, &etcd_next) {
        return step;
    }
    let past_day_350 = control_plane
        .as_ref()
        .is_some_and(|view| pods.iter().any(|pod| view.due(pod, rollout::RESTART_AT_LATEST)));
    if let Some(step) = control_plane_restart(situation, &act, &etcd_next, &next, past_day_350) {
        return step;
    }
    if let Some(push) = push(situation) {
        return Step::PushConfig(push);
    }
    wait(situation, &act, &[etcd_next, next])
}

/// Rule 7: acts; what is merely waited for comes later.
fn membership(act: &Act) -> Option<Step> {
    match act {
        Act::Nothing | Act::Wait(_) | Act::QuorumLost(_) | Act::Unknown(_) | Act::Ask(_) => None,
        act => Some(Step::Membership(act.clone())),
    }
}

/// Rule 8: all voters healthy, nobody joining.
fn etcd_restart(situation: &Situation<'_>, act: &Act, next: &Restart) -> Option<Step> {
    let Restart::Pod { name, uid, why, .. } = next else { return None };
    let view = situation.membership.as_ref()?;
    let record = view.record.as_ref()?;
    let whole = view.pods.iter().all(|pod| pod.ready) && view.pods.len() >= record.members.len();
    let joining = record.joining.is_some()
        || view.live.as_ref().is_some_and(|live| live.members.iter().any(|m| m.learner));
    if !whole || joining || !matches!(act, Act::Nothing | Act::Wait(_)) {
        return None;
    }
    let leads =
        view.live.as_ref().is_some_and(|live| live.members.iter().any(|m| m.leader && m.name == *name));
    if leads && record.members.len() > 1 {
        return Some(Step::MoveLeader(name.clone()));
    }
    Some(Step::RestartEtcd(Going { name: name.clone(), uid: uid.clone(), why }))
}

/// Rule 9: etcd is whole, or has a quorum when certificates end within days.
fn control_plane_restart(
    situation: &Situation<'_>,
    act: &Act,
    etcd_next: &Restart,
    next: &Restart,
    past_day_350: bool,
) -> Option<Step> {
    let Restart::Pod { name, uid, why, .. } = next else { return None };
    let etcd_is_well = match &situation.membership {
        None => true,
        Some(view) => {
            let members = view.record.as_ref()?.members.len();
            let ready = view.pods.iter().filter(|pod| pod.ready).count();
            let quorum = super::membership::quorum(members);
            let whole = *act == Act::Nothing && *etcd_next == Restart::Nothing && ready >= members;
            whole || (past_day_350 && ready >= quorum)
        }
    };
    etcd_is_well.then(|| Step::RestartControlPlane(Going { name: name.clone(), uid: uid.clone(), why }))
}

/// Rule 10: the child is reached, and has another configuration than is wanted.
fn push(situation: &Situation<'_>) -> Option<DynamicConfigStatus> {
    let seen = situation.seen;
    let child = seen.child.as_ref()?.yes()?;
    if !k0s::dynamic_config_enabled(&situation.wanted.flags) {
        return None;
    }
    let (_, digest) = dynamic_part(&situation.wanted);
    let wanted = DynamicConfigStatus { digest, child_uid: Some(child.uid.clone()) };
    (known_config(seen).as_ref() != Some(&wanted)).then_some(wanted)
}

/// What was last applied in the child, as this process or the status remembers it.
pub fn known_config(seen: &Observed) -> Option<DynamicConfigStatus> {
    seen.pushed.clone().or_else(|| seen.status.dynamic_config.clone())
}

/// Rules 11 and 12.
fn wait(situation: &Situation<'_>, act: &Act, restarts: &[Restart]) -> Step {
    let seen = situation.seen;
    let wait = |reason, words: &str| Step::Wait(reason, words.to_owned(), None);
    if let Some(trouble) = &situation.certificates.trouble {
        return wait(trouble.reason, &trouble.words);
    }
    if let Source::Missing(why) = &seen.source {
        return wait("DataSourceMissing", why);
    }
    match act {
        Act::QuorumLost(words) => return wait("QuorumLost", words),
        Act::Unknown(words) => return Step::Wait("MembershipUnknown", words.clone(), in_a_moment(seen)),
        Act::Ask(words) => return Step::Wait("Scaling", words.clone(), in_a_moment(seen)),
        Act::Wait(words) if situation.etcd_template.is_some() => return wait("Scaling", words),
        _ => {}
    }
    for restart in restarts {
        match restart {
            Restart::Stalled(words) => return wait("RolloutStalled", words),
            Restart::Wait(words, until) => return Step::Wait("RollingOut", words.clone(), *until),
            Restart::Nothing | Restart::Pod { .. } => {}
        }
    }
    if let Some(words) = &situation.blocked {
        return wait("UpgradeBlocked", words);
    }
    if let Exposure::Waiting(reason, words) = &situation.exposure {
        return wait(reason, words);
    }
    if seen.ready() < situation.wanted.spec.effective_replicas() {
        let words = trouble(&seen.pods).unwrap_or_else(|| {
            format!("{} of {} replicas are Ready", seen.ready(), situation.wanted.spec.effective_replicas())
        });
        return wait("NoReadyReplicas", &words);
    }
    if situation.kubeconfig == Some(KubeconfigState::NotOurs) {
        return wait("NotOurs", "the Secret with the kubeconfig belongs to somebody else");
    }
    Step::Settled
}

/// What cannot be watched is asked again after a second; etcd that does not answer, twice as late each time, up to
/// half a minute. Its pods are watched: one that gets Ready is asked at once.
fn in_a_moment(seen: &Observed) -> Option<Timestamp> {
    const MOST: u32 = 30;
    let seconds = 1_u32.checked_shl(seen.silent.saturating_sub(1)).unwrap_or(MOST).clamp(1, MOST);
    seen.now.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).ok()
}

/// Why pods do not get on, in the words of scheduler and kubelet.
pub fn trouble(pods: &[Seen<PodFact>]) -> Option<String> {
    let pod = pods.iter().find(|pod| pod.fact.ready_since.is_none() && pod.fact.trouble.is_some())?;
    Some(format!("{}: {}", pod.name, pod.fact.trouble.as_deref()?))
}
