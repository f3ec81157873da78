//! The manager as a process: the program that is shipped, on a real API server, with the rights of its bundle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod bed;
mod diagnostics;
mod late_core;
mod leadership;
mod shutdown;
mod standalone;
