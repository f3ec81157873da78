//! Authorities, leaf certificates, service account keys and kubeconfigs.
//!
//! What it promises: everything that it makes is accepted by k0s, Kubernetes and etcd; everything that a user
//! brings (any key type that k0s accepts, PKCS#1, PKCS#8 or SEC1, a chain or a single certificate) is used as it
//! is or refused with a reason; and the question "is this certificate still right?" has one answer for all who
//! ask, so that nothing is re-issued without need.
//!
//! What it does not know: the clock (the moment is an argument), Kubernetes objects, and who stores what where.
//! Chance is used for new keys only. Making an RSA key takes a noticeable part of a second of one core: callers
//! in an async world keep it off their worker threads.
//!
//! Secret bytes travel in [`SecretBytes`], whose `Debug` prints a length.

mod authority;
mod digest;
mod error;
mod fit;
mod key;
mod kubeconfig;
mod leaf;
mod leaves;
mod names;
mod pem_blocks;
mod secret;
mod service_account;

pub use authority::{Authority, AuthorityKind, generate_authority};
pub use digest::{authorities_digest, certificates_digest};
pub use error::PkiError;
pub use fit::{Fit, Misfit, Renewal, fit};
pub use key::KeyKind;
pub use kubeconfig::{ClientKubeconfig, Credentials, Kubeconfig};
pub use leaf::{Leaf, San, Usage};
pub use leaves::{
    EtcdNames, cluster_admin, etcd_leaf, ingress_haproxy, metrics_client, operator_etcd_client,
};
pub use secret::SecretBytes;
pub use service_account::{check_service_account, generate_service_account};

/// A certificate (or, for service accounts, a public key) with its private key, both as PEM: the keys `tls.crt`
/// and `tls.key` of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemPair {
    /// Goes to `tls.crt`. Public.
    pub certificate: String,
    /// Goes to `tls.key`.
    pub key: SecretBytes,
}
