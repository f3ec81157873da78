//! What follows from a step.

use std::time::Duration;

use api::K0sWorkerConfigStatus;
use api::worker_config::ConfigInitialization;
use reconcile::{Condition, Effect, Event, Is, Next, Plan};

use super::decide::{Step, Wait};
use super::observe::Observed;

/// What only this controller can do: acts in the child, and objects made of secret bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Issue the token, then create the Secret with the data.
    MakeData,
    /// Move the end of the token, in the child and in the record.
    ExtendToken,
    /// Remove the token from the child, and record it.
    RemoveToken,
}

pub(super) const DATA_AVAILABLE: &str = "DataSecretAvailable";
const TOKEN_VALID: &str = "JoinTokenValid";

/// Content that a user has yet to create is not watched: any Secret or ConfigMap could be meant.
const CONTENT_PATIENCE: Duration = Duration::from_secs(15);
/// A child that does not answer is asked again after this; how long one attempt may take is the client's affair.
const CHILD_PATIENCE: Duration = Duration::from_secs(15);
/// k0s writes the worker configuration within seconds of its start.
const CONFIGURATION_PATIENCE: Duration = Duration::from_secs(5);
/// Another minor is served after an upgrade of the control plane, or never.
const NOT_SERVED_PATIENCE: Duration = Duration::from_mins(1);

/// A token that could not be extended or removed: half an hour is left when it is first tried.
const TOKEN_PATIENCE: Duration = Duration::from_mins(1);

type WorkerPlan = Plan<K0sWorkerConfigStatus, Own>;

/// What follows.
pub fn plan(observed: &Observed, step: Step) -> WorkerPlan {
    match step {
        Step::Leave => Plan::nothing("Leave", "the config is being deleted"),
        Step::Ownerless => Plan::nothing("Wait", "waiting for a Machine or MachinePool to own this config"),
        Step::Settled { next } => {
            let mut plan = told(observed, "Settled", available(true, "Available", ""));
            plan.next = next;
            plan
        }
        Step::Joined => {
            let words = "the machine has joined; its data are gone and are not made again";
            told(observed, "Joined", available(true, "Joined", words))
        }
        Step::Occupied => {
            let name = &observed.config.name;
            let words = format!(
                "Secret {name} belongs to another object; remove it, or give the config another name"
            );
            troubled(observed, "Occupied", available(false, "DataSecretGenerationFailed", words))
        }
        Step::Reject(faults) => {
            let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
            troubled(observed, "Reject", available(false, "InvalidSpec", words.join("; ")))
        }
        Step::Wait(wait) => {
            let (reason, words, next) = waiting(wait);
            let mut plan = told(observed, "Wait", available(false, reason, words));
            plan.next = next;
            plan
        }
        Step::MakeData => {
            let words = format!("making the bootstrap data in Secret {}", observed.config.name);
            let mut plan = told(observed, "MakeData", available(false, "Generating", words));
            plan.effects.push(Effect::Own(Own::MakeData));
            let note = format!("bootstrap data are in Secret {}", observed.config.name);
            plan.said.events.push(Event::acted("DataSecretCreated", note));
            plan
        }
        Step::ExtendToken => {
            let mut plan = told(observed, "ExtendToken", available(true, "Available", ""));
            plan.effects.push(Effect::Own(Own::ExtendToken));
            plan.next = Next::In(TOKEN_PATIENCE);
            plan
        }
        Step::RemoveToken => {
            let mut plan = told(observed, "RemoveToken", available(true, "Available", ""));
            plan.effects.push(Effect::Own(Own::RemoveToken));
            plan.next = Next::In(TOKEN_PATIENCE);
            plan.said
                .events
                .push(Event::acted("JoinTokenRemoved", "the machine has joined; its join token is removed"));
            plan
        }
    }
}

/// Reason, words, and when to look again if nothing that is watched changes.
fn waiting(wait: Wait) -> (&'static str, String, Next) {
    let on_change = |reason, words: &str| (reason, words.to_owned(), Next::OnChange);
    match wait {
        Wait::Cluster(name) => ("WaitingForCluster", format!("waiting for Cluster {name}"), Next::OnChange),
        Wait::Infrastructure => {
            on_change("WaitingForInfrastructure", "waiting for the infrastructure of the Cluster")
        }
        Wait::Endpoint => {
            on_change("WaitingForEndpoint", "waiting for spec.controlPlaneEndpoint of the Cluster")
        }
        Wait::ControlPlane => on_change(
            "WaitingForControlPlaneInitialization",
            "waiting until the control plane accepts requests",
        ),
        Wait::Authority(name) => (
            "WaitingForAuthority",
            format!("waiting for the certificate in Secret {name}"),
            Next::In(CONTENT_PATIENCE),
        ),
        Wait::Content(missing) => {
            let words: Vec<String> =
                missing.iter().map(|one| format!("{}: {} does not exist", one.field, one.what)).collect();
            ("WaitingForContent", words.join("; "), Next::In(CONTENT_PATIENCE))
        }
        Wait::Child(why) => ("ChildUnreachable", why, Next::In(CHILD_PATIENCE)),
        Wait::WorkerConfiguration => (
            "WaitingForWorkerConfiguration",
            "the control plane has not published any worker configuration yet".to_owned(),
            Next::In(CONFIGURATION_PATIENCE),
        ),
        Wait::NotServed { wanted, served } => (
            "WorkerMinorNotServed",
            format!(
                "the control plane serves no worker configuration {wanted} (profile and minor), only {}; \
                 use a version of the control plane's minor and a profile that it defines",
                served.join(", ")
            ),
            Next::In(NOT_SERVED_PATIENCE),
        ),
    }
}

fn available(yes: bool, reason: &str, message: impl Into<String>) -> Condition {
    Condition::new(DATA_AVAILABLE, yes, reason, message)
}

/// Status and conditions around one fact: whether the data are there.
fn told(observed: &Observed, step: &'static str, data: Condition) -> WorkerPlan {
    let yes = data.status == Is::True;
    let ready = if yes { "Ready" } else { "NotReady" };
    let mut plan = Plan::nothing(step, data.message.clone());
    plan.conditions = vec![data.clone(), Condition::new("Ready", yes, ready, data.message)];
    plan.conditions.extend(token_condition(observed));
    plan.status = Some(status(observed, yes));
    plan
}

fn troubled(observed: &Observed, step: &'static str, data: Condition) -> WorkerPlan {
    let event = Event::of(&data, true);
    let mut plan = told(observed, step, data);
    plan.said.events.push(event);
    plan
}

/// The token, while there is one.
fn token_condition(observed: &Observed) -> Option<Condition> {
    let expires = observed.data.as_ref()?.token.as_ref()?.expires?;
    Some(if expires > observed.now {
        Condition::new(TOKEN_VALID, true, "Valid", "")
    } else {
        let words =
            format!("the join token ended at {expires}; it is extended as soon as the cluster answers");
        Condition::new(TOKEN_VALID, false, "Expired", words)
    })
}

/// Name and flag in one write: core takes the flag without a name for an error (contract 4.1). What was once
/// told stays told: core has copied the name, and a rebuilt Secret has the same one.
fn status(observed: &Observed, created: bool) -> K0sWorkerConfigStatus {
    let before = &observed.status;
    let created = created && observed.data.is_some();
    let name = if created { Some(observed.config.name.clone()) } else { before.data_secret_name.clone() };
    K0sWorkerConfigStatus {
        observed_generation: observed.config.generation,
        initialization: name.is_some().then_some(ConfigInitialization { data_secret_created: Some(true) }),
        data_secret_name: name,
        conditions: Vec::new(),
    }
}
