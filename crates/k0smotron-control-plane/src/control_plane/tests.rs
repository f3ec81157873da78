//! Plans: given this observation, what next.

use super::observe::{ClusterFacts, HostedFacts, InfrastructureFacts, Observed};
use super::plan::plan;
use super::{Step, decide};
use api::hosted::{HostedClusterStatus, HostedEndpoint};
use cluster_api::cluster::{ApiEndpoint, ClusterNetwork, NetworkRanges};
use cluster_api::reference::ContractVersionedObjectReference;
use reconcile::{Effect, Is};
use serde_json::json;

fn living() -> Observed {
    Observed {
        namespace: "ns".into(),
        name: "cp".into(),
        uid: "u-cp".into(),
        held: true,
        cluster: Some(ClusterFacts {
            name: "c".into(),
            uid: "u-c".into(),
            exists: true,
            ..ClusterFacts::default()
        }),
        ..Observed::default()
    }
}

fn serving() -> Observed {
    let status = HostedClusterStatus {
        replicas: Some(1),
        ready_replicas: Some(1),
        updated_replicas: Some(1),
        version: Some("v1.36.3+k0s.0".into()),
        endpoint: Some(HostedEndpoint { host: "10.0.0.1".into(), port: 30443, node: None }),
        ..HostedClusterStatus::default()
    };
    Observed {
        hosted: Some(HostedFacts { uid: "u-h".into(), ours: true, deleting: false, status }),
        ..living()
    }
}

fn applied(seen: &Observed) -> Vec<serde_json::Value> {
    let effects = plan(seen).effects;
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Apply(object) => serde_json::to_value(object).ok(),
            _ => None,
        })
        .collect()
}

#[test]
fn without_an_owning_cluster_nothing_is_written() {
    let seen = Observed { cluster: None, held: false, ..living() };
    assert_eq!(decide(&seen), Step::WaitForCluster);
    let plan = plan(&seen);
    assert!(plan.effects.is_empty() && plan.status.is_none());
}

#[test]
fn h_44_it_becomes_one_hosted_cluster_with_the_name_of_its_cluster() {
    let mut seen = living();
    seen.watch_filter = Some("blue".into());
    let object = &applied(&seen)[0];
    assert_eq!(object["metadata"]["name"], "c");
    assert_eq!(object["metadata"]["labels"]["cluster.x-k8s.io/cluster-name"], "c");
    assert_eq!(object["metadata"]["labels"]["cluster.x-k8s.io/watch-filter"], "blue");
    let owner = &object["metadata"]["ownerReferences"][0];
    assert_eq!((owner["name"].as_str(), owner.get("controller")), (Some("cp"), None), "a plain owner");
}

#[test]
fn h_44_two_address_families_become_dual_stack_and_the_users_own_values_win() {
    let mut seen = living();
    let ranges = |blocks: &[&str]| {
        Some(NetworkRanges { cidr_blocks: blocks.iter().map(|b| (*b).to_owned()).collect() })
    };
    seen.cluster.as_mut().unwrap().network = Some(ClusterNetwork {
        pods: ranges(&["10.1.0.0/16", "fd01::/108"]),
        services: ranges(&["10.2.0.0/16", "fd02::/108"]),
        service_domain: Some("theirs.local".into()),
        ..ClusterNetwork::default()
    });
    seen.spec.k0s_config =
        serde_json::from_value(json!({"spec": {"network": {"clusterDomain": "mine.local"}}})).unwrap();
    let network = &applied(&seen)[0]["spec"]["k0sConfig"]["spec"]["network"];
    assert_eq!(
        *network,
        json!({
            "podCIDR": "10.1.0.0/16", "serviceCIDR": "10.2.0.0/16", "clusterDomain": "mine.local",
            "dualStack": {"enabled": true, "IPv6podCIDR": "fd01::/108", "IPv6serviceCIDR": "fd02::/108"},
        })
    );
}

#[test]
fn h_7_a_hosted_cluster_of_somebody_else_is_never_written() {
    let mut seen = serving();
    seen.hosted.as_mut().unwrap().ours = false;
    assert_eq!(decide(&seen), Step::RejectForeign);
    assert!(plan(&seen).effects.is_empty());
    seen.deleting = true;
    assert_eq!(decide(&seen), Step::Release, "and it is not deleted either");
}

