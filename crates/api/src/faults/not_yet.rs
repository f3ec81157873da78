//! Fields that the schema has and that have no effect yet. They are refused, never ignored; a line goes when its
//! feature comes.
//!
//! A value that asks for what happens anyway (`hibernate: false`, `monitoring.enabled: false`) is no wish, and
//! passes.

use crate::{
    hosted::{HostedControlPlaneSpec, StorageType},
    join_token_request::{JoinRole, JoinTokenRequestSpec},
    remote_machine::RemoteMachineSpec,
    worker_config::{K0sWorkerConfigSpec, Platform, ProvisionerType},
};

use super::Fault;

fn refuse<const N: usize>(wishes: [(bool, &str, &str); N]) -> Vec<Fault> {
    let refused = wishes.into_iter().filter(|(wished, _, _)| *wished);
    refused
        .map(|(_, path, instead)| {
            Fault::new(path, "", format!("has no effect in this release yet; {instead}"))
        })
        .collect()
}

/// Wishes of a hosted control plane.
pub(super) fn hosted(spec: &HostedControlPlaneSpec) -> Vec<Fault> {
    let HostedControlPlaneSpec {
        ingress,
        gateway,
        remote_host_cluster,
        patches,
        pod_template,
        network_policy,
        pod_disruption_budget,
        monitoring,
        rollout,
        hibernate,
        ..
    } = spec;
    let etcd = spec.etcd();
    refuse([
        (ingress.is_some(), "spec.ingress", "use service.type LoadBalancer or NodePort"),
        (gateway.is_some(), "spec.gateway", "use service.type LoadBalancer or NodePort"),
        (
            remote_host_cluster.as_ref().is_some_and(|remote| remote.kubeconfig_ref.is_some()),
            "spec.remoteHostCluster.kubeconfigRef",
            "remove it: the pods run in this cluster",
        ),
        (spec.storage_type() == StorageType::Nats, "spec.storage.type", "use etcd or kine instead of nats"),
        (!patches.is_empty(), "spec.patches", "remove it"),
        (pod_template.is_some(), "spec.podTemplate", "remove it"),
        (etcd.is_some_and(|etcd| etcd.pod_template.is_some()), "spec.storage.etcd.podTemplate", "remove it"),
        (
            etcd.and_then(|etcd| etcd.defrag_job.as_ref()).and_then(|job| job.enabled) == Some(true),
            "spec.storage.etcd.defragJob.enabled",
            "set it to false",
        ),
        (
            network_policy.as_ref().and_then(|policy| policy.enabled) == Some(true),
            "spec.networkPolicy.enabled",
            "set it to false",
        ),
        (
            pod_disruption_budget.as_ref().and_then(|budget| budget.enabled) == Some(true),
            "spec.podDisruptionBudget.enabled",
            "remove it",
        ),
        (
            monitoring.as_ref().is_some_and(|monitoring| monitoring.enabled),
            "spec.monitoring.enabled",
            "set it to false",
        ),
        (
            rollout.as_ref().and_then(|rollout| rollout.surge) == Some(true),
            "spec.rollout.surge",
            "set it to false",
        ),
        (
            rollout.as_ref().is_some_and(|rollout| rollout.window.is_some()),
            "spec.rollout.window",
            "remove it",
        ),
        (*hibernate == Some(true), "spec.hibernate", "set it to false"),
    ])
}

/// Wishes of a JoinTokenRequest.
pub(super) fn token(spec: &JoinTokenRequestSpec) -> Vec<Fault> {
    refuse([(spec.role == Some(JoinRole::Controller), "spec.role", "only role worker is served")])
}

/// Wishes of a K0sWorkerConfig.
pub(super) fn worker(spec: &K0sWorkerConfigSpec) -> Vec<Fault> {
    refuse([
        (
            spec.provisioner_type() != ProvisionerType::CloudConfig,
            "spec.provisioner.type",
            "only cloud-config is rendered",
        ),
        (spec.platform() != Platform::Linux, "spec.provisioner.platform", "only linux is provisioned"),
    ])
}

/// Wishes of a RemoteMachine.
pub(super) fn remote_machine(spec: &RemoteMachineSpec) -> Vec<Fault> {
    refuse([
        (spec.wanted_pool().is_some(), "spec.pool", "name the host in spec.address"),
        (spec.provision_job.is_some(), "spec.provisionJob", "remove it: the built-in SSH client is used"),
        (spec.jump_host.is_some(), "spec.jumpHost", "remove it: the host must be reached directly"),
    ])
}
