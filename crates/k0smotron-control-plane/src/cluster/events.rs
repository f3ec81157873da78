//! Events (hosted.md 14): one per change, none when nothing changed (H-43).

use reconcile::{Condition, Effect, Event, Is, Tell};

use super::facts::{Seen, SetFact};
use super::own::Own;
use super::situation::Situation;
use super::template::Template;

/// Events that repeat conditions when they change. A condition that is not true yet in a cluster that is being
/// made is no warning.
pub fn of_conditions(conditions: &[Condition]) -> Vec<Event> {
    /// Reasons that users must act on, or that something broke.
    const WARN: [&str; 18] = [
        "AuthorityLost",
        "SigningKeyMissing",
        "InvalidCertificateRef",
        "ChildUnreachable",
        "Rejected",
        "NodePortTaken",
        "NoReadyNode",
        "RolloutStalled",
        "UpgradeBlocked",
        "QuorumLost",
        "MembershipUnknown",
        "NotOurs",
        "InvalidSpec",
        "InvalidPatch",
        "DataSourceMissing",
        "VolumesOfFormerCluster",
        "ApplyFailed",
        "MemberNotReady",
    ];
    /// Summaries repeat what another condition says.
    const SUMMARIES: [&str; 2] = ["Available", "ControlPlaneScaling"];
    conditions
        .iter()
        .filter(|one| !SUMMARIES.contains(&one.type_) && WARN.contains(&&*one.reason))
        .map(|one| Event::of(one, true))
        .chain(
            conditions
                .iter()
                .filter(|one| one.type_ == "Available" && one.status == Is::True)
                .map(|one| Event::of(one, false)),
        )
        .collect()
}

/// What is no longer wanted goes (H-8). What a restart or etcd's membership takes away has a word of its own.
pub fn of_pruned(effects: &[Effect<Own>], disruptive: bool) -> Option<Event> {
    let gone = |effect: &Effect<Own>| match effect {
        Effect::Delete { what, .. } => Some(format!("{} {}", what.resource.kind, what.name)),
        _ => None,
    };
    let gone: Vec<_> = effects.iter().filter_map(gone).collect();
    (!disruptive && !gone.is_empty())
        .then(|| Event::acted("Pruned", format!("no longer wanted, and deleted: {}", gone.join(", "))))
}

/// Events that tell the story of a cluster (H-43).
pub fn of_story(situation: &Situation<'_>, conditions: &[Condition]) -> Vec<Event> {
    let seen = situation.seen;
    let mut events = Vec::new();
    if !seen.held {
        events.push(Event::acted("Created", "the objects of the control plane are being made"));
    }
    if let (Some(known), Some(endpoint)) = (&seen.status.external_address, situation.endpoint())
        && *known != endpoint.host
    {
        let words = format!(
            "the API moves from {known} to {}; workers keep the old address until they join anew",
            endpoint.host
        );
        events.push(Event::acted("EndpointChanged", words));
    }
    let rolls = |set: &Option<Seen<SetFact>>, template: &Option<Template>| {
        set.is_some() && template.as_ref().is_some_and(|template| template.is_new)
    };
    if rolls(&seen.control_plane, &situation.template) {
        events.push(Event::acted("RolloutStarted", "control plane pods restart one at a time"));
    }
    if rolls(&seen.etcd, &situation.etcd_template) {
        events.push(Event::acted("RolloutStarted", "etcd pods restart one at a time, the leader last"));
    }
    let renewed = situation.certificates.due.iter().map(|leaf| leaf.secret(&situation.wanted));
    for name in renewed.filter(|name| seen.secret(name).is_some()) {
        events.push(Event::acted(
            "CertificateRenewed",
            format!("the certificate in Secret {name} is issued anew"),
        ));
    }
    let again = |type_, warning, reason: &str| {
        let condition = conditions.iter().find(|one| one.type_ == type_ && one.status == Is::True);
        let condition = condition.filter(|one| !one.message.is_empty())?;
        let (reason, note) = (reason.to_owned(), condition.message.clone());
        Some(Event { warning, reason, note, tell: Tell::MessageChanged(type_) })
    };
    events.extend(again("CertificatesAvailable", true, "AuthorityExpiring"));
    events.extend(again("ControlPlaneUpToDate", false, "CertificateRestartDue"));
    let finished = conditions.iter().any(|one| one.type_ == "ControlPlaneUpToDate" && one.status == Is::True);
    if finished && seen.status.version.is_some() {
        let tell = Tell::ConditionChanged("ControlPlaneUpToDate");
        let note = "all replicas run the wanted revision".to_owned();
        events.push(Event { warning: false, reason: "RolloutFinished".to_owned(), note, tell });
    }
    events
}
