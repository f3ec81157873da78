//! Times of k0s (k0s.md 20): each once, with its argument (K0S-27).

use std::time::Duration;

/// A lease of k0s is valid so long after its last renewal.
pub const LEASE: Duration = Duration::from_mins(1);
/// A component that is not ready by then ends k0s.
pub const READINESS: Duration = Duration::from_mins(2);
/// The service manager starts an ended k0s again after this.
pub const SERVICE_RESTART: Duration = Duration::from_secs(10);
/// k0s starts an ended component again after this.
pub const CHILD_RESTART: Duration = Duration::from_secs(5);
/// The leader looks again at members, certificate requests, endpoints and the number of controllers.
pub const LEADER_TICK: Duration = Duration::from_secs(10);
/// A leading target of a leave yields for so long.
pub const YIELD: Duration = Duration::from_secs(30);
/// The leader removes a dead member so long after its last sign of life (level 3).
pub const DEAD_MEMBER: Duration = Duration::from_mins(5);
/// A joining controller asks for the authority ten times, about this long in all.
pub const AUTHORITY_RETRIES: Duration = Duration::from_mins(1);
/// A joining controller asks to become a member for so long; a worker for its configuration.
pub const JOIN_RETRIES: Duration = Duration::from_mins(4);
/// Autopilot drains a node for so long.
pub const DRAIN: Duration = Duration::from_mins(2);
