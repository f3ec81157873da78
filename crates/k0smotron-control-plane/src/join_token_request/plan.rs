//! What follows from a step.

use std::time::Duration;

use api::join_token_request::{JoinTokenRequestDeprecated, JoinTokenRequestDeprecatedV1Beta1};
use api::{HostedCluster, JoinTokenRequest, JoinTokenRequestStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use reconcile::{Condition, Effect, Event, Is, Next, ObjectId, Plan};
use serde_json::json;

use super::decide::{Step, Wait};
use super::observe::{NEVER, Observed};

/// What only this controller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// See that the child has the token, then write its text into the Secret.
    Issue,
    /// Remove the token from the child.
    Revoke,
}

pub(super) const CREATED: &str = "JoinTokenSecretCreated";
const EXPIRED: &str = "Expired";

/// A child that does not answer is asked again after this.
const CHILD_PATIENCE: Duration = Duration::from_secs(15);

type TokenPlan = Plan<JoinTokenRequestStatus, Own>;

/// What follows.
pub fn plan(observed: &Observed, step: Step) -> TokenPlan {
    match step {
        Step::Leave => Plan::nothing("Leave", "the request is being deleted"),
        Step::Release => {
            let mut plan = Plan::nothing("Release", "nothing of the token is left in the cluster");
            plan.effects.push(Effect::Release);
            plan
        }
        Step::Revoke => {
            let mut plan = Plan::nothing("Revoke", "removing the token from the cluster");
            plan.effects = vec![Effect::Own(Own::Revoke), Effect::Release];
            plan.said.events.push(Event::acted("TokenRevoked", format!("token {} is revoked", id(observed))));
            plan
        }
        Step::Abandon => {
            let words = format!(
                "cluster {} did not answer for ten minutes; token {} was not removed from it: \
                 delete Secret kube-system/bootstrap-token-{} there",
                observed.request.cluster,
                id(observed),
                id(observed)
            );
            let mut plan = Plan::nothing("Abandon", words.clone());
            plan.effects.push(Effect::Release);
            plan.said.events.push(Event::warned("Abandoned", words));
            plan
        }
        Step::Hold => {
            let mut plan = Plan::nothing("Hold", "the token will have to be removed with the request");
            plan.effects.push(Effect::Hold);
            plan
        }
        Step::Reject(fault) => troubled(observed, "Reject", created(false, "InvalidSpec", fault)),
        Step::NotAllowed => {
            let words = format!(
                "cluster {}/{} does not serve requests of namespace {}; its spec.joinTokenRequests.allowedNamespaces must name it",
                observed.request.cluster_namespace, observed.request.cluster, observed.request.namespace
            );
            troubled(observed, "NotAllowed", created(false, "NotAllowed", words))
        }
        Step::Wait(wait) => {
            let (reason, words, next) = waiting(observed, wait);
            let mut plan = troubled(observed, "Wait", created(false, reason, words));
            plan.next = next;
            plan
        }
        Step::Expire => {
            let mut plan = expired(observed, "Expire");
            plan.effects.push(Effect::Own(Own::Revoke));
            plan.effects.extend(observed.secret.as_ref().map(|secret| Effect::Delete {
                what: ObjectId::of::<Secret>(&observed.request.namespace, &observed.request.name),
                uid: secret.uid.clone(),
            }));
            plan.said.events.push(Event::acted("TokenExpired", format!("token {} has ended", id(observed))));
            plan
        }
        Step::Expired => expired(observed, "Expired"),
        Step::Record { id, expires } => {
            let words = "the id is recorded; the token follows";
            let mut plan = told(observed, "Record", created(false, "Issuing", words));
            record(&mut plan, id, expires);
            plan
        }
        Step::Rename { id } => {
            let words = "the recorded id is used by another token of the cluster; another one is taken";
            let mut plan = told(observed, "Rename", created(false, "Issuing", words));
            record(&mut plan, id, observed.expires());
            plan
        }
        Step::Issue => {
            let mut plan = told(observed, "Issue", created(false, "Issuing", "the token is being issued"));
            plan.effects = vec![belonging(observed), Effect::Own(Own::Issue)];
            plan.said.events.push(Event::acted(
                "TokenIssued",
                format!("token {} is in Secret {}", id(observed), observed.request.name),
            ));
            plan.said.events.extend(ungranted(observed));
            plan
        }
        Step::Settled { next } => {
            let mut plan = told(observed, "Settled", created(true, "Created", ""));
            plan.effects.push(belonging(observed));
            plan.next = next;
            plan
        }
    }
}

fn id(observed: &Observed) -> &str {
    observed.token_id().unwrap_or_default()
}

