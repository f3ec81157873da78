//! Control planes that run as pods.
//!
//! What it promises: no pod restarts, no volume goes, no authority changes and no address moves because a
//! manager was started, upgraded or replaced; the user's spec and metadata are never written; nothing is made
//! outside the namespace of the object and its child cluster.
//!
//! What it does not know: machines, bootstrap data, and how the manager is packaged.

pub mod cluster;
pub mod control_plane;
pub mod join_token_request;
