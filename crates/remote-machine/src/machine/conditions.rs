//! What a person reads while it happens, and after (section 8).

use api::remote_machine::HostKeyPolicy;
use reconcile::{Condition, Is};

use super::decide::Step;
use super::observe::Observed;
use super::{ACCEPT_NEW_HOST_KEY, SKIP_CLEAN_UP};
use crate::failure::{Failure, Reason};
use crate::tasks::{State, Task};

/// Type of the condition about the bootstrap.
pub(super) const BOOTSTRAP: &str = "BootstrapExecSucceeded";
/// Type of the condition about deletion.
pub(super) const DELETING: &str = "Deleting";
const READY: &str = "Ready";
/// Type of the condition that warns while host keys are not checked.
const HOST_KEY_VERIFIED: &str = "HostKeyVerified";

/// All conditions of a step, in the order shown.
pub(super) fn of(observed: &Observed, step: &Step) -> Vec<Condition> {
    let bootstrap = bootstrap(observed, step);
    let deleting = deleting(step);
    let issues: Vec<String> = [(&bootstrap, Is::True), (&deleting, Is::False)]
        .into_iter()
        .filter(|(condition, good)| condition.status != *good)
        .map(|(condition, _)| format!("* {}: {}", condition.type_, words(condition)))
        .collect();
    let ready = if issues.is_empty() {
        Condition::new(READY, true, "InfoReported", "")
    } else {
        Condition::new(READY, false, "IssuesReported", issues.join("\n"))
    };
    let mut all = vec![ready, bootstrap, deleting];
    if observed.remote.spec.effective_host_key_policy() == HostKeyPolicy::Insecure {
        let why = "spec.hostKeyPolicy is Insecure: whoever answers at the address gets the bootstrap data";
        all.push(Condition::new(HOST_KEY_VERIFIED, false, "Insecure", why));
    }
    all
}

fn words(condition: &Condition) -> &str {
    if condition.message.is_empty() { &condition.reason } else { &condition.message }
}

fn bootstrap(observed: &Observed, step: &Step) -> Condition {
    let not_yet = |reason: &str, message: String| Condition::new(BOOTSTRAP, false, reason, message);
    let failed = |failure: &Failure| not_yet(&failure.reason.word(), explained(failure));
    match step {
        Step::Settled => Condition::new(BOOTSTRAP, true, BOOTSTRAP, ""),
        Step::WaitForInfrastructure => not_yet(
            "WaitingForInfrastructure",
            "waiting until the Cluster's infrastructure is provisioned".to_owned(),
        ),
        Step::WaitForData => not_yet(
            &Reason::BootstrapSecretMissing.word(),
            "waiting until the Machine names its bootstrap data (spec.bootstrap.dataSecretName)".to_owned(),
        ),
        Step::Refuse(failure) | Step::Failed { failure, .. } => failed(failure),
        Step::Working { last: Some(last) } => failed(last),
        _ if observed.deleting() => kept(observed),
        Step::Working { last: None } => not_yet("Provisioning", progress(observed)),
        _ => not_yet("Provisioning", "connecting to the host".to_owned()),
    }
}

/// While it goes the bootstrap is as it was.
fn kept(observed: &Observed) -> Condition {
    let live = observed
        .remote
        .status
        .as_ref()
        .and_then(|status| status.conditions.iter().find(|condition| condition.type_ == BOOTSTRAP));
    match live {
        Some(live) => {
            Condition::new(BOOTSTRAP, live.status == "True", live.reason.clone(), live.message.clone())
        }
        None => Condition::new(BOOTSTRAP, false, "Deleting", "deleted before it was bootstrapped"),
    }
}

fn progress(observed: &Observed) -> String {
    let steps = observed.run().map(|run| run.steps);
    match &observed.task {
        Some(Task { state: State::Running { step, .. }, .. }) if *step > 0 => match steps {
            Some(steps) => format!("running command {step} of {steps}"),
            None => format!("running command {step}"),
        },
        Some(Task { state: State::Running { phase, .. }, .. }) if phase == "Uploading" => {
            "writing files".to_owned()
        }
        _ => "connecting to the host".to_owned(),
    }
}

fn deleting(step: &Step) -> Condition {
    let going = |reason: &str, message: String| Condition::new(DELETING, true, reason, message);
    match step {
        Step::Cancel => going("CleaningUp", "stopping the bootstrap".to_owned()),
        Step::CleaningUp { last: Some(last) } => going(&Reason::CleanUpFailed.word(), unclean(last)),
        Step::CleanUp | Step::CleaningUp { last: None } => {
            going("CleaningUp", "cleaning the host".to_owned())
        }
        Step::CleanUpFailed { failure, .. } => going(&Reason::CleanUpFailed.word(), unclean(failure)),
        _ => Condition::new(DELETING, false, "NotDeleting", ""),
    }
}

/// Cause and way out.
fn unclean(failure: &Failure) -> String {
    format!(
        "{failure}{}; it is tried again; to let the machine go without cleaning the host set annotation {SKIP_CLEAN_UP}: \"true\"",
        remedy(failure)
    )
}

fn explained(failure: &Failure) -> String {
    format!("{}{}", failure.message, remedy(failure))
}

fn remedy(failure: &Failure) -> String {
    match failure.reason {
        Reason::HostKeyMismatch => format!(
            "; if the host was reinstalled, correct spec.hostKeys or set annotation {ACCEPT_NEW_HOST_KEY}: \"true\"; else somebody answers in its place"
        ),
        _ => String::new(),
    }
}
