//! Acts that need secret bytes, etcd or the child.

use api::hosted::{CertificateType, DynamicConfigStatus};

use super::certificates::Leaf;

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// Generate authorities and issue leaves, each into its Secret.
    MakeKeys {
        /// Authorities that are missing.
        authorities: Vec<CertificateType>,
        /// Leaves that are missing or due.
        leaves: Vec<Leaf>,
    },
    /// Write a revision of the k0s configuration into the Secret of this name.
    WriteConfig(String),
    /// Issue the kubeconfig.
    WriteKubeconfig,
    /// Apply the dynamic configuration in the child.
    PushConfig(DynamicConfigStatus),
    /// Ask etcd to take this pod as a learner.
    AddLearner(String),
    /// Ask etcd to make the member of this id a voter.
    Promote(String),
    /// Ask etcd to hand leadership on from this pod.
    MoveLeader(String),
    /// Ask etcd to forget the member of this id.
    Remove(String),
}
