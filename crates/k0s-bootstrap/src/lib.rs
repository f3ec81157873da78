//! From a K0sWorkerConfig to the data with which a host becomes a node, and from a Node to its Machine.
//!
//! Promises: bootstrap data are made once, when everything that they need is there, and never change under a
//! machine; each join token is issued once, stays valid exactly as long as the machine may need it, and goes
//! when it is not needed any more; a Node gets the provider ID of its Machine once and never another one.
//! Whoever waits says for what.
//!
//! Knows nothing of how a host is reached, of clouds, or of controllers (K0sControllerConfig).

pub mod node_link;
pub mod worker;

/// On a Node: the name of its Machine.
pub const MACHINE_NAME_LABEL: &str = "k0smotron.io/machine-name";
