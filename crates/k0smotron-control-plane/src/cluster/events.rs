//! Events (hosted.md 14): one per change, none when nothing changed (H-43).

use reconcile::{Condition, Event, Is, Tell};

use super::facts::{Seen, SetFact};
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
    let finished = conditions.iter().any(|one| one.type_ == "ControlPlaneUpToDate" && one.status == Is::True);
    if finished && seen.status.version.is_some() {
        let tell = Tell::ConditionChanged("ControlPlaneUpToDate");
        let note = "all replicas run the wanted revision".to_owned();
        events.push(Event { warning: false, reason: "RolloutFinished".to_owned(), note, tell });
    }
    events
}
