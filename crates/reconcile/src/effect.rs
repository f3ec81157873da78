//! What a pass wants done: data, so that a test can read it and the driver can do it.

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject};

/// One write, or one act that only its controller can do.
///
/// The driver does the effects of a plan in their order and stops at the first that fails, so a crash or a
/// failure between any two of them leaves a prefix, which the next pass observes and completes.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<Own = Infallible> {
    /// Server-side apply with our field manager; not sent when it would change nothing.
    /// An object that must not be made if it is missing carries its `metadata.uid`.
    Apply(Box<DynamicObject>),
    /// Server-side apply of the `status` subresource of an object that another controller owns.
    ApplyStatus(Box<DynamicObject>),
    /// Create under a fixed name. "Already exists" is not a failure: the next pass observes what is there.
    Create(Box<DynamicObject>),
    /// Delete, guarded by the uid; an object that is gone already is fine.
    Delete {
        /// Which object.
        what: ObjectId,
        /// The uid that was observed; another object of the same name is left alone.
        uid: String,
    },
    /// Put our finalizer on the object of this pass.
    Hold,
    /// Take our finalizer off the object of this pass.
    Release,
    /// What only this controller can do; see [`crate::Controller::act`].
    Own(Own),
}

impl<Own> Effect<Own> {
    /// Server-side apply of `object`.
    pub fn apply(object: DynamicObject) -> Self {
        Self::Apply(Box::new(object))
    }

    /// Create `object` under its fixed name.
    pub fn create(object: DynamicObject) -> Self {
        Self::Create(Box::new(object))
    }
}

/// The coordinates of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectId {
    /// Its kind, with the plural that the API paths use.
    pub resource: ApiResource,
    /// Its namespace; `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectId {
    /// The coordinates of an object of a type known at compile time.
    pub fn of<K>(namespace: &str, name: &str) -> Self
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Self {
            resource: ApiResource::erase::<K>(&()),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        }
    }
}

/// When to look again. Everything that can be watched wakes a pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something that is watched changes.
    OnChange,
    /// After this long, or when something that is watched changes.
    In(Duration),
}

impl Next {
    /// The earlier of the two.
    #[must_use]
    pub fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::In(a), Self::In(b)) => Self::In(a.min(b)),
            (Self::In(a), Self::OnChange) | (Self::OnChange, Self::In(a)) => Self::In(a),
            (Self::OnChange, Self::OnChange) => Self::OnChange,
        }
    }
}

/// The state of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

impl Is {
    /// The text the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Is {
    fn from(yes: bool) -> Self {
        if yes { Self::True } else { Self::False }
    }
}

/// A condition without its times: the driver knows when it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `Available`, `Ready` ...
    pub type_: &'static str,
    /// What was observed.
    pub status: Is,
    /// One CamelCase word; never empty.
    pub reason: String,
    /// The same in a sentence for people; may be empty when all is well.
    pub message: String,
}

impl Condition {
    /// A condition; `reason` must not be empty.
    pub fn new(
        type_: &'static str,
        status: impl Into<Is>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status: status.into(), reason: reason.into(), message: message.into() }
    }
}

/// When an event is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// When an effect of this pass changed something.
    Acted,
    /// When the status or reason of this condition differs from the one in the live object.
    ConditionChanged(&'static str),
    /// When the message of this condition differs as well, for what is told again as time goes by.
    MessageChanged(&'static str),
}

/// One event for `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// A Warning; otherwise Normal.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence for people.
    pub note: String,
    /// When to publish it.
    pub tell: Tell,
}

impl Event {
    /// A Normal event, told when the pass changed something.
    pub fn acted(reason: impl Into<String>, note: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.into(), note: note.into(), tell: Tell::Acted }
    }

    /// A Warning event, told when the pass changed something.
    pub fn warned(reason: impl Into<String>, note: impl Into<String>) -> Self {
        Self { warning: true, reason: reason.into(), note: note.into(), tell: Tell::Acted }
    }

    /// An event that repeats a condition in words, told when that condition changes.
    pub fn of(condition: &Condition, warning: bool) -> Self {
        Self {
            warning,
            reason: condition.reason.clone(),
            note: condition.message.clone(),
            tell: Tell::ConditionChanged(condition.type_),
        }
    }
}

/// The decided step in words: log line, metric and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The name of the step, a CamelCase word from a small fixed set (it is a metric label).
    pub step: &'static str,
    /// One sentence.
    pub words: String,
    /// Events that may be published after this pass.
    pub events: Vec<Event>,
}

/// All that follows from one observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<Status, Own = Infallible> {
    /// Done in order, stopping at the first failure.
    pub effects: Vec<Effect<Own>>,
    /// The whole status as observed, without `conditions`; `None` leaves it.
    pub status: Option<Status>,
    /// The whole list of conditions, in the order shown; empty when the kind has none.
    /// The driver adds `Paused`.
    pub conditions: Vec<Condition>,
    /// When to look again.
    pub next: Next,
    /// The step in words.
    pub said: Said,
    /// An effect takes something away that serves (a pod, a member, a machine). The driver then observes
    /// again by live reads just before acting, and acts only if the second plan has the same effects.
    pub disruptive: bool,
}

impl<Status, Own> Plan<Status, Own> {
    /// A plan without effects: look again on change.
    pub fn nothing(step: &'static str, words: impl Into<String>) -> Self {
        Self {
            effects: Vec::new(),
            status: None,
            conditions: Vec::new(),
            next: Next::OnChange,
            said: Said { step, words: words.into(), events: Vec::new() },
            disruptive: false,
        }
    }
}
