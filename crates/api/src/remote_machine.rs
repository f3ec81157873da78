//! RemoteMachine and its template: a host reached over SSH or by a Job (remote-machine chapter, section 1).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::batch::v1::JobTemplateSpec,
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{Condition, Time},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{cel, decode, schema, shared::TemplateMetadata};

cluster_api::kind! {
    /// An existing host that becomes a Machine.
    RemoteMachine { group: "infrastructure.cluster.x-k8s.io", version: "v1beta2", kind: "RemoteMachine", plural: "remotemachines", spec: RemoteMachineSpec, status: RemoteMachineStatus }
}

cluster_api::kind! {
    /// What the RemoteMachines of a group of Machines look like.
    RemoteMachineTemplate { group: "infrastructure.cluster.x-k8s.io", version: "v1beta2", kind: "RemoteMachineTemplate", plural: "remotemachinetemplates", spec: RemoteMachineTemplateSpec, status: RemoteMachineTemplateStatus }
}

/// An existing host and the way to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::remote_machine_spec)]
pub struct RemoteMachineSpec {
    /// Take a host from this pool of PooledRemoteMachines instead of naming one here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Identifier of the host, `remote-machine://<address>:<port>`; written when the host is provisioned.
    #[serde(rename = "providerID", default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// IP address or DNS name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Port of its SSH server. Default 22; 0 means 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 22), transform = schema::no_format)]
    pub port: Option<i64>,
    /// User to log in as. Default `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "root"))]
    pub user: Option<String>,
    /// Whether commands run and files are written with privileges, through sudo or doas unless the user is root.
    /// Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_sudo: Option<bool>,
    /// Whether all commands run as one script, so that `cd` and `export` carry over. Default false: each runs in
    /// a shell of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub commands_as_script: Option<bool>,
    /// Directory on the host for the script and the state of a run. Absolute. Default `/etc/k0smotron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "/etc/k0smotron"))]
    pub working_dir: Option<String>,
    /// Secret of the same namespace with the private SSH key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_ref: Option<SshKeyRef>,
    /// Commands to run when the machine goes, instead of the built-in clean-up. Absent: the built-in clean-up;
    /// an empty list: nothing at all is done on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_up_commands: Option<Vec<String>>,
    /// Provision by a Job of yours instead of the built-in SSH client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_job: Option<ProvisionJob>,
    /// How the key of the SSH server is checked. `TrustOnFirstUse` (default): the first key seen is remembered.
    /// `Pinned`: it must be one of `hostKeys` or `hostKeysRef`; implied when either is given. `Insecure`: not at
    /// all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_policy: Option<HostKeyPolicy>,
    /// Keys the SSH server may show: `SHA256:...` fingerprints or public key lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// Secret of the same namespace with known-hosts lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_keys_ref: Option<HostKeysRef>,
    /// A host through which the connection goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_host: Option<JumpHost>,
    /// Deadlines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// What happens when the host cannot be cleaned. `Required` (default): try for ever, until the annotation
    /// `k0smotron.io/skip-clean-up`. `BestEffort`: three attempts, then the machine goes. `Skip`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_up_policy: Option<CleanUpPolicy>,
}

/// A Secret with a private SSH key. An empty name means that none is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in the Secret. Default `value`, else `ssh-privatekey`. A passphrase stands in key `passphrase`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A Secret with known-hosts lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostKeysRef {
    /// Name of the Secret.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Key in the Secret. Default `known_hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// How the key of an SSH server is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HostKeyPolicy {
    /// The first key seen is remembered.
    #[default]
    TrustOnFirstUse,
    /// It must be one of the given keys.
    Pinned,
    /// Not at all.
    Insecure,
}

/// What happens when a host cannot be cleaned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CleanUpPolicy {
    /// Try for ever.
    #[default]
    Required,
    /// Three attempts, then the machine goes.
    BestEffort,
    /// No contact.
    Skip,
}

/// A host through which an SSH connection goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JumpHost {
    /// IP address or DNS name.
    #[schemars(length(min = 1))]
    pub address: String,
    /// Port of its SSH server. Default 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i64>,
    /// User to log in as. Default `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Secret with the private SSH key. Default: the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_ref: Option<SshKeyRef>,
    /// How its key is checked, as for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_policy: Option<HostKeyPolicy>,
    /// Keys it may show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// Secret with known-hosts lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_keys_ref: Option<HostKeysRef>,
}

