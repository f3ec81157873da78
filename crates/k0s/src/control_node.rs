//! ControlNode: a controller as autopilot sees it (k0s.md 12).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `autopilot.k0sproject.io/v1beta2` ControlNode, as far as it is read. It has no spec and is never deleted by k0s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlNode {
    /// Name, labels, annotations.
    pub metadata: ControlNodeMetadata,
    /// What k0s reports.
    pub status: ControlNodeStatus,
}

/// The part of the metadata that says something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlNodeMetadata {
    /// Env `AUTOPILOT_HOSTNAME` of k0s, else the host's name.
    pub name: String,
    /// `kubernetes.io/hostname`, `os`, `arch`.
    pub labels: BTreeMap<String, String>,
    /// `autopilot.k0sproject.io/mode` among them.
    pub annotations: BTreeMap<String, String>,
}

/// What k0s reports of a controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlNodeStatus {
    /// `InternalIP` and `Hostname`.
    pub addresses: Vec<NodeAddress>,
    /// The version that runs, in `+` form.
    pub k0s_version: String,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    /// `InternalIP` or `Hostname`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address itself.
    pub address: String,
}

impl ControlNode {
    /// Whether the controller is a node too.
    pub fn is_worker_too(&self) -> bool {
        let mode = self.metadata.annotations.get("autopilot.k0sproject.io/mode");
        mode.is_some_and(|mode| mode == "controller+worker")
    }
}
