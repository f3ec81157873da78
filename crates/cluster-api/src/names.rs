//! Labels, annotations, finalizers and key names of the contract (contract v1beta2, sections 1.3 and 1.7).

/// Label: the name of the Cluster; on everything that belongs to it.
pub const LABEL_CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// Label: on Machines of a control plane and their objects; its presence counts, not its value.
pub const LABEL_CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";
/// Label: the name of the control plane, or its hash.
pub const LABEL_CONTROL_PLANE_NAME: &str = "cluster.x-k8s.io/control-plane-name";
/// Label: the MachineDeployment of a worker Machine.
pub const LABEL_DEPLOYMENT_NAME: &str = "cluster.x-k8s.io/deployment-name";
/// Label: the MachineSet of a worker Machine.
pub const LABEL_SET_NAME: &str = "cluster.x-k8s.io/set-name";
/// Label: the MachinePool of a worker Machine.
pub const LABEL_POOL_NAME: &str = "cluster.x-k8s.io/pool-name";
/// Label: the object is part of a managed topology.
pub const LABEL_TOPOLOGY_OWNED: &str = "topology.cluster.x-k8s.io/owned";
/// Label: the managers that handle an object: the value of their `--watch-filter`.
pub const LABEL_WATCH_FILTER: &str = "cluster.x-k8s.io/watch-filter";
/// Label on CRDs: the provider that a CRD belongs to.
pub const LABEL_PROVIDER: &str = "cluster.x-k8s.io/provider";
/// Label on CRDs: `clusterctl move` takes objects of this kind along although they have no owner.
pub const LABEL_MOVE: &str = "clusterctl.cluster.x-k8s.io/move";
/// Label prefix on CRDs: `<prefix><contract>: <API versions that fulfil it>`.
pub const LABEL_CONTRACT_PREFIX: &str = "cluster.x-k8s.io/";

/// Annotation: the object is paused; any value, also the empty one.
pub const ANNOTATION_PAUSED: &str = "cluster.x-k8s.io/paused";
/// Annotation on an infrastructure cluster: another party writes this object.
pub const ANNOTATION_MANAGED_BY: &str = "cluster.x-k8s.io/managed-by";
/// Annotation on clones: the name of their template.
pub const ANNOTATION_CLONED_FROM_NAME: &str = "cluster.x-k8s.io/cloned-from-name";
/// Annotation on clones: `Kind.group` of their template.
pub const ANNOTATION_CLONED_FROM_GROUP_KIND: &str = "cluster.x-k8s.io/cloned-from-groupkind";
/// Annotation on a Machine: goes first in a scale-down.
pub const ANNOTATION_DELETE_MACHINE: &str = "cluster.x-k8s.io/delete-machine";
/// Annotation on a Machine: replace it now.
pub const ANNOTATION_REMEDIATE_MACHINE: &str = "cluster.x-k8s.io/remediate-machine";
/// Annotation on a Machine: health checks pass it by.
pub const ANNOTATION_SKIP_REMEDIATION: &str = "cluster.x-k8s.io/skip-remediation";
/// Annotation prefix on a Machine: core waits before the drain while any exists.
pub const ANNOTATION_PRE_DRAIN_PREFIX: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io/";
/// Annotation prefix on a Machine: core waits before it deletes the host while any exists.
pub const ANNOTATION_PRE_TERMINATE_PREFIX: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/";
/// Annotation on a config or control-plane Machine: RFC 3339, when its certificates end.
pub const ANNOTATION_CERTIFICATES_EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";
/// Annotation: `clusterctl move` waits while it is there.
pub const ANNOTATION_BLOCK_MOVE: &str = "clusterctl.cluster.x-k8s.io/block-move";
/// Annotation: the object is deleted because it was moved elsewhere; nothing outside may be undone.
pub const ANNOTATION_DELETE_FOR_MOVE: &str = "clusterctl.cluster.x-k8s.io/delete-for-move";
/// Annotation on CRDs: its name does not follow core's rule, and that is meant.
pub const ANNOTATION_SKIP_CRD_NAME_CHECK: &str = "clusterctl.cluster.x-k8s.io/skip-crd-name-preflight-check";

/// Finalizer of core on a Cluster.
pub const FINALIZER_CLUSTER: &str = "cluster.cluster.x-k8s.io";
/// Finalizer of core on a Machine.
pub const FINALIZER_MACHINE: &str = "machine.cluster.x-k8s.io";

/// Type of the Secrets that core and providers exchange.
pub const SECRET_TYPE: &str = "cluster.x-k8s.io/secret";
/// Key of bootstrap data and of kubeconfigs in their Secrets.
pub const SECRET_KEY_VALUE: &str = "value";
/// Key of the format of bootstrap data.
pub const SECRET_KEY_FORMAT: &str = "format";
/// Key of a certificate, or of the public service-account key.
pub const SECRET_KEY_CERTIFICATE: &str = "tls.crt";
/// Key of a private key.
pub const SECRET_KEY_PRIVATE_KEY: &str = "tls.key";

/// The file whose existence tells core's and our readers that a host was bootstrapped.
pub const BOOTSTRAP_SENTINEL: &str = "/run/cluster-api/bootstrap-success.complete";

/// The Secret with the kubeconfig of a Cluster.
pub fn kubeconfig_secret(cluster: &str) -> String {
    format!("{cluster}-kubeconfig")
}

/// The Secret with an authority of a Cluster; `purpose` is `ca`, `etcd`, `proxy` or `sa`.
pub fn authority_secret(cluster: &str, purpose: &str) -> String {
    format!("{cluster}-{purpose}")
}

/// Whether this manager handles an object with these labels, given its `--watch-filter` ("" handles all).
pub fn passes_watch_filter(
    labels: Option<&std::collections::BTreeMap<String, String>>,
    filter: &str,
) -> bool {
    filter.is_empty()
        || labels.and_then(|labels| labels.get(LABEL_WATCH_FILTER)).is_some_and(|value| value == filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_every_object_is_handled_and_with_one_only_its_own() {
        let labels = [(LABEL_WATCH_FILTER.to_owned(), "blue".to_owned())].into();
        assert!(passes_watch_filter(None, ""));
        assert!(passes_watch_filter(Some(&labels), ""));
        assert!(passes_watch_filter(Some(&labels), "blue"));
        assert!(!passes_watch_filter(Some(&labels), "green"));
        assert!(!passes_watch_filter(None, "green"));
    }
}
