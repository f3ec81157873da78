//! What is done on a host over one connection: the run of the bootstrap commands (5.4) and its undoing (6).
//!
//! The truth of a run is on the host: a directory per run with the exit code of each step, and a runner that does
//! not need us. Everything here may be cut at any point and begun again.

mod clean_up;
mod inspection;
mod lock;
mod provision;
mod redact;
mod script;
mod shell;

pub use clean_up::{CleanUp, Undo, clean_up};
pub use inspection::{HostFacts, Inspection, Verdict, judge};
pub use provision::{Access, Done, Job, Progress, provision};
pub use redact::redact;
