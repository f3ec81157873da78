//! What users read: status, conditions, events (hosted.md 14). It tells what is observed, whether or not a pass
//! gets through (H-42).

use api::hosted::{
    CertificateStatus, EtcdMemberStatus, EtcdStatus, HostedClusterStatus, HostedDeprecated,
    HostedDeprecatedV1Beta1, HostedEndpoint, TemplateStatus,
};
use k0s::Version;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::{Condition, Is};

use super::certificates::{KubeconfigState, LEAVES, authorities};
use super::decide::{Step, known_config, trouble};
use super::exposure::Exposure;
use super::membership::{Act, quorum};
use super::observe::{Observed, Source, count};
use super::plan::updated;
use super::rollout::Restart;
use super::situation::{Situation, shrinking_since};
use super::template::{INPUTS, LAYOUT};

type Told = (Option<HostedClusterStatus>, Vec<Condition>);

/// Status and conditions of a living cluster.
pub fn of(situation: &Situation<'_>, step: &Step) -> Told {
    let seen = situation.seen;
    let mut conditions = vec![functional(seen), kubeconfig(situation), exposed(situation)];
    conditions.insert(0, available(&conditions));
    conditions.push(certificates(situation));
    conditions.extend(config_applied(situation));
    conditions.push(scaling(situation));
    conditions.push(up_to_date(situation));
    if situation.wanted.uses_etcd() {
        conditions.push(etcd_healthy(situation));
    }
    conditions.push(not_deleting());
    conditions.push(reconciled(situation, step));
    let mut status = seen.status.clone();
    status.conditions = Vec::new();
    status.observed_generation = seen.generation;
    counts(&mut status, seen);
    status.updated_replicas = Some(updated(situation));
    status.version = version(seen).or(status.version);
    status.former_external_addresses.clone_from(&situation.former);
    if let Some(endpoint) = situation.endpoint() {
        status.external_address = Some(endpoint.host.clone());
        status.endpoint = Some(HostedEndpoint {
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            node: endpoint.node.clone(),
        });
    }
    status.etcd = situation.membership.as_ref().map(|_| etcd_status(situation));
    status.certificates = certificate_status(situation);
    status.dynamic_config = config_status(situation);
    status.template = seen.control_plane.as_ref().and_then(|set| {
        let text = |key: &str| set.annotation(key).map(ToOwned::to_owned);
        Some(TemplateStatus { layout: text(LAYOUT)?, inputs: text(INPUTS)? })
    });
    status.deprecated = Some(deprecated(seen, &conditions));
    (Some(status), conditions)
}

/// Status and conditions of a cluster whose spec cannot be followed: what runs is told all the same.
pub fn of_rejected(seen: &Observed, reason: &'static str, words: &str) -> Told {
    let mut status = seen.status.clone();
    let mut conditions = kept(seen, &["Reconciled", "ControlPlaneFunctional", "Available"]);
    let functional = functional(seen);
    let others = ["KubeconfigSecretAvailable", "ControlPlaneExposed"];
    let mut parts: Vec<_> = conditions.iter().filter(|one| others.contains(&one.type_)).cloned().collect();
    if parts.len() < others.len() {
        parts.push(Condition::new("ControlPlaneExposed", Is::False, reason, words));
    }
    parts.insert(0, functional.clone());
    conditions.insert(0, available(&parts));
    conditions.insert(1, functional);
    conditions.push(Condition::new("Reconciled", Is::False, reason, words));
    status.conditions = Vec::new();
    status.observed_generation = seen.generation;
    counts(&mut status, seen);
    status.deprecated = Some(deprecated(seen, &conditions));
    (Some(status), conditions)
}

/// Status and conditions of a cluster that is being deleted.
pub fn of_deleted(seen: &Observed, words: &str) -> Told {
    let mut conditions = kept(seen, &["Deleting"]);
    conditions.push(Condition::new("Deleting", Is::True, "WaitingForPods", words));
    let mut status = seen.status.clone();
    status.conditions = Vec::new();
    counts(&mut status, seen);
    (Some(status), conditions)
}

fn available(parts: &[Condition]) -> Condition {
    match parts.iter().find(|part| part.status != Is::True) {
        None => Condition::new("Available", Is::True, "Available", "the API serves and can be reached"),
        Some(part) => Condition::new("Available", Is::False, part.reason.clone(), part.message.clone()),
    }
}