#[test]
fn the_endpoint_goes_where_it_differs_and_nowhere_else() {
    let mut seen = serving();
    seen.cluster.as_mut().unwrap().infrastructure = Some(InfrastructureFacts {
        reference: ContractVersionedObjectReference {
            api_group: "infrastructure.cluster.x-k8s.io".into(),
            kind: "RemoteCluster".into(),
            name: "rc".into(),
        },
        version: "v1beta2".into(),
        uid: "u-rc".into(),
        managed_by_us: false,
        facts: super::endpoints::Infrastructure::default(),
    });
    let kinds = |seen: &Observed| {
        applied(seen).iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&seen), ["Cluster", "RemoteCluster", "Cluster"]);
    let endpoint = ApiEndpoint { host: "10.0.0.1".into(), port: 30443 };
    let cluster = seen.cluster.as_mut().unwrap();
    cluster.endpoint = Some(endpoint.clone());
    cluster.infrastructure.as_mut().unwrap().facts.endpoint = Some(endpoint);
    assert_eq!(
        kinds(&seen),
        ["Cluster", "Cluster"],
        "what stays is what the driver skips: k0smotron.io and core's"
    );
}

#[test]
fn the_cluster_is_told_which_child_it_is() {
    let mut seen = serving();
    let told =
        |seen: &Observed| applied(seen)[1]["metadata"]["annotations"]["k0sproject.io/cluster-id"].clone();
    assert!(told(&seen).is_null());
    let known = api::hosted::DynamicConfigStatus { digest: "d".into(), child_uid: Some("u-child".into()) };
    seen.hosted.as_mut().unwrap().status.dynamic_config = Some(known);
    assert_eq!(told(&seen), "kube-system:u-child");
}

#[test]
fn initialised_is_sticky_and_needs_a_ready_replica_and_an_endpoint() {
    let initialised = |seen: &Observed| {
        plan(seen).status.unwrap().initialization.unwrap().control_plane_initialized.unwrap()
    };
    assert!(!initialised(&living()));
    let mut seen = serving();
    assert!(initialised(&seen));
    seen.status = plan(&seen).status.unwrap();
    seen.hosted.as_mut().unwrap().status.ready_replicas = Some(0);
    assert!(initialised(&seen), "it stays true when the replica is lost");
}

#[test]
fn versions_are_told_oldest_first_while_replicas_roll() {
    let mut seen = serving();
    seen.spec.version = Some("v1.36.4+k0s".into());
    let hosted = &mut seen.hosted.as_mut().unwrap().status;
    (hosted.replicas, hosted.updated_replicas) = (Some(3), Some(1));
    let versions = plan(&seen).status.unwrap().versions;
    let told: Vec<_> = versions.iter().map(|count| (count.version.as_str(), count.replicas)).collect();
    assert_eq!(told, [("v1.36.3+k0s", 2), ("v1.36.4+k0s", 1)]);
}

/// K-18: core upgrades the workers as soon as it reads the new version here.
#[test]
fn k_18_a_version_that_has_just_been_asked_for_is_not_told_before_it_runs() {
    let mut seen = serving();
    seen.spec.version = Some("v1.36.4+k0s".into());
    let status = plan(&seen).status.unwrap();
    assert_eq!(status.version.as_deref(), Some("v1.36.3+k0s"), "the counts are those of the former version");
    let told: Vec<_> = status.versions.iter().map(|count| (count.version.as_str(), count.replicas)).collect();
    assert_eq!(told, [("v1.36.3+k0s", 1)]);
}

#[test]
fn h_57_deletion_waits_for_workers_then_for_the_hosted_cluster_then_lets_go() {
    let mut seen = serving();
    (seen.deleting, seen.workers) = (true, 2);
    assert_eq!(decide(&seen), Step::WaitForWorkers { workers: 2 });
    let told = plan(&seen).conditions.into_iter().find(|condition| condition.type_ == "Deleting").unwrap();
    assert_eq!((told.status, told.reason.as_str()), (Is::True, "WaitingForWorkersDeletion"));

    let skip = Observed { delete_without_workers: true, ..seen.clone() };
    assert_eq!(decide(&skip), Step::DeleteHosted);
    let mut with_cluster = seen.clone();
    with_cluster.cluster.as_mut().unwrap().deleting = true;
    assert_eq!(decide(&with_cluster), Step::DeleteHosted);

    seen.workers = 0;
    assert_eq!(decide(&seen), Step::DeleteHosted);
    seen.hosted.as_mut().unwrap().deleting = true;
    assert_eq!(decide(&seen), Step::WaitForHostedGone);
    seen.hosted = None;
    assert_eq!(plan(&seen).effects, vec![Effect::Release]);
}

#[test]
fn h_57_a_missing_cluster_is_no_obstacle_to_deletion() {
    let seen = Observed { deleting: true, cluster: None, ..living() };
    assert_eq!(decide(&seen), Step::Release);
}
