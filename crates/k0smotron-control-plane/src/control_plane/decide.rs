//! What to do about a K0smotronControlPlane: the rules, in order (hosted chapter 15 and H-57).

use super::observe::Observed;

/// The decision of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Deletion: nothing of ours is left.
    Release,
    /// Deletion: workers of the Cluster still need the control plane.
    WaitForWorkers {
        /// How many Machines and MachinePools.
        workers: usize,
    },
    /// Deletion: the `k0smotron.io` Cluster goes next.
    DeleteHosted,
    /// Deletion: the `k0smotron.io` Cluster is going.
    WaitForHostedGone,
    /// No Cluster owns it yet.
    WaitForCluster,
    /// A `k0smotron.io` Cluster of that name belongs to somebody else.
    RejectForeign,
    /// The `k0smotron.io` Cluster of a former life is going; a new one follows it.
    WaitForFormerHosted,
    /// Everything that ought to exist is declared; the objects are made to match.
    Declare,
}

/// The rules, in order:
///
/// Deletion needs less than creation and comes first (H-57):
/// 1. Without our finalizer, or once no `k0smotron.io` Cluster of ours is left, it is released.
/// 2. While workers exist and the Cluster is not being deleted, it waits for them, unless its user says otherwise.
/// 3. It deletes its `k0smotron.io` Cluster, and waits until that is gone.
///
/// Life:
/// 4. Without an owning Cluster it waits and writes nothing (cluster-api-contract 1.3).
/// 5. A `k0smotron.io` Cluster that belongs to somebody else is never written (H-7).
/// 6. One that is going is waited for.
/// 7. Otherwise all that ought to exist is declared (H-44).
pub fn decide(seen: &Observed) -> Step {
    let ours = seen.hosted.as_ref().filter(|hosted| hosted.ours);
    if seen.deleting {
        let Some(hosted) = ours.filter(|_| seen.held) else { return Step::Release };
        let cluster_goes = seen.cluster.as_ref().is_none_or(|cluster| cluster.deleting || !cluster.exists);
        if seen.workers > 0 && !cluster_goes && !seen.delete_without_workers {
            return Step::WaitForWorkers { workers: seen.workers };
        }
        return if hosted.deleting { Step::WaitForHostedGone } else { Step::DeleteHosted };
    }
    if !seen.cluster.as_ref().is_some_and(|cluster| cluster.exists) {
        return Step::WaitForCluster;
    }
    match &seen.hosted {
        Some(hosted) if !hosted.ours => Step::RejectForeign,
        Some(hosted) if hosted.deleting => Step::WaitForFormerHosted,
        _ => Step::Declare,
    }
}

impl Step {
    /// Its name: log, metric, event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Release => "Release",
            Self::WaitForWorkers { .. } => "WaitingForWorkersDeletion",
            Self::DeleteHosted => "DeleteHosted",
            Self::WaitForHostedGone => "WaitingForHostedClusterDeletion",
            Self::WaitForCluster => "WaitingForCluster",
            Self::RejectForeign => "ApplyFailed",
            Self::WaitForFormerHosted => "WaitingForFormerHostedCluster",
            Self::Declare => "Declare",
        }
    }

    /// The same for people.
    pub fn words(&self, seen: &Observed) -> String {
        let cluster = seen.cluster.as_ref().map_or("", |cluster| cluster.name.as_str());
        match self {
            Self::Release => "Nothing of this control plane is left".into(),
            Self::WaitForWorkers { workers } => format!(
                "Waiting for {workers} worker Machines and MachinePools of Cluster {cluster} to be deleted; annotation \
                 k0smotron.io/delete-without-workers: \"true\" skips this"
            ),
            Self::DeleteHosted => format!("Deleting k0smotron.io Cluster {cluster}"),
            Self::WaitForHostedGone => format!("Waiting for k0smotron.io Cluster {cluster} to be gone"),
            Self::WaitForCluster => "Waiting for a Cluster that refers to this control plane".into(),
            Self::RejectForeign => format!(
                "k0smotron.io Cluster {cluster} exists and does not belong to this control plane; delete or rename one of them"
            ),
            Self::WaitForFormerHosted => {
                format!("Waiting for the former k0smotron.io Cluster {cluster} to be gone")
            }
            Self::Declare => String::new(),
        }
    }
}
