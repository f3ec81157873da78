//! Our kinds: types, effective defaults, faults, and the CRDs made from them.
//!
//! Promises: whatever the schema of a kind accepts can be decoded and survives the journey; an unset field stays
//! unset (defaults are functions, see [`defaults`]); text that may be secret is not printed by `Debug`; one table
//! ([`kinds`]) says everything about a kind that is not in its type. Knows nothing of clients, clocks or
//! controllers.

mod cel;
pub mod crd;
mod decode;
pub mod defaults;
pub mod faults;
mod free_form;
pub mod hosted;
pub mod join_token_request;
pub mod kinds;
pub mod remote_cluster;
pub mod remote_machine;
mod schema;
mod sensitive;
pub mod shared;
pub mod worker_config;

pub use faults::{Fault, Validate};
pub use free_form::FreeForm;
pub use hosted::{
    HostedCluster, HostedClusterStatus, HostedControlPlaneSpec, K0smotronControlPlane,
    K0smotronControlPlaneStatus, K0smotronControlPlaneTemplate,
};
pub use join_token_request::{JoinTokenRequest, JoinTokenRequestSpec, JoinTokenRequestStatus};
pub use remote_cluster::{RemoteCluster, RemoteClusterSpec, RemoteClusterStatus, RemoteClusterTemplate};
pub use remote_machine::{RemoteMachine, RemoteMachineSpec, RemoteMachineStatus, RemoteMachineTemplate};
pub use sensitive::Sensitive;
pub use worker_config::{
    K0sWorkerConfig, K0sWorkerConfigSpec, K0sWorkerConfigStatus, K0sWorkerConfigTemplate,
};
