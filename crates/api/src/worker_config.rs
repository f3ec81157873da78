//! K0sWorkerConfig and its template: how a host becomes a worker (control-plane-and-bootstrap, 2.5).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Sensitive, cel,
    shared::{ContentSource, File, LabelsAndAnnotations, TemplateMetadata},
};

cluster_api::kind! {
    /// How a host becomes a worker.
    K0sWorkerConfig { group: "bootstrap.cluster.x-k8s.io", version: "v1beta2", kind: "K0sWorkerConfig", plural: "k0sworkerconfigs", spec: K0sWorkerConfigSpec, status: K0sWorkerConfigStatus }
}

cluster_api::kind! {
    /// What the K0sWorkerConfigs of a group of machines look like.
    K0sWorkerConfigTemplate { group: "bootstrap.cluster.x-k8s.io", version: "v1beta2", kind: "K0sWorkerConfigTemplate", plural: "k0sworkerconfigtemplates", spec: K0sWorkerConfigTemplateSpec }
}

/// How a host becomes a worker. The bootstrap data are made once; later changes have no effect on them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::worker_spec)]
pub struct K0sWorkerConfigSpec {
    /// Form of the bootstrap data. Default: cloud-config for Linux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<Provisioner>,
    /// Directory on the host in which the binary `k0s` is put or found. Default `/usr/local/bin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "/usr/local/bin"))]
    pub k0s_install_dir: Option<String>,
    /// Version of k0s, e.g. `v1.34.1+k0s.0`. Empty: the version of the Machine; is that empty too, the latest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether the node is named after the host instead of the Machine. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub use_system_hostname: Option<bool>,
    /// Files to write before k0s is installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Further arguments of `k0s install worker`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Commands to run before k0s is downloaded, each in a shell of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_k0s_commands: Vec<String>,
    /// Commands to run after k0s was started, each in a shell of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_k0s_commands: Vec<String>,
    /// Whether the binary is on the host already. Default false: it is downloaded.
    #[serde(rename = "preInstalledK0s", default, skip_serializing_if = "Option::is_none")]
    pub pre_installed_k0s: Option<bool>,
    /// Where the binary is downloaded from (`https`, `http` or `oci`). Default: the script of `https://get.k0s.sh`.
    #[serde(rename = "downloadURL", default, skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
    /// Labels and annotations of the Secret with the bootstrap data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_metadata: Option<LabelsAndAnnotations>,
    /// Whether the bootstrap stops at the first command that fails. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_on_command_error: Option<bool>,
    /// Directory on the host for the join token. Default: the token is `/etc/k0s.token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}

/// Form of the bootstrap data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = cel::provisioner)]
pub struct Provisioner {
    /// Notation of the bootstrap data. Default `cloud-config`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "cloud-config"))]
    pub type_: Option<ProvisionerType>,
    /// Operating system of the host. Default `linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "linux"))]
    pub platform: Option<Platform>,
    /// Settings for type `ignition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignition: Option<Ignition>,
    /// Further user data, appended to the generated ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_user_data_ref: Option<ContentSource>,
}

/// Notation of bootstrap data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProvisionerType {
    /// cloud-config, as cloud-init reads it.
    #[default]
    #[serde(alias = "")]
    CloudConfig,
    /// Ignition.
    Ignition,
    /// A PowerShell script.
    Powershell,
    /// A PowerShell script in XML tags, as some clouds want it.
    PowershellXml,
}

/// Operating system of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Linux.
    #[default]
    #[serde(alias = "")]
    Linux,
    /// Windows.
    Windows,
}

/// Settings of Ignition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ignition {
    /// Butane variant: the operating system of the host.
    pub variant: IgnitionVariant,
    /// Butane version, e.g. `1.1.0`.
    pub version: String,
    /// A whole Butane document in YAML, merged with the generated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_config: Option<Sensitive>,
}

/// Butane variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IgnitionVariant {
    /// Fedora CoreOS.
    #[default]
    Fcos,
    /// Flatcar.
    Flatcar,
    /// OpenShift.
    Openshift,
    /// RHEL for Edge.
    R4e,
    /// Fedora IoT.
    Fiot,
}

/// What is observed of a K0sWorkerConfig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sWorkerConfigStatus {
    /// The generation of the spec that the rest of this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Steps that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ConfigInitialization>,
    /// The Secret with the bootstrap data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_secret_name: Option<String>,
    /// Conditions of the config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Steps of a bootstrap config that are done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigInitialization {
    /// The Secret with the bootstrap data exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_secret_created: Option<bool>,
}

/// Spec of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct K0sWorkerConfigTemplateSpec {
    /// What each K0sWorkerConfig looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<K0sWorkerConfigTemplateResource>,
}

/// What each K0sWorkerConfig made from a template looks like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct K0sWorkerConfigTemplateResource {
    /// Labels and annotations of the K0sWorkerConfigs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Their spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<K0sWorkerConfigSpec>,
}
