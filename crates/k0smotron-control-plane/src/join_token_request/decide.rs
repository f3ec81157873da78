//! What to do about one join token.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reconcile::Next;
use workload::Reach;

use super::observe::{ChildToken, Observed};

/// The step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is going, and we do not hold it.
    Leave,
    /// It is going, and nothing of it is left in the child, or the child goes too.
    Release,
    /// It is going: remove the token from the child first.
    Revoke,
    /// It is going, and the child did not answer for ten minutes.
    Abandon,
    /// Put our finalizer on it.
    Hold,
    /// The spec cannot be followed.
    Reject(String),
    /// Something is not there yet.
    Wait(Wait),
    /// The cluster does not serve requests of this namespace.
    NotAllowed,
    /// The token has ended; what is left of it goes.
    Expire,
    /// The token has ended, and nothing of it is left.
    Expired,
    /// Record the id and the end of the token, before it exists.
    Record {
        /// The id.
        id: String,
        /// The end; `None` is never.
        expires: Option<Timestamp>,
    },
    /// The id belongs to somebody else in the child: take another one.
    Rename {
        /// The new id.
        id: String,
    },
    /// See that the token is in the child, then write its text into the Secret.
    Issue,
    /// All is as wanted.
    Settled {
        /// When the token ends.
        next: Next,
    },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// The hosted control plane.
    Cluster,
    /// It is being deleted.
    ClusterGoing,
    /// It is paused.
    ClusterPaused,
    /// Its endpoint.
    Endpoint,
    /// Its authority.
    Authority,
    /// The Secret of the request's name belongs to another object.
    Occupied,
    /// The child, and why it does not answer.
    Child(String),
}

/// How long the deletion of a request waits for a child that does not answer (H-46).
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The rules, in order (hosted.md 16):
///
/// 1. Going: without our hold, leave it; without a token in a living child, or moved away, release; after ten
///    minutes release with a warning; else remove the token from the child first (H-46).
/// 2. Hold it before anything is made.
/// 3. An expiry that is no duration is refused (H-45).
/// 4. The cluster: wait for it, and while it is paused.
/// 5. Another namespace needs the cluster's grant; a token that was issued stays (H-47).
/// 6. A token that has ended goes (H-46).
/// 7. The id is recorded before the token exists (H-45).
/// 8. A Secret of that name that is not ours is not touched.
/// 9. The Secret is there and says what it should: settled.
/// 10. Endpoint, authority, child: wait for each.
/// 11. The id is taken in the child by somebody else: take another.
/// 12. Issue.
pub fn decide(observed: &Observed) -> Step {
    before_child(observed).unwrap_or_else(|| match &observed.child {
        None => Step::Wait(Wait::Child("it has not been asked yet".to_owned())),
        Some(Reach::No(why)) => Step::Wait(Wait::Child(why.clone())),
        Some(Reach::Yes(ChildToken::Foreign)) => Step::Rename { id: observed.fresh_id.clone() },
        Some(Reach::Yes(ChildToken::Free | ChildToken::Ours)) => Step::Issue,
    })
}

/// The rules that need no visit to the child.
pub fn before_child(observed: &Observed) -> Option<Step> {
    let Observed { request, status, cluster, secret, now, .. } = observed;
    if let Some(since) = request.deleting_since {
        return Some(going(observed, since));
    }
    if !request.held {
        return Some(Step::Hold);
    }
    let lifetime = match k0s::parse_go_duration(&request.expiry) {
        Ok(lifetime) => lifetime,
        Err(why) => return Some(Step::Reject(format!("spec.expiry: {why}"))),
    };
    let Some(cluster) = cluster else { return Some(Step::Wait(Wait::Cluster)) };
    if cluster.deleting {
        return Some(Step::Wait(Wait::ClusterGoing));
    }
    if cluster.paused {
        return Some(Step::Wait(Wait::ClusterPaused));
    }
    if !cluster.granted && observed.token_id().is_none() {
        return Some(Step::NotAllowed);
    }
    let expires = observed.expires();
    if expires.is_some_and(|end| end <= *now) {
        let left = secret.as_ref().is_some_and(|secret| secret.ours);
        return Some(if left { Step::Expire } else { Step::Expired });
    }
    let recorded = status.token_id.as_deref().filter(|id| !id.is_empty());
    if recorded.is_none() {
        let id = observed.token_id().unwrap_or(&observed.fresh_id).to_owned();
        return Some(Step::Record { id, expires: k0s::expiration(*now, lifetime) });
    }
    if secret.as_ref().is_some_and(|secret| !secret.ours) {
        return Some(Step::Wait(Wait::Occupied));
    }
    let complete = secret.as_ref().filter(|secret| secret.complete);
    if complete.is_some_and(|secret| settled(observed, secret.inputs.as_deref())) {
        let left = expires.and_then(|end| Duration::try_from(end.duration_since(*now)).ok());
        return Some(Step::Settled { next: left.map_or(Next::OnChange, Next::In) });
    }
    if observed.server().is_none() {
        return Some(Step::Wait(Wait::Endpoint));
    }
    observed.authority.is_none().then_some(Step::Wait(Wait::Authority))
}

/// Whether the text in the Secret names the right server and authority. While these are not known, as during a
/// change of the exposure, the text stays as it is.
fn settled(observed: &Observed, inputs: Option<&str>) -> bool {
    observed.inputs().is_none_or(|wanted| inputs == Some(&*wanted))
}

fn going(observed: &Observed, since: Timestamp) -> Step {
    let request = &observed.request;
    if !request.held {
        return Step::Leave;
    }
    let child_lives = observed.cluster.as_ref().is_some_and(|cluster| !cluster.deleting);
    if !child_lives || request.moved || observed.token_id().is_none() {
        return Step::Release;
    }
    if observed.now.duration_since(since) >= GIVE_UP_AFTER { Step::Abandon } else { Step::Revoke }
}
