//! A child cluster, seen from outside.
//!
//! Promises: no client, TLS identity or answer is ever shared between two children; every request ends within
//! ten seconds with an answer of bounded size; a child that does not answer costs others nothing, since after a
//! failure it is left alone for a while; a connection that nobody used for a minute is closed (H-22, H-62).
//! Being unreachable is an observation ([`Reach::No`]), never an error.
//!
//! Knows nothing of our kinds: whoever asks says which Cluster (namespace and name) is meant.

mod answers;
mod child;
mod children;
mod connect;
mod kubeconfig;
mod nodes;
mod reach;
mod secrets;
mod tokens;
mod way;
mod worker_config;

pub use child::{Applied, Child};
pub use children::Children;
pub use kubeconfig::KubeconfigError;
pub use nodes::{NodeAddress, NodeFact, Nodes};
pub use reach::Reach;
pub use secrets::{SecretFact, digest, secrets};
pub use tokens::{KUBE_SYSTEM, Made, TokenSecret, new_token, token_secret_name};
pub use way::Way;