fn functional(seen: &Observed) -> Condition {
    let type_ = "ControlPlaneFunctional";
    if seen.ready() > 0 {
        return Condition::new(type_, Is::True, "KubeSystemNamespaceFound", "");
    }
    if seen.control_plane.is_none() {
        return Condition::new(
            type_,
            Is::False,
            "NotFound",
            "the StatefulSet of the control plane does not exist yet",
        );
    }
    let words = trouble(&seen.pods)
        .or_else(|| trouble(&seen.etcd_pods))
        .unwrap_or_else(|| "no replica is Ready yet".to_owned());
    Condition::new(type_, Is::False, "NoReadyReplicas", words)
}

fn kubeconfig(situation: &Situation<'_>) -> Condition {
    let type_ = "KubeconfigSecretAvailable";
    let name = situation.wanted.names.secret("kubeconfig");
    let found = situation.seen.secret(&name);
    match &situation.kubeconfig {
        Some(KubeconfigState::NotOurs) => {
            let words =
                format!("Secret {name} belongs to somebody else and is left alone; remove or rename it");
            Condition::new(type_, Is::False, "NotOurs", words)
        }
        _ if found.is_some() => Condition::new(type_, Is::True, "Created", ""),
        _ => Condition::new(
            type_,
            Is::False,
            "NoReadyReplicas",
            "it is written when the first replica is Ready",
        ),
    }
}

fn exposed(situation: &Situation<'_>) -> Condition {
    let type_ = "ControlPlaneExposed";
    match &situation.exposure {
        Exposure::Waiting(reason, words) => Condition::new(type_, Is::False, *reason, words.clone()),
        Exposure::Known(endpoint) => {
            let inside = situation.wanted.spec.service_type() == api::hosted::ServiceType::ClusterIp
                && situation.wanted.spec.pinned_address().is_none();
            let reason = if inside { "InClusterService" } else { "ClusterWithExternalAddress" };
            Condition::new(type_, Is::True, reason, format!("reached at {}", endpoint.authority()))
        }
    }
}

fn certificates(situation: &Situation<'_>) -> Condition {
    let type_ = "CertificatesAvailable";
    match &situation.certificates.trouble {
        Some(trouble) => Condition::new(type_, Is::False, trouble.reason, trouble.words.clone()),
        None if situation.certificates.digest.is_some() && situation.certificates.missing.is_empty() => {
            let words = situation.certificates.ending.clone().unwrap_or_default();
            Condition::new(type_, Is::True, "Created", words)
        }
        None => Condition::new(type_, Is::False, "Creating", "authorities are being generated"),
    }
}

fn config_applied(situation: &Situation<'_>) -> Option<Condition> {
    let seen = situation.seen;
    let type_ = "ConfigApplied";
    if let Some((refused, words)) = &seen.push_failed {
        let reason = if *refused { "Rejected" } else { "ChildUnreachable" };
        return Some(Condition::new(type_, Is::False, reason, words.clone()));
    }
    let (_, digest) = super::objects::config::dynamic_part(&situation.wanted);
    let known = known_config(seen)?;
    if known.digest == digest {
        return Some(Condition::new(type_, Is::True, "Applied", ""));
    }
    let words = seen.child.as_ref().and_then(|child| child.why_not()).unwrap_or("it is about to be applied");
    Some(Condition::new(type_, Is::False, "ChildUnreachable", words))
}

fn scaling(situation: &Situation<'_>) -> Condition {
    let type_ = "ControlPlaneScaling";
    let Some(set) = &situation.seen.control_plane else {
        return Condition::new(type_, Is::False, "NotFound", "");
    };
    let (wanted, there) = (set.fact.replicas, count(situation.seen.pods.len()));
    match there.cmp(&wanted) {
        std::cmp::Ordering::Less => {
            Condition::new(type_, Is::True, "ScalingUp", format!("{there} of {wanted} pods exist"))
        }
        std::cmp::Ordering::Greater => {
            Condition::new(type_, Is::True, "ScalingDown", format!("{there} pods exist, {wanted} are wanted"))
        }
        std::cmp::Ordering::Equal => Condition::new(type_, Is::False, "ControlPlaneWithDesiredReplicas", ""),
    }
}

