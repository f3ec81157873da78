//! Cluster API: its kinds for stories, the whole of it for a [`Cluster`](crate::Cluster).

mod crds;
mod install;

pub use crds::crds;
pub use install::{Provider, ProviderKind, available, clusterctl, install, install_ours, our_providers};
