//! The rules, in their order (sections 3, 6.3 and 12). Pure and total.

use std::time::Duration;

use api::faults::{Validate as _, in_words};
use api::remote_machine::{CleanUpPolicy, HostKeyPolicy};
use cluster_api::names::ANNOTATION_DELETE_FOR_MOVE;

use super::observe::{DataFacts, Observed};
use super::retry;
use super::{ACCEPT_NEW_HOST_KEY, CLEAN_UP, RETRY_PROVISION, SKIP_CLEAN_UP, SSH_HOST_KEY};
use crate::failure::{Failure, Reason};
use crate::host::HostFacts;
use crate::tasks::{State, Task, Work};

/// What a pass does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    // deletion
    /// Nothing of ours is on it: nothing to do.
    Gone,
    /// Let it go; the words say why no clean-up is needed or possible.
    LetGo {
        /// In a sentence.
        why: String,
        /// The host may not be clean.
        dirty: bool,
    },
    /// Stop bootstrapping.
    Cancel,
    /// Clean the host.
    CleanUp,
    /// The host is being cleaned.
    CleaningUp {
        /// Why it failed before.
        last: Option<Failure>,
    },
    /// The clean-up failed.
    CleanUpFailed {
        /// Why.
        failure: Failure,
        /// Attempts so far.
        attempts: u32,
        /// When it is tried again.
        again: Duration,
    },
    // life
    /// No owner yet: silence.
    WaitForOwner,
    /// Put our finalizer on it.
    Hold,
    /// It is bootstrapped.
    Settled,
    /// The bootstrap has ended well: say so.
    Report,
    /// The Cluster's infrastructure is not there.
    WaitForInfrastructure,
    /// The Machine names no bootstrap data.
    WaitForData,
    /// Something of the user's is missing or wrong.
    Refuse(Failure),
    /// The user accepts another host key: forget the known one.
    ForgetHostKey,
    /// The user wants a try now.
    RetryNow,
    /// Ask the host for its key.
    LearnHostKey,
    /// Write down the key that the host showed.
    RecordHostKey {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// Log in once and send nothing: a host that lets nobody in needs no clean-up.
    LogIn,
    /// Write down what a clean-up will need, before anything is sent.
    RecordCleanUp {
        /// The annotation's text.
        facts: String,
    },
    /// Bootstrap the host.
    Provision,
    /// The host is being worked on.
    Working {
        /// Why it failed before.
        last: Option<Failure>,
    },
    /// It failed and is tried again later.
    Failed {
        /// Why.
        failure: Failure,
        /// When it is tried again.
        again: Duration,
    },
}

/// Chooses the step.
pub fn decide(observed: &Observed) -> Step {
    if observed.deleting() { leave(observed) } else { live(observed) }
}

/// Rules of life, in the order of section 3.
fn live(observed: &Observed) -> Step {
    // 1: no owner, no write.
    let (Some(machine), Some(cluster)) = (&observed.machine, observed.cluster) else {
        return if observed.provisioned() && observed.held() { Step::Settled } else { Step::WaitForOwner };
    };
    // 4: hold before the first act.
    if !observed.held() {
        return Step::Hold;
    }
    // 5: bootstrapped once is bootstrapped for ever; key, data and host are not looked at again.
    if observed.provisioned() {
        return Step::Settled;
    }
    // 13: done on the host, to be said. Running work is watched whatever else has changed.
    match observed.task.as_ref().map(|task| (&task.state, task)) {
        Some((State::Provisioned { .. }, _)) => return Step::Report,
        Some((State::Running { .. }, task)) => return Step::Working { last: task.last.clone() },
        _ => {}
    }
    // 6 and 7.
    if !cluster.infrastructure_provisioned {
        return Step::WaitForInfrastructure;
    }
    if let Some(words) = in_words(&observed.remote.spec.faults(None)) {
        return Step::Refuse(Failure::new(Reason::UnsupportedField, words));
    }
    if machine.data_secret.is_none() {
        return Step::WaitForData;
    }
    // 8 and 9.
    let data = match observed.input.as_ref().and_then(|input| input.data.as_ref()) {
        None => return Step::WaitForData,
        Some(Err(failure)) => return Step::Refuse(failure.clone()),
        Some(Ok(data)) => data,
    };
    // 11.
    if let Some(failure) = unreachable(observed) {
        return Step::Refuse(failure);
    }
    // 5.1: the key of the host.
    if observed.wished(ACCEPT_NEW_HOST_KEY) {
        return Step::ForgetHostKey;
    }
    provision(observed, data)
}

/// 12: learn whom we talk to, be let in, write down how to undo it, do it.
fn provision(observed: &Observed, data: &DataFacts) -> Step {
    let retry = observed.wished(RETRY_PROVISION);
    if retry && matches!(observed.task, Some(Task { state: State::Failed { .. }, .. })) {
        return Step::RetryNow;
    }
    let digest = observed.input_digest();
    if let Some(Task { state: State::Failed { failure, at }, failures, input, .. }) = &observed.task
        && *input == digest
        && let Some(again) = remaining(observed, *failures, *at)
    {
        return Step::Failed { failure: failure.clone(), again: again.min(patience(failure)) };
    }
    let trusting = observed.remote.spec.effective_host_key_policy() == HostKeyPolicy::TrustOnFirstUse;
    if trusting && observed.annotation(SSH_HOST_KEY).is_none() {
        return match &observed.task {
            Some(Task { state: State::Learned { fingerprint }, input, .. }) if *input == digest => {
                Step::RecordHostKey { fingerprint: fingerprint.clone() }
            }
            _ => Step::LearnHostKey,
        };
    }
    let facts = data.facts.text();
    if observed.annotation(CLEAN_UP) != Some(facts.as_str()) {
        return match &observed.task {
            Some(Task { state: State::LetIn, input, .. }) if *input == digest => {
                Step::RecordCleanUp { facts }
            }
            _ => Step::LogIn,
        };
    }
    Step::Provision
}

