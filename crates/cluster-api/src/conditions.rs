//! Types and reasons of conditions that core shares with providers (contract 1.6).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The object works.
pub const READY: &str = "Ready";
/// The control plane serves requests.
pub const AVAILABLE: &str = "Available";
/// On a Cluster: its infrastructure is there.
pub const INFRASTRUCTURE_READY: &str = "InfrastructureReady";
/// On a Cluster: its control plane accepts requests.
pub const CONTROL_PLANE_INITIALIZED: &str = "ControlPlaneInitialized";
/// Authorities exist and can be used.
pub const CERTIFICATES_AVAILABLE: &str = "CertificatesAvailable";
/// All members of etcd are healthy.
pub const ETCD_CLUSTER_HEALTHY: &str = "EtcdClusterHealthy";
/// Replicas are being replaced.
pub const ROLLING_OUT: &str = "RollingOut";
/// Replicas are being added.
pub const SCALING_UP: &str = "ScalingUp";
/// Replicas are being removed.
pub const SCALING_DOWN: &str = "ScalingDown";
/// The object is going.
pub const DELETING: &str = "Deleting";
/// Nobody acts on the object.
pub const PAUSED: &str = "Paused";
/// On a Machine: its spec is what its owner wants.
pub const UP_TO_DATE: &str = "UpToDate";
/// On a Machine: a health check passed.
pub const HEALTH_CHECK_SUCCEEDED: &str = "HealthCheckSucceeded";
/// On a Machine: its owner has dealt with a failed health check.
pub const OWNER_REMEDIATED: &str = "OwnerRemediated";

/// Reason: not paused.
pub const REASON_NOT_PAUSED: &str = "NotPaused";
/// Reason: not being deleted.
pub const REASON_NOT_DELETING: &str = "NotDeleting";
/// Reason: an error of ours or of the API.
pub const REASON_INTERNAL_ERROR: &str = "InternalError";
/// Reason: the observed facts are too few to judge.
pub const REASON_INSPECTION_FAILED: &str = "InspectionFailed";
/// Reason: the child cluster cannot be reached.
pub const REASON_CONNECTION_DOWN: &str = "ConnectionDown";
/// Reason: the Cluster's infrastructure is not there yet.
pub const REASON_WAITING_FOR_INFRASTRUCTURE: &str = "WaitingForClusterInfrastructureReady";
/// Reason: the control plane does not accept requests yet.
pub const REASON_WAITING_FOR_CONTROL_PLANE: &str = "WaitingForControlPlaneInitialized";
/// Reason: the Machine has no bootstrap data yet.
pub const REASON_WAITING_FOR_BOOTSTRAP_DATA: &str = "WaitingForBootstrapData";
/// Reason: worker Machines must go first.
pub const REASON_WAITING_FOR_WORKERS_DELETION: &str = "WaitingForWorkersDeletion";

/// The condition of that type, if there is one.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition of that type is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Whether a condition of that type is there and `False`.
pub fn is_false(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "False")
}
