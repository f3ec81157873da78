//! Real things to test against, on one Linux machine.
//!
//! It promises: everything here is the genuine program (etcd, kube-apiserver, kubelet, containerd, systemd hosts),
//! built or installed once and then found in a cache; everything that is started is stopped, by process id; and what
//! an interrupted run left is found and removed by the next one.
//!
//! It does not know the project's own controllers, and nothing that is shipped may depend on it.
//!
//! * [`ControlPlaneOnly`]: etcd and kube-apiserver on free ports, many at once; for stories.
//! * [`faults`]: a client whose requests fail when a test says so.
//! * [`Cluster`]: a management cluster of one node, this machine; one at a time, needs root.
//! * [`machine`]: systemd hosts in namespaces, reached over SSH; needs root.
//! * [`postgres`]: a database of the test's own; needs root.
//! * [`cluster_api`], [`image`], [`tools`], [`debian`]: what those are made from.

pub mod access;
pub mod agent;
pub mod authority;
pub mod cluster;
pub mod cluster_api;
pub mod control_plane;
pub mod debian;
pub mod faults;
pub mod image;
pub mod machine;
pub mod postgres;
pub mod process;
mod run;
mod run_dir;
pub mod tools;
pub mod yaml;

pub use cluster::{Cluster, ClusterOptions};
pub use control_plane::ControlPlaneOnly;
