//! Core's Machine.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

use crate::{GROUP, VERSION, names, reference::ContractVersionedObjectReference};

crate::kind! {
    /// A Machine of Cluster API.
    Machine { group: GROUP, version: VERSION, kind: "Machine", plural: "machines", spec: MachineSpec, status: MachineStatus }
}

/// What is wanted of a Machine; also the shape of the machine template of sets, deployments and pools.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineSpec {
    /// The Cluster that the Machine belongs to.
    pub cluster_name: String,
    /// How the host becomes a node.
    pub bootstrap: Bootstrap,
    /// The infrastructure machine object.
    pub infrastructure_ref: ContractVersionedObjectReference,
    /// The wanted Kubernetes version, with a leading `v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The provider's identifier of the host; equal to the Node's.
    #[serde(rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The failure domain in which the host shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_domain: Option<String>,
    /// Deadlines of the steps of deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<MachineDeletionSpec>,
}

/// How a host becomes a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bootstrap {
    /// The bootstrap config object; absent when the user supplies the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_ref: Option<ContractVersionedObjectReference>,
    /// The Secret with the bootstrap data, once it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_secret_name: Option<String>,
}

/// Deadlines of the steps of a Machine's deletion, in seconds; 0 or absent means no deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineDeletionSpec {
    /// For the drain of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_drain_timeout_seconds: Option<i32>,
    /// For the detachment of its volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_volume_detach_timeout_seconds: Option<i32>,
    /// For the deletion of the Node object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_deletion_timeout_seconds: Option<i32>,
}

/// What is observed of a Machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineStatus {
    /// Conditions of the Machine. The list is shared: some entries are core's, some the control plane's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Steps of the first provisioning that are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialization: Option<MachineInitialization>,
    /// The Node that the host became.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ref: Option<NodeReference>,
    /// What the Node says about its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_info: Option<NodeInfo>,
    /// Addresses of the host, copied from the infrastructure machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<MachineAddress>,
    /// One word for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The failure domain in which the host is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_domain: Option<String>,
    /// The generation that core has seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Steps of the first provisioning of a Machine. Once true they stay so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineInitialization {
    /// The infrastructure machine reported that it is provisioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure_provisioned: Option<bool>,
    /// The bootstrap config reported its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_data_secret_created: Option<bool>,
}

/// The Node that a Machine became.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeReference {
    /// Its name.
    pub name: String,
}

/// What a Node says about its host: only what we look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    /// The version of its kubelet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_version: Option<String>,
}

/// An address of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(default)]
pub struct MachineAddress {
    /// `Hostname`, `ExternalIP`, `InternalIP`, `ExternalDNS` or `InternalDNS`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The address.
    pub address: String,
}

impl Machine {
    /// The Secret with the bootstrap data, if it is named.
    pub fn data_secret_name(&self) -> Option<&str> {
        self.spec.bootstrap.data_secret_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The name of the Node that the host became.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.status.as_ref()?.node_ref.as_ref()?.name.as_str();
        (!name.is_empty()).then_some(name)
    }

    /// Whether the Machine belongs to a control plane: the presence of the label counts, not its value.
    pub fn is_control_plane(&self) -> bool {
        self.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(names::LABEL_CONTROL_PLANE))
    }

    /// Whether its deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_data_secret_name_is_none() {
        let machine: Machine =
            serde_json::from_str(r#"{"spec": {"bootstrap": {"dataSecretName": ""}}}"#).unwrap();
        assert_eq!(machine.data_secret_name(), None);
    }

    #[test]
    fn the_control_plane_label_counts_whatever_its_value() {
        let machine: Machine =
            serde_json::from_str(r#"{"metadata": {"labels": {"cluster.x-k8s.io/control-plane": ""}}}"#)
                .unwrap();
        assert!(machine.is_control_plane());
    }

    #[test]
    fn the_provider_id_keeps_its_capitals() {
        let machine: Machine =
            serde_json::from_str(r#"{"spec": {"providerID": "remote-machine://h:22"}}"#).unwrap();
        assert_eq!(machine.spec.provider_id.as_deref(), Some("remote-machine://h:22"));
    }
}
