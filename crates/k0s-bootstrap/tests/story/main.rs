//! Workers on real API servers: the management cluster and the child are each a `ControlPlaneOnly`.

mod life;
mod trouble;
mod world;
