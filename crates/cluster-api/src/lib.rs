//! The slice of Cluster API (contract and objects of `v1beta2`) that the providers read.
//!
//! Promises: every object of core that the API server delivers can be decoded, whatever optional part is
//! missing; names of labels, annotations, finalizers, conditions and reasons stand here once; the few questions
//! that every controller asks of core's objects (whose Cluster, whose Machine, paused, provisioned) have one
//! answer each. Knows nothing of clients, clocks or our own kinds.
//!
//! Unknown fields do not survive decoding: these types are for reading. What we write to core's objects goes
//! by server-side apply of the single fields concerned.

pub mod cluster;
pub mod conditions;
pub mod machine;
pub mod names;
mod object;
pub mod ownership;
pub mod reference;
pub mod sets;

pub use cluster::{ApiEndpoint, Cluster, ClusterNetwork, ClusterSpec, ClusterStatus};
pub use machine::{Bootstrap, Machine, MachineAddress, MachineSpec, MachineStatus};
pub use ownership::{cluster_name_label, cluster_owner, is_paused, machine_owner, machine_pool_owner};
pub use reference::ContractVersionedObjectReference;
pub use sets::{MachineDeployment, MachinePool, MachineSet};

/// The API group of core.
pub const GROUP: &str = "cluster.x-k8s.io";

/// The version of core's API that we speak, and of the contract that we fulfil.
pub const VERSION: &str = "v1beta2";
