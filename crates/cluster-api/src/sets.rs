//! Core's MachineDeployment, MachineSet and MachinePool: only what tells that workers exist and what they want.

use serde::{Deserialize, Serialize};

use crate::{GROUP, VERSION, machine::MachineSpec};

crate::kind! {
    /// A MachineDeployment of Cluster API.
    MachineDeployment { group: GROUP, version: VERSION, kind: "MachineDeployment", plural: "machinedeployments", spec: MachineTemplateSpec, status: ReplicaCounts }
}

crate::kind! {
    /// A MachineSet of Cluster API.
    MachineSet { group: GROUP, version: VERSION, kind: "MachineSet", plural: "machinesets", spec: MachineTemplateSpec, status: ReplicaCounts }
}

crate::kind! {
    /// A MachinePool of Cluster API.
    MachinePool { group: GROUP, version: VERSION, kind: "MachinePool", plural: "machinepools", spec: MachineTemplateSpec, status: ReplicaCounts }
}

/// What is wanted of a group of Machines.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineTemplateSpec {
    /// The Cluster that the Machines belong to.
    pub cluster_name: String,
    /// How many there shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// What each Machine looks like.
    pub template: MachineTemplate,
}

/// What each Machine of a group looks like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct MachineTemplate {
    /// Its spec.
    pub spec: MachineSpec,
}

/// How many Machines of a group there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaCounts {
    /// All of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}
