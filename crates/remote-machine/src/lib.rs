//! The infrastructure provider for hosts that exist: RemoteMachine and RemoteCluster (remote-machine chapter).
//!
//! Promises: a host is never bootstrapped twice for one machine, and never by two at once; the key of a host is
//! checked before anything is sent to it; what was done on a host is undone when its machine goes, and what cannot
//! be undone is said and does not block for ever without a way out; a secret reaches no log, event or condition.
//!
//! Does not know how bootstrap data are made, nor what a Node is. Pools, provisioning by Jobs, jump hosts, Windows
//! and adoption are refused or left alone for now.

pub mod cluster;
pub mod data;
pub mod facts;
pub mod failure;
pub mod host;
pub mod machine;
pub mod ssh;
mod tasks;