fn up_to_date(situation: &Situation<'_>) -> Condition {
    let type_ = "ControlPlaneUpToDate";
    if let Some(words) = &situation.blocked {
        return Condition::new(type_, Is::False, "UpgradeBlocked", words.clone());
    }
    let (pods, etcd_pods): (Vec<_>, Vec<_>) =
        (situation.seen.pods.iter().collect(), situation.seen.etcd_pods.iter().collect());
    let rollouts = [situation.control_plane_rollout(&pods), situation.etcd_rollout(&etcd_pods)];
    if let Some(words) = rollouts.iter().flatten().find_map(super::rollout::View::stalled) {
        return Condition::new(type_, Is::False, "RolloutStalled", words);
    }
    let wanted = situation.wanted.spec.effective_replicas();
    let (now, all) = (updated(situation), count(pods.len()));
    let etcd_waits = situation.etcd_rollout(&etcd_pods).is_some_and(|view| view.next() != Restart::Nothing);
    if now == wanted && all == wanted && !etcd_waits {
        let due = rollouts.iter().flatten().find_map(super::rollout::View::due_soon);
        return Condition::new(type_, Is::True, "AllReplicasUpToDate", due.unwrap_or_default());
    }
    Condition::new(
        type_,
        Is::False,
        "NotAllReplicasUpToDate",
        format!("{now} of {wanted} replicas run the wanted revision"),
    )
}

/// Whether this reason of a condition was told last.
fn told(situation: &Situation<'_>, type_: &str, reason: &str) -> bool {
    situation.seen.status.conditions.iter().any(|told| told.type_ == type_ && told.reason == reason)
}

fn etcd_healthy(situation: &Situation<'_>) -> Condition {
    let type_ = "EtcdHealthy";
    let Some(view) = &situation.membership else {
        return Condition::new(type_, Is::Unknown, "MembershipUnknown", "");
    };
    let Some(record) = &view.record else {
        return match view.next() {
            Act::Unknown(words) => Condition::new(type_, Is::Unknown, "MembershipUnknown", words),
            _ => Condition::new(type_, Is::False, "Scaling", "the first members are about to start"),
        };
    };
    let ready = |name: &str| view.pods.iter().any(|pod| pod.name == name && pod.ready);
    let down: Vec<_> =
        record.members.iter().map(|member| member.name.as_str()).filter(|name| !ready(name)).collect();
    let (all, healthy) = (record.members.len(), record.members.len() - down.len());
    let born = situation.seen.ready() > 0 || situation.seen.status.version.is_some();
    if record.phase == super::record::Phase::Bootstrapping && !down.is_empty() && !born {
        return Condition::new(
            type_,
            Is::False,
            "Scaling",
            format!("{healthy} of {all} first members are Ready"),
        );
    }
    if !down.is_empty() && view.is_about_to_be_ready(&down) && told(situation, type_, "Scaling") {
        let words = format!("{} votes, and is about to be Ready", down.join(", "));
        return Condition::new(type_, Is::False, "Scaling", words);
    }
    if healthy < quorum(all) {
        let words = format!(
            "{healthy} of {all} members are Ready, {} are needed; nothing is changed until they are back or a backup is restored",
            quorum(all)
        );
        return Condition::new(type_, Is::False, "QuorumLost", words);
    }
    if !down.is_empty() {
        let words = format!(
            "not Ready: {}; if its volume is lost, annotate k0smotron.io/replace-etcd-member: {}",
            down.join(", "),
            down.first().copied().unwrap_or_default()
        );
        return Condition::new(type_, Is::False, "MemberNotReady", words);
    }
    if record.joining.is_some() || count(all) != view.wanted {
        return Condition::new(
            type_,
            Is::False,
            "Scaling",
            format!("{all} members, {} are wanted", view.wanted),
        );
    }
    Condition::new(type_, Is::True, "AllMembersHealthy", format!("{all} of {all} members are Ready"))
}

fn not_deleting() -> Condition {
    Condition::new("Deleting", Is::False, "NotDeleting", "")
}

fn reconciled(situation: &Situation<'_>, step: &Step) -> Condition {
    let type_ = "Reconciled";
    if let Step::Refuse(reason, words) = step {
        return Condition::new(type_, Is::False, *reason, words.clone());
    }
    if let Source::Missing(words) = &situation.seen.source {
        return Condition::new(type_, Is::False, "DataSourceMissing", words.clone());
    }
    Condition::new(type_, Is::True, "Reconciled", "")
}

