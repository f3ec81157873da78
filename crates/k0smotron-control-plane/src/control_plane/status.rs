//! What Cluster API is told, from what the `k0smotron.io` Cluster observed.

use api::hosted::{
    ControlPlaneInitialization, HostedClusterStatus, K0smotronControlPlaneStatus, StorageType,
};
use api::shared::VersionCount;
use cluster_api::conditions as names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as Told;
use reconcile::{Condition, Is};

use super::decide::Step;
use super::observe::Observed;
use super::versions::in_notation;

/// The status without conditions.
pub fn status(seen: &Observed) -> K0smotronControlPlaneStatus {
    let hosted = seen.hosted.as_ref().filter(|hosted| hosted.ours).map(|hosted| &hosted.status);
    let count = |of: fn(&HostedClusterStatus) -> Option<i32>| Some(hosted.and_then(of).unwrap_or(0));
    let ready = hosted.and_then(|hosted| hosted.ready_replicas).unwrap_or(0);
    let endpoint_known = hosted.is_some_and(|hosted| hosted.endpoint.is_some());
    let was =
        seen.status.initialization.as_ref().and_then(|done| done.control_plane_initialized) == Some(true);
    let versions = versions(seen, hosted);
    K0smotronControlPlaneStatus {
        observed_generation: seen.generation,
        initialization: Some(ControlPlaneInitialization {
            control_plane_initialized: Some(was || (ready > 0 && endpoint_known)),
        }),
        external_managed_control_plane: Some(true),
        version: Some(versions.first().map(|first| first.version.clone()).unwrap_or_default()),
        versions,
        selector: hosted.and_then(|hosted| hosted.selector.clone()),
        replicas: count(|hosted| hosted.replicas),
        ready_replicas: count(|hosted| hosted.ready_replicas),
        up_to_date_replicas: count(|hosted| hosted.updated_replicas),
        available_replicas: count(|hosted| hosted.ready_replicas),
        conditions: Vec::new(),
    }
}

/// The versions that run, oldest first. What a replica that is not on the wanted revision runs is the lowest
/// version that the `k0smotron.io` Cluster tells.
fn versions(seen: &Observed, hosted: Option<&HostedClusterStatus>) -> Vec<VersionCount> {
    let Some((hosted, lowest)) = hosted.and_then(|hosted| Some((hosted, hosted.version.as_ref()?))) else {
        return Vec::new();
    };
    let replicas = hosted.replicas.unwrap_or(0);
    let updated = hosted.updated_replicas.unwrap_or(0).min(replicas);
    let wanted = seen.spec.version.as_deref().filter(|version| !version.is_empty());
    let lowest = in_notation(lowest, wanted.unwrap_or(lowest));
    let mut versions = vec![];
    match wanted {
        // All of them updated, and yet a lower version runs: that count was made before this version was wanted.
        Some(wanted) if wanted != lowest && updated > 0 && updated < replicas => {
            versions.push(VersionCount { version: lowest, replicas: replicas - updated });
            versions.push(VersionCount { version: wanted.to_owned(), replicas: updated });
        }
        _ => versions.push(VersionCount { version: lowest, replicas }),
    }
    versions.retain(|count| count.replicas > 0);
    versions
}

/// All conditions (cluster-api-contract 1.6, 3.1).
pub fn conditions(seen: &Observed, step: &Step) -> Vec<Condition> {
    let hosted =
        seen.hosted.as_ref().filter(|hosted| hosted.ours).map(|hosted| hosted.status.conditions.as_slice());
    let hosted = hosted.unwrap_or_default();
    let mut all = vec![
        available(seen, step, hosted),
        mirrored(names::CERTIFICATES_AVAILABLE, hosted, "CertificatesAvailable"),
    ];
    if seen.spec.storage_type() == StorageType::Etcd {
        all.push(mirrored(names::ETCD_CLUSTER_HEALTHY, hosted, "EtcdHealthy"));
    }
    let rolling = names::find(hosted, "ControlPlaneUpToDate").filter(|told| told.status == "False");
    all.push(going_on(names::ROLLING_OUT, rolling.map(|told| told.message.as_str())));
    let scaling = names::find(hosted, "ControlPlaneScaling").filter(|told| told.status == "True");
    for (type_, reason) in [(names::SCALING_UP, "ScalingUp"), (names::SCALING_DOWN, "ScalingDown")] {
        all.push(going_on(
            type_,
            scaling.filter(|told| told.reason == reason).map(|told| told.message.as_str()),
        ));
    }
    all.push(match step {
        _ if !seen.deleting => Condition::new(names::DELETING, Is::False, names::REASON_NOT_DELETING, ""),
        step => Condition::new(names::DELETING, Is::True, step.name(), step.words(seen)),
    });
    all
}

fn available(seen: &Observed, step: &Step, hosted: &[Told]) -> Condition {
    match step {
        Step::Declare | Step::WaitForWorkers { .. } => {}
        step => return Condition::new(names::AVAILABLE, Is::False, step.name(), step.words(seen)),
    }
    match names::find(hosted, names::AVAILABLE) {
        None => Condition::new(
            names::AVAILABLE,
            Is::Unknown,
            "ControlPlaneDoesNotExist",
            "Waiting for the control plane to be created",
        ),
        Some(told) if told.status == "True" => Condition::new(names::AVAILABLE, Is::True, "Available", ""),
        Some(told) => {
            let first = first_problem(hosted).unwrap_or(told);
            Condition::new(names::AVAILABLE, Is::False, &*first.reason, &*first.message)
        }
    }
}

/// The first thing that is wrong, in the order in which the `k0smotron.io` Cluster tells them, `Available` and
/// what only progresses apart.
fn first_problem(hosted: &[Told]) -> Option<&Told> {
    const NO_PROBLEM: [&str; 5] = ["Available", "ControlPlaneScaling", "Deleting", "Paused", "VolumeResize"];
    hosted.iter().find(|told| told.status != "True" && !NO_PROBLEM.contains(&&*told.type_))
}

fn mirrored(type_: &'static str, hosted: &[Told], of: &str) -> Condition {
    match names::find(hosted, of) {
        None => Condition::new(type_, Is::Unknown, format!("{type_}Unknown"), ""),
        Some(told) => {
            let is = match told.status.as_str() {
                "True" => Is::True,
                "False" => Is::False,
                _ => Is::Unknown,
            };
            Condition::new(type_, is, &*told.reason, &*told.message)
        }
    }
}

fn going_on(type_: &'static str, words: Option<&str>) -> Condition {
    match words {
        Some(words) => Condition::new(type_, Is::True, type_, words),
        None => Condition::new(type_, Is::False, format!("Not{type_}"), ""),
    }
}