/// Rules of deletion (6.3, 12): they need less than life.
fn leave(observed: &Observed) -> Step {
    let spec = &observed.remote.spec;
    if !observed.held() {
        return Step::Gone;
    }
    if observed.annotation(ANNOTATION_DELETE_FOR_MOVE).is_some() {
        return let_go("moved to another management cluster", false);
    }
    if let Some(task) = &observed.task {
        match (&task.state, task.work) {
            (State::Cleaned { .. }, _) => return let_go("the host is clean", false),
            (State::Running { .. }, Work::CleanUp | Work::Learn | Work::LogIn) if !gives_up(observed) => {
                return Step::CleaningUp { last: task.last.clone() };
            }
            (State::Running { .. }, Work::Provision) => return Step::Cancel,
            _ => {}
        }
    }
    // The annotation is written before the first byte is sent.
    if observed.annotation(CLEAN_UP).is_none() && !observed.provisioned() {
        return let_go("nothing was ever sent to the host", false);
    }
    if gives_up(observed) {
        return let_go(
            "annotation k0smotron.io/skip-clean-up or cleanUpPolicy Skip: the host is not cleaned",
            true,
        );
    }
    if spec.clean_up_commands.as_ref().is_some_and(Vec::is_empty) {
        return let_go("spec.cleanUpCommands is an empty list: the host is left as it is", true);
    }
    if spec.provision_job.is_some() || spec.jump_host.is_some() {
        return let_go("the host was not provisioned by this manager's SSH client", true);
    }
    let failed = unreachable(observed).map(|failure| (failure, 0, None));
    let failed = failed.or_else(|| match &observed.task {
        Some(Task { work: Work::CleanUp, state: State::Failed { failure, at }, failures, input, .. }) => {
            Some((failure.clone(), *failures, (*input == observed.input_digest()).then_some(*at)))
        }
        _ => None,
    });
    let Some((failure, attempts, at)) = failed else {
        return if observed.wished(ACCEPT_NEW_HOST_KEY) {
            Step::ForgetHostKey
        } else {
            next_clean_up(observed)
        };
    };
    let best_effort = spec.effective_clean_up_policy() == CleanUpPolicy::BestEffort;
    if best_effort && (attempts >= retry::BEST_EFFORT_ATTEMPTS || attempts == 0) {
        return let_go(
            &format!("the host could not be cleaned ({failure}), and cleanUpPolicy is BestEffort"),
            true,
        );
    }
    if attempts > 0 {
        if observed.wished(ACCEPT_NEW_HOST_KEY) {
            return Step::ForgetHostKey;
        }
        match at.and_then(|at| remaining(observed, attempts, at)) {
            Some(again) => Step::CleanUpFailed { again: again.min(patience(&failure)), failure, attempts },
            None => next_clean_up(observed),
        }
    } else {
        Step::CleanUpFailed { failure, attempts, again: retry::LOOK_AGAIN }
    }
}

/// A host whose key the user wants to be learned anew is asked for it; then it is cleaned.
fn next_clean_up(observed: &Observed) -> Step {
    let trusting = observed.remote.spec.effective_host_key_policy() == HostKeyPolicy::TrustOnFirstUse;
    if !trusting || observed.annotation(SSH_HOST_KEY).is_some() {
        return Step::CleanUp;
    }
    match &observed.task {
        Some(Task { state: State::Learned { fingerprint }, .. }) => {
            Step::RecordHostKey { fingerprint: fingerprint.clone() }
        }
        Some(Task { work: Work::Learn, state: State::Failed { failure, at }, failures, .. }) => {
            match remaining(observed, *failures, *at) {
                Some(again) => Step::CleanUpFailed { failure: failure.clone(), attempts: *failures, again },
                None => Step::LearnHostKey,
            }
        }
        _ => Step::LearnHostKey,
    }
}

fn let_go(why: &str, dirty: bool) -> Step {
    Step::LetGo { why: why.to_owned(), dirty }
}

fn gives_up(observed: &Observed) -> bool {
    observed.wished(SKIP_CLEAN_UP) || observed.remote.spec.effective_clean_up_policy() == CleanUpPolicy::Skip
}

/// Why the host cannot even be tried.
fn unreachable(observed: &Observed) -> Option<Failure> {
    if observed.remote.spec.wanted_address().is_none() {
        return Some(Failure::new(
            Reason::MissingFields,
            "spec.address is not set; give the IP address or DNS name of the host",
        ));
    }
    let input = observed.input.as_ref()?;
    input.key.clone().err().or_else(|| input.host_keys.clone().err())
}

/// How long it still is to the next attempt; `None`: now.
fn remaining(observed: &Observed, failures: u32, at: jiff::Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(observed.now.duration_since(at)).unwrap_or_default();
    retry::wait(failures).checked_sub(passed).filter(|left| !left.is_zero())
}

/// A cause that is cured in a Secret is looked for more often: other input starts another attempt at once.
fn patience(failure: &Failure) -> Duration {
    match failure.reason {
        Reason::AuthFailed | Reason::HostKeyMismatch => retry::LOOK_AGAIN,
        _ => Duration::MAX,
    }
}

/// What the host told, when it has been bootstrapped by this process.
pub(super) fn host_facts(observed: &Observed) -> Option<&HostFacts> {
    match &observed.task.as_ref()?.state {
        State::Provisioned { host } => Some(host),
        _ => None,
    }
}
