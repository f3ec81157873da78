//! The one driver of every controller.
//!
//! **Promises.** A controller that is made of `observe`, `plan` and `act` is idle-silent (an apply that would
//! change nothing is not sent; a status that is equal is not written), reads its own writes, decides
//! disruptive steps twice, backs off with jitter, and finishes the pass it is in when the process stops.
//!
//! **Does not know** any kind of ours, k0s, or Cluster API beyond `spec.paused` of a Cluster.

mod cache;
mod client;
pub mod clock;
mod context;
mod controller;
mod driver;
mod effect;
mod fence;
mod health;
mod lease;
mod metrics;
mod owned;
mod pause;
mod queue;
mod selector;
mod status;
mod tell;
mod wakes;
mod writer;

pub use cache::error_chain;
pub use cache::{Cache, Change, Entry, Key, Select, nothing, typed};
pub use client::client;
pub use context::{Context, SHUTDOWN_GRACE, Scope, WATCH_FILTER_LABEL};
pub use controller::{Controller, Pass, Primary, Reads};
pub use driver::run;
pub use effect::{Condition, Effect, Event, Is, Next, ObjectId, Plan, Said, Tell};
pub use fence::Fence;
pub use health::{Ready, serve_health};
pub use lease::{Election, LeaseOptions};
pub use metrics::{Metrics, PassUnderWay};
pub use owned::{Digest, owned_digest, wanted_digest};
pub use pause::PAUSED_ANNOTATION;
pub use wakes::Wakes;

/// Our name in `managedFields`, in the management cluster and in child clusters (as in the Go implementation,
/// so that fields it applied are ours after a take-over).
pub const FIELD_MANAGER: &str = "k0smotron-operator";
