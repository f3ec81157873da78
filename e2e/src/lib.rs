//! Whole clusters on one machine: a management cluster with Cluster API and our providers, hosts, and clusters
//! made of both. The quickstart and the whole-system tests are made of it.
//!
//! **Promises.** Everything is the genuine program, our own providers are installed as users install them
//! (`clusterctl init`), and k0s is genuine where it can be had; what was started is found again and removed.
//!
//! **Does not know** how any controller works.

pub mod bed;
pub mod demo;
pub mod images;
pub mod k0s;
pub mod machines;
pub mod progress;
pub mod repo;
mod run;
pub mod stand_in;
pub mod table;