fn waiting(observed: &Observed, wait: Wait) -> (&'static str, String, Next) {
    let cluster = observed.cluster_key();
    let on_change = |reason, words| (reason, words, Next::OnChange);
    match wait {
        Wait::Cluster => on_change("ClusterNotFound", format!("there is no k0smotron.io Cluster {cluster}")),
        Wait::ClusterGoing => on_change("ClusterNotFound", format!("Cluster {cluster} is being deleted")),
        Wait::ClusterPaused => on_change("ClusterPaused", format!("Cluster {cluster} is paused")),
        Wait::Endpoint => {
            on_change("WaitingForEndpoint", format!("the endpoint of Cluster {cluster} is not known yet"))
        }
        Wait::Authority => {
            on_change("WaitingForAuthority", format!("waiting for the certificate in Secret {cluster}-ca"))
        }
        Wait::Occupied => on_change(
            "NotOurs",
            format!(
                "Secret {} belongs to another object; remove it, or give the request another name",
                observed.request.name
            ),
        ),
        Wait::Child(why) => ("ChildUnreachable", why, Next::In(CHILD_PATIENCE)),
    }
}

fn created(yes: bool, reason: &str, message: impl Into<String>) -> Condition {
    Condition::new(CREATED, yes, reason, message)
}

fn told(observed: &Observed, step: &'static str, condition: Condition) -> TokenPlan {
    let mut plan = Plan::nothing(step, condition.message.clone());
    plan.status = Some(status(observed, &condition));
    plan.conditions.push(condition);
    plan
}

fn troubled(observed: &Observed, step: &'static str, condition: Condition) -> TokenPlan {
    let event = Event::of(&condition, true);
    let mut plan = told(observed, step, condition);
    plan.said.events.push(event);
    plan
}

fn expired(observed: &Observed, step: &'static str) -> TokenPlan {
    let words = format!("token {} has ended; make another request for another token", id(observed));
    let mut plan = told(observed, step, created(false, "Expired", words.clone()));
    plan.conditions.push(Condition::new(EXPIRED, true, "Expired", words));
    plan
}

/// Everything that was recorded stays; `clusterUID` and a sentence are for readers of v1beta1.
fn status(observed: &Observed, condition: &Condition) -> JoinTokenRequestStatus {
    let before = &observed.status;
    let uid_before = before.deprecated.as_ref().and_then(|old| old.v1beta1.as_ref()?.cluster_uid.clone());
    let uid = observed.cluster.as_ref().map(|cluster| cluster.uid.clone()).or(uid_before);
    let sentence = match condition.status {
        Is::True => "Reconciliation successful".to_owned(),
        _ => condition.message.clone(),
    };
    JoinTokenRequestStatus {
        token_id: before.token_id.clone(),
        expires_at: before.expires_at.clone(),
        observed_generation: observed.request.generation,
        conditions: Vec::new(),
        deprecated: Some(JoinTokenRequestDeprecated {
            v1beta1: Some(JoinTokenRequestDeprecatedV1Beta1 {
                reconciliation_status: Some(sentence),
                cluster_uid: uid,
            }),
        }),
    }
}

/// A plan without effects: the status is written, and the next pass acts on it.
fn record(plan: &mut TokenPlan, id: String, expires: Option<Timestamp>) {
    if let Some(status) = &mut plan.status {
        status.token_id = Some(id);
        let whole = |end: Timestamp| Timestamp::from_second(end.as_second()).unwrap_or(end).to_string();
        status.expires_at = Some(expires.map_or_else(|| NEVER.to_owned(), whole));
    }
}

/// A request of the cluster's own namespace goes with the cluster; another carries its uid (H-47).
fn belonging(observed: &Observed) -> Effect<Own> {
    let request = &observed.request;
    let uid = observed.cluster.as_ref().map(|cluster| cluster.uid.as_str()).unwrap_or_default();
    let resource = ApiResource::erase::<JoinTokenRequest>(&());
    let mut object = DynamicObject::new(&request.name, &resource).within(&request.namespace).data(json!({}));
    object.metadata.uid = Some(request.uid.clone());
    if request.namespace == request.cluster_namespace {
        object.metadata.owner_references = Some(vec![OwnerReference {
            api_version: HostedCluster::api_version(&()).into_owned(),
            kind: HostedCluster::kind(&()).into_owned(),
            name: request.cluster.clone(),
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: None,
        }]);
    } else {
        object.metadata.labels = Some([("k0smotron.io/cluster-uid".to_owned(), uid.to_owned())].into());
    }
    Effect::apply(object)
}

/// A token that was issued before grants were asked for counts as granted, and that is told (H-47).
fn ungranted(observed: &Observed) -> Option<Event> {
    let granted = observed.cluster.as_ref().is_none_or(|cluster| cluster.granted);
    let words = "the cluster does not grant tokens to this namespace; this one was issued before and stays";
    (!granted).then(|| Event::warned("NotGranted", words))
}