/// Deadlines, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// For a connection to be made. Default 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub connect_seconds: Option<i32>,
    /// For one command. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub command_seconds: Option<i32>,
    /// For the whole bootstrap. Default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub total_seconds: Option<i32>,
    /// For one attempt to clean the host. Default 900.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub clean_up_seconds: Option<i32>,
}

/// Provisioning by a Job, for access methods that need a client of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::provision_job)]
pub struct ProvisionJob {
    /// Command for `ssh`; may hold options. Default `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "ssh"))]
    pub ssh_command: Option<String>,
    /// Command for `scp`; may hold options. Default `scp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "scp"))]
    pub scp_command: Option<String>,
    /// The Job, whose first container brings the clients and the credentials.
    #[serde(default, deserialize_with = "decode::quantities", skip_serializing_if = "Option::is_none")]
    pub job_spec_template: Option<JobTemplateSpec>,
}

/// What is observed of a RemoteMachine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Steps that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<MachineInitialization>,
    /// Addresses of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<MachineAddress>,
    /// Failure domain of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_domain: Option<String>,
    /// Fingerprints of the keys that the SSH server has shown and that are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_key_fingerprints: Vec<String>,
    /// The run of the bootstrap commands on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// What the host is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_info: Option<HostInfo>,
    /// Conditions of the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What only readers of older versions need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<RemoteMachineDeprecated>,
}

/// Steps of a machine that are done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineInitialization {
    /// The bootstrap commands ran to their end. Stays true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// An address of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct MachineAddress {
    /// What kind of address it is.
    #[serde(rename = "type")]
    pub type_: MachineAddressType,
    /// The address.
    #[schemars(length(min = 1, max = 256))]
    pub address: String,
}

/// Kinds of addresses.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum MachineAddressType {
    /// A host name.
    Hostname,
    /// An IP address that is reached from outside.
    #[default]
    #[serde(rename = "ExternalIP")]
    ExternalIp,
    /// An IP address of the host's own network.
    #[serde(rename = "InternalIP")]
    InternalIp,
    /// A DNS name that is resolved outside.
    #[serde(rename = "ExternalDNS")]
    ExternalDns,
    /// A DNS name that is resolved in the host's own network.
    #[serde(rename = "InternalDNS")]
    InternalDns,
}

/// A run of the bootstrap commands on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Its id: a digest of the machine's uid and the bootstrap data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it stands, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Number of the step it is at, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i32>,
    /// Number of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<i32>,
    /// Number of the attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<Time>,
}

/// What a host is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostInfo {
    /// Processor architecture as Kubernetes names it, e.g. `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Operating system as Kubernetes names it, e.g. `linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<String>,
}

/// What only readers of older versions need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteMachineDeprecated {
    /// For readers of v1beta1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1beta1: Option<RemoteMachineDeprecatedV1Beta1>,
}

/// What only readers of v1beta1 need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineDeprecatedV1Beta1 {
    /// A failure for ever, in one word. Stays empty for whatever is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// A failure for ever, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
}

/// Spec of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteMachineTemplateSpec {
    /// What each RemoteMachine looks like.
    pub template: RemoteMachineTemplateResource,
}

/// What each RemoteMachine made from a template looks like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteMachineTemplateResource {
    /// Labels and annotations of the RemoteMachines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Their spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<RemoteMachineTemplateResourceSpec>,
}

/// Spec of the RemoteMachines made from a template. Address, user and key come from the pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineTemplateResourceSpec {
    /// The pool from which hosts are taken.
    pub pool: String,
    /// Provision by a Job of yours instead of the built-in SSH client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_job: Option<ProvisionJob>,
    /// Deadlines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// What happens when a host cannot be cleaned. Default `Required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_up_policy: Option<CleanUpPolicy>,
}

/// What the hosts of a template's pool offer, for autoscalers that start from zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineTemplateStatus {
    /// Resources of one host.
    #[serde(default, deserialize_with = "decode::quantity_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<String, Quantity>,
    /// What a host is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_info: Option<HostInfo>,
}
