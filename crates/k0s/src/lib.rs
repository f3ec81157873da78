//! What is true of k0s, as far as our code relies on it.
//!
//! What it promises: versions, gates, names, paths, times and text forms of k0s stand here once; everything that
//! reads them is pure. What it does not know: the clock and chance (arguments), Kubernetes clients, and what our
//! controllers do with these facts.
//!
//! Rule numbers `K0S-n` are those of the project's chapter on k0s, `H-n` those of hosted control planes, `G n` the
//! golden vectors of bootstrap.

mod bootstrap_secret;
mod cluster_config;
mod config_fields;
mod control_node;
mod controller_flags;
mod download;
mod etcd_member;
mod expiry;
mod features;
mod flags;
mod install;
pub mod names;
mod posix_words;
pub mod timings;
mod token;
mod upgrade;
mod version;

pub use bootstrap_secret::bootstrap_secret;
pub use cluster_config::{ClusterConfig, ConfigFault, NODE_LOCAL, Parts, STATIC, changes_refused, merge};
pub use config_fields::unknown_fields;
pub use control_node::{ControlNode, NodeAddress};
pub use controller_flags::{FlagFault, controller_flags, dynamic_config_enabled};
pub use download::{Download, DownloadFault};
pub use etcd_member::{EtcdMember, EtcdMemberCondition, EtcdMemberStatus, LeaveLevel};
pub use expiry::{ExpiryFault, expiration, parse_go_duration};
pub use features::Feature;
pub use flags::{Flag, flags, is_workerish};
pub use install::{NodeArgs, START_WORKER, install_controller, install_worker};
pub use posix_words::{WordsFault, split_words};
pub use token::{BootstrapToken, JoinToken, Role, TokenFault};
pub use upgrade::{Kubelet, UpgradeBlocked, UpgradeFacts, judge_upgrade};
pub use version::{Version, VersionFault, image_tag};
