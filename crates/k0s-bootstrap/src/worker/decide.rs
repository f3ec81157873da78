//! What to do about the data of a worker.

use reconcile::Next;
use std::time::Duration;
use workload::Reach;

use super::content::Missing;
use super::observe::Observed;
use super::parts::{Fault, Parts};
use super::token::EXTEND_BELOW;

/// The step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The config is going; its Secret goes with it.
    Leave,
    /// Nobody owns the config yet: nothing is written.
    Ownerless,
    /// The data are there.
    Settled {
        /// When the token needs care.
        next: Next,
    },
    /// The machine has joined, and the data are gone: it needs none.
    Joined,
    /// A Secret of the config's name belongs to another object.
    Occupied,
    /// Something is not there yet.
    Wait(Wait),
    /// The spec cannot be followed; the user must change it.
    Reject(Vec<Fault>),
    /// Issue a token, make the data.
    MakeData,
    /// The machine has not joined, and the token ends soon.
    ExtendToken,
    /// The machine has joined: the token goes.
    RemoveToken,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// The Cluster object.
    Cluster(String),
    /// Its infrastructure.
    Infrastructure,
    /// Its endpoint.
    Endpoint,
    /// Its control plane.
    ControlPlane,
    /// The Secret with its authority.
    Authority(String),
    /// Content that the config names.
    Content(Vec<Missing>),
    /// The API of the cluster, and why it does not answer.
    Child(String),
    /// k0s has not written any worker configuration yet.
    WorkerConfiguration,
    /// The control plane serves other minors or profiles than the worker needs.
    NotServed {
        /// What the worker asks for.
        wanted: String,
        /// What there is.
        served: Vec<String>,
    },
}

/// The rules, in order (control-plane-and-bootstrap 6.1, 7, 9.3):
///
/// 1. The config is going: leave it.
/// 2. No owner: wait, and write nothing (contract 1.3).
/// 3. The data are there: they never change (contract 4.2); only their token is looked after.
/// 4. The data are gone, but the machine has joined: it needs none.
/// 5. The spec has faults: reject it.
/// 6. Cluster, infrastructure, endpoint, control plane, authority: wait for each.
/// 7. Content that the config names: wait.
/// 8. The cluster does not answer: wait.
/// 9. The cluster does not serve this worker's minor or profile: say so instead of data (K0S-21).
/// 10. Make the data.
pub fn decide(observed: &Observed) -> Step {
    before_reads(observed).unwrap_or_else(|| after_reads(observed))
}

/// Rules 1 to 6, which need nothing but what is watched.
pub fn before_reads(observed: &Observed) -> Option<Step> {
    if observed.config.deleting {
        return Some(Step::Leave);
    }
    let Some(owner) = &observed.owner else { return Some(Step::Ownerless) };
    match &observed.data {
        Some(data) if !data.ours => return Some(Step::Occupied),
        Some(data) if data.complete => return Some(care_for_token(observed, owner.joined)),
        _ if owner.joined => return Some(Step::Joined),
        _ => {}
    }
    if let Err(faults) = Parts::read(&observed.config.spec, owner) {
        return Some(Step::Reject(faults));
    }
    let Some(cluster) = &observed.cluster else {
        return Some(Step::Wait(Wait::Cluster(owner.cluster.clone())));
    };
    let waits = [
        (!cluster.infrastructure_provisioned, Wait::Infrastructure),
        (cluster.endpoint.is_none(), Wait::Endpoint),
        (!cluster.control_plane_initialized, Wait::ControlPlane),
        (!observed.authority, Wait::Authority(cluster_api::names::authority_secret(&cluster.name, "ca"))),
    ];
    waits.into_iter().find(|(waits, _)| *waits).map(|(_, what)| Step::Wait(what))
}

/// Rules 7 to 10.
fn after_reads(observed: &Observed) -> Step {
    match &observed.missing {
        None => return Step::Wait(Wait::Child("it has not been asked yet".to_owned())),
        Some(missing) if !missing.is_empty() => return Step::Wait(Wait::Content(missing.clone())),
        Some(_) => {}
    }
    let served = match &observed.served {
        None => return Step::Wait(Wait::Child("it has not been asked yet".to_owned())),
        Some(Reach::No(why)) => return Step::Wait(Wait::Child(why.clone())),
        Some(Reach::Yes(served)) => served,
    };
    match observed.owner.as_ref().map(|owner| Parts::read(&observed.config.spec, owner)) {
        Some(Ok(parts)) => match parts.worker_configuration() {
            Some(wanted) if served.is_empty() => {
                tracing::debug!(wanted, "no worker configuration yet");
                Step::Wait(Wait::WorkerConfiguration)
            }
            Some(wanted) if !served.contains(&wanted) => {
                Step::Wait(Wait::NotServed { wanted, served: served.clone() })
            }
            _ => Step::MakeData,
        },
        Some(Err(faults)) => Step::Reject(faults),
        None => Step::Ownerless,
    }
}

/// Rule 3. A pool's token is kept valid as long as the pool lives, a machine's until the machine has joined.
fn care_for_token(observed: &Observed, joined: bool) -> Step {
    let token = observed.data.as_ref().and_then(|data| data.token.as_ref());
    let Some(expires) = token.and_then(|token| token.expires) else {
        return Step::Settled { next: Next::OnChange };
    };
    if joined {
        return Step::RemoveToken;
    }
    let left = expires.duration_since(observed.now);
    match Duration::try_from(left - EXTEND_BELOW) {
        Ok(wait) if !wait.is_zero() => Step::Settled { next: Next::In(wait) },
        _ => Step::ExtendToken,
    }
}
