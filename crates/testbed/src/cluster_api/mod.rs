//! Cluster API: its kinds for stories, the whole of it for a [`Cluster`](crate::Cluster).

mod crds;

pub use crds::crds;