fn counts(status: &mut HostedClusterStatus, seen: &Observed) {
    status.replicas = Some(count(seen.pods.len()));
    status.ready_replicas = Some(seen.ready());
    let selector = seen.origin.control_plane_selector();
    let selector: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    status.selector = Some(selector.join(","));
}

/// The lowest version that a Ready pod runs.
fn version(seen: &Observed) -> Option<String> {
    let ready = seen.pods.iter().filter(|pod| pod.fact.ready_since.is_some());
    let versions = ready.filter_map(|pod| pod.fact.image.rsplit_once(':')?.1.parse::<Version>().ok());
    versions.min().map(|version| version.to_string())
}

fn etcd_status(situation: &Situation<'_>) -> EtcdStatus {
    let mut status = EtcdStatus::default();
    let Some(view) = &situation.membership else { return status };
    status.shrinking_since = shrinking_since(situation.seen, view).map(Time);
    let Some(record) = &view.record else { return status };
    let ready = |name: &str| view.pods.iter().any(|pod| pod.name == name && pod.ready);
    let member = |name: &str, id: &str, learner: bool| EtcdMemberStatus {
        name: name.to_owned(),
        id: (!id.is_empty()).then(|| id.to_owned()),
        learner: learner.then_some(true),
        ready: Some(ready(name)),
    };
    status.replicas = Some(count(record.members.len()));
    status.members = record.members.iter().map(|one| member(&one.name, &one.id, false)).collect();
    status.members.extend(record.joining.iter().map(|one| member(&one.name, &one.id, true)));
    status
}

fn certificate_status(situation: &Situation<'_>) -> Vec<CertificateStatus> {
    let (seen, wanted) = (situation.seen, &situation.wanted);
    let mut names: Vec<(String, bool)> =
        authorities(wanted).into_iter().map(|purpose| (wanted.certificate_secret(purpose), true)).collect();
    if wanted.uses_etcd() {
        names.extend(LEAVES.iter().map(|leaf| (leaf.secret(wanted), false)));
    }
    names.push((wanted.names.secret("kubeconfig"), false));
    names.sort();
    let status = |(secret, authority): (String, bool)| {
        let (_, not_after) = seen.secret(&secret)?.fact.life?;
        Some(CertificateStatus { secret, not_after: Time(not_after), authority: authority.then_some(true) })
    };
    names.into_iter().filter_map(status).collect()
}

fn config_status(situation: &Situation<'_>) -> Option<api::hosted::DynamicConfigStatus> {
    let known = known_config(situation.seen);
    if known.is_some() || k0s::dynamic_config_enabled(&situation.wanted.flags) {
        return known;
    }
    // Without dynamic configuration only the child's identity is told.
    let child = situation.seen.child.as_ref()?.yes()?;
    Some(api::hosted::DynamicConfigStatus { digest: String::new(), child_uid: Some(child.uid.clone()) })
}

fn deprecated(seen: &Observed, conditions: &[Condition]) -> HostedDeprecated {
    let wanted = seen.spec.effective_replicas();
    let problem = conditions.iter().find(|one| one.type_ == "Reconciled" && one.status != Is::True);
    let text = match problem {
        Some(problem) => format!("Failed reconciling {}, {}", problem.reason, problem.message),
        None => "Reconciliation successful".to_owned(),
    };
    HostedDeprecated {
        v1beta1: Some(HostedDeprecatedV1Beta1 {
            ready: Some(seen.ready() >= wanted),
            reconciliation_status: Some(text),
        }),
    }
}

/// The conditions that stand, without those named.
fn kept(seen: &Observed, without: &[&str]) -> Vec<Condition> {
    const ALL: [&str; 13] = [
        "Available",
        "ControlPlaneFunctional",
        "KubeconfigSecretAvailable",
        "ControlPlaneExposed",
        "CertificatesAvailable",
        "ConfigApplied",
        "ControlPlaneScaling",
        "ControlPlaneUpToDate",
        "EtcdHealthy",
        "Deleting",
        "Reconciled",
        "HostingClusterReachable",
        "VolumeResize",
    ];
    let one = |live: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        let type_ = *ALL.iter().find(|type_| **type_ == live.type_ && !without.contains(type_))?;
        let status = match live.status.as_str() {
            "True" => Is::True,
            "False" => Is::False,
            _ => Is::Unknown,
        };
        Some(Condition::new(type_, status, live.reason.clone(), live.message.clone()))
    };
    seen.status.conditions.iter().filter_map(one).collect()
}
