//! Machines: hosts with systemd, sshd and cloud-init in network namespaces of this box.
//!
//! Promises that a machine boots in seconds, is reached over SSH at an address of its own, runs what a cloud's user
//! data says, carries a k0s controller or worker with containers in it, can be killed, unplugged and paused, and
//! leaves nothing on the box: not after a panic, and after a SIGKILL not past the next run. Knows nothing of
//! Kubernetes. Needs root, cgroups, overlayfs; no virtualisation, no container engine.
//!
//! A machine is a container in runc's sense whose first process is systemd, on a [`Network`] that is a bridge. State
//! that must die with a reboot of the box is under `/run/k0smotron-testbed`, disks are in the cache folder.

mod container;
mod disk;
mod firewall;
pub mod fleet;
mod host;
mod inside;
mod keys;
mod mounts;
mod network;
mod oci;
mod options;
mod packages;
mod paths;
mod ready;
mod record;
mod registry;
pub mod rootfs;
mod shell;
mod sweep;
pub mod sysctls;

pub use host::Machine;
pub use inside::Output;
pub use network::{Network, NetworkOptions};
pub use options::{MachineFile, MachineOptions};
pub use record::Mount;
pub use sweep::sweep;
