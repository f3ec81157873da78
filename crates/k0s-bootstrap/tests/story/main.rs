//! Workers on real API servers: the management cluster and the child are each a `ControlPlaneOnly`.

#![allow(clippy::unwrap_used)] // clippy allows it in test functions only; these helpers are theirs

mod life;
mod trouble;
mod world;
