//! The manager process: flags, modes, wiring, health, diagnostics, and the bundles that install it.
//!
//! **Promises.** Released flags work as they did; one mode per provider bundle, each under the lease of the Go
//! manager's same mode; what needs Cluster API waits for it and starts when it appears.
//!
//! **Does not know** how any kind is reconciled.

mod about;
pub mod bundle;
mod core_api;
pub mod diagnostics;
pub mod flags;
mod gates;
mod log;
pub mod mode;
mod run;

pub use run::run;
