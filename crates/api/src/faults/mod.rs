//! What is wrong with an object, in words for its author: field, value, remedy.
//!
//! Pure, and complete without the API server's own checks: objects stored before a rule existed reach controllers
//! too. With the former object at hand only what is new is judged (H-3): a fault that the former object has as well
//! is no reason to refuse an edit elsewhere.

mod hosted;
mod not_yet;
mod remote_machine;
mod text;
mod token;
mod worker;

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Path of the field from the root of the object, e.g. `spec.mounts[0].path`.
    pub path: String,
    /// Its value as text; empty where it is absent, long or secret.
    pub value: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(path: impl Into<String>, value: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { path: path.into(), value: value.to_string(), message: message.into() }
    }
}

/// `spec.replicas: "3": must be 1 because ...`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{}: {}", self.path, self.message)
        } else {
            write!(f, "{}: {:?}: {}", self.path, self.value, self.message)
        }
    }
}

/// A spec that knows what is wrong with it.
pub trait Validate {
    /// What is wrong with this spec by itself, fields that have no effect yet included.
    fn own_faults(&self) -> Vec<Fault>;

    /// What is wrong with the step from the former spec to this one.
    fn step_faults(&self, old: &Self) -> Vec<Fault> {
        let _ = old;
        Vec::new()
    }

    /// What is wrong with this spec; given the former one, only what it had not and what is wrong with the step.
    fn faults(&self, old: Option<&Self>) -> Vec<Fault> {
        let mut faults = self.own_faults();
        if let Some(old) = old {
            let known = old.own_faults();
            faults.retain(|fault| !known.contains(fault));
            faults.extend(self.step_faults(old));
        }
        faults
    }
}

/// All faults in one line, for a condition; `None` without any.
pub fn in_words(faults: &[Fault]) -> Option<String> {
    (!faults.is_empty()).then(|| faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))
}
