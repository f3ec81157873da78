//! The table of kinds: everything about a kind that is not in its type.
//!
//! From it come the CRDs, and will come the routes of conversion and admission. A kind that is added here gets
//! its file in `crds/`, its bundle and its checks.

use serde_json::{Value, json};

use crate::{
    hosted::{
        HostedClusterStatus, HostedControlPlaneSpec, K0smotronControlPlaneStatus,
        K0smotronControlPlaneTemplateSpec,
    },
    join_token_request::{JoinTokenRequestSpec, JoinTokenRequestStatus},
    remote_cluster::{RemoteClusterSpec, RemoteClusterStatus, RemoteClusterTemplateSpec},
    remote_machine::{
        RemoteMachineSpec, RemoteMachineStatus, RemoteMachineTemplateSpec, RemoteMachineTemplateStatus,
    },
    schema,
    worker_config::{K0sWorkerConfigSpec, K0sWorkerConfigStatus, K0sWorkerConfigTemplateSpec},
};

/// The components file of clusterctl that carries a kind. The stand-alone installation carries the
/// `k0smotron.io` kinds only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// `bootstrap-components.yaml`.
    Bootstrap,
    /// `control-plane-components.yaml`.
    ControlPlane,
    /// `infrastructure-components.yaml`.
    Infrastructure,
}

/// A printer column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its head.
    pub name: &'static str,
    /// Its type: `string`, `integer`, `boolean` or `date`.
    pub type_: &'static str,
    /// Where its value is.
    pub path: &'static str,
    /// 0 shows always, more only with `-o wide`.
    pub priority: i32,
}

/// One version of a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindVersion {
    /// Its name.
    pub name: &'static str,
    /// Whether the API server serves it.
    pub served: bool,
    /// Whether objects are stored in it. Exactly one version of a kind is.
    pub storage: bool,
    /// Whether kubectl warns its users.
    pub deprecated: bool,
    /// The schema of `spec`.
    pub spec: fn() -> Value,
    /// The schema of `status`, if it has any fields.
    pub status: Option<fn() -> Value>,
    /// What an absent `spec` becomes.
    pub spec_default: Option<fn() -> Value>,
    /// What an absent `status` becomes.
    pub status_default: Option<fn() -> Value>,
    /// Printer columns.
    pub columns: &'static [Column],
}

/// A kind.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// API group.
    pub group: &'static str,
    /// Kind; the singular is its lower-cased form, the list kind has `List` behind it.
    pub kind: &'static str,
    /// Plural, in URLs and in the name of the CRD.
    pub plural: &'static str,
    /// Short names for kubectl.
    pub short_names: &'static [&'static str],
    /// One sentence for `kubectl explain`.
    pub description: &'static str,
    /// The components file that carries it.
    pub component: Component,
    /// Whether it is bound by the contract of Cluster API: `k0smotron.io` kinds are not.
    pub contract: bool,
    /// Whether it has a `status` subresource.
    pub status: bool,
    /// Whether it has a `scale` subresource.
    pub scale: bool,
    /// Whether it is a template: rules that compare with the former object do not hold for it.
    pub template: bool,
    /// Rules about the whole object: rule and message.
    pub rules: &'static [(&'static str, &'static str)],
    /// Its versions.
    pub versions: &'static [KindVersion],
}

const CLUSTER_LABEL: &str = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']";

const fn column(name: &'static str, type_: &'static str, path: &'static str) -> Column {
    Column { name, type_, path, priority: 0 }
}

const fn wide(name: &'static str, type_: &'static str, path: &'static str) -> Column {
    Column { name, type_, path, priority: 10 }
}

const AGE: Column = column("Age", "date", ".metadata.creationTimestamp");
const CLUSTER: Column = column("Cluster", "string", CLUSTER_LABEL);
const PAUSED: Column = wide("Paused", "string", ".status.conditions[?(@.type=='Paused')].status");

/// v1beta2: the version all others convert to, served and stored.
const fn hub(spec: fn() -> Value, status: Option<fn() -> Value>, columns: &'static [Column]) -> KindVersion {
    KindVersion {
        name: "v1beta2",
        served: true,
        storage: true,
        deprecated: false,
        spec,
        status,
        spec_default: None,
        status_default: None,
        columns,
    }
}

const CONTROL_PLANE: Kind = Kind {
    group: "controlplane.cluster.x-k8s.io",
    kind: "",
    plural: "",
    short_names: &[],
    description: "",
    component: Component::ControlPlane,
    contract: true,
    status: true,
    scale: false,
    template: false,
    rules: &[],
    versions: &[],
};
const BOOTSTRAP: Kind =
    Kind { group: "bootstrap.cluster.x-k8s.io", component: Component::Bootstrap, ..CONTROL_PLANE };
const INFRASTRUCTURE: Kind =
    Kind { group: "infrastructure.cluster.x-k8s.io", component: Component::Infrastructure, ..CONTROL_PLANE };
const STANDALONE: Kind = Kind { group: "k0smotron.io", contract: false, ..CONTROL_PLANE };

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        kind: "K0sWorkerConfig",
        plural: "k0sworkerconfigs",
        description: "How a host becomes a worker.",
        versions: &[hub(
            schema::structural::<K0sWorkerConfigSpec>,
            Some(schema::structural::<K0sWorkerConfigStatus>),
            &[
                CLUSTER,
                column("Ready", "boolean", ".status.initialization.dataSecretCreated"),
                column("Data secret", "string", ".status.dataSecretName"),
                AGE,
            ],
        )],
        ..BOOTSTRAP
    },
    Kind {
        kind: "K0sWorkerConfigTemplate",
        plural: "k0sworkerconfigtemplates",
        description: "What the K0sWorkerConfigs of a group of machines look like.",
        template: true,
        versions: &[hub(schema::structural::<K0sWorkerConfigTemplateSpec>, None, &[AGE])],
        ..BOOTSTRAP
    },
    Kind {
        kind: "K0smotronControlPlane",
        plural: "k0smotroncontrolplanes",
        description: "A control plane in pods, for a Cluster of Cluster API.",
        scale: true,
        versions: &[KindVersion {
            status_default: Some(control_plane_status),
            ..hub(
                schema::structural::<HostedControlPlaneSpec>,
                Some(schema::structural::<K0smotronControlPlaneStatus>),
                &[
                    CLUSTER,
                    wide("Desired", "integer", ".spec.replicas"),
                    column("Replicas", "integer", ".status.replicas"),
                    column("Ready", "integer", ".status.readyReplicas"),
                    column("UpToDate", "integer", ".status.upToDateReplicas"),
                    column("Available", "integer", ".status.availableReplicas"),
                    AGE,
                    column("Version", "string", ".spec.version"),
                    PAUSED,
                ],
            )
        }],
        ..CONTROL_PLANE
    },
    Kind {
        kind: "K0smotronControlPlaneTemplate",
        plural: "k0smotroncontrolplanetemplates",
        description: "What the K0smotronControlPlanes of a ClusterClass look like.",
        template: true,
        versions: &[hub(schema::structural::<K0smotronControlPlaneTemplateSpec>, None, &[AGE])],
        ..CONTROL_PLANE
    },
    Kind {
        kind: "RemoteCluster",
        plural: "remoteclusters",
        description: "The infrastructure of a cluster whose hosts exist already.",
        versions: &[hub(
            schema::structural::<RemoteClusterSpec>,
            Some(schema::structural::<RemoteClusterStatus>),
            &[
                CLUSTER,
                column("Endpoint", "string", ".spec.controlPlaneEndpoint.host"),
                column("Provisioned", "boolean", ".status.initialization.provisioned"),
                AGE,
            ],
        )],
        ..INFRASTRUCTURE
    },
    Kind {
        kind: "RemoteClusterTemplate",
        plural: "remoteclustertemplates",
        description: "What the RemoteClusters of a ClusterClass look like.",
        status: false,
        template: true,
        versions: &[hub(schema::structural::<RemoteClusterTemplateSpec>, None, &[AGE])],
        ..INFRASTRUCTURE
    },
    Kind {
        kind: "RemoteMachine",
        plural: "remotemachines",
        description: "An existing host that becomes a Machine.",
        versions: &[hub(
            schema::structural::<RemoteMachineSpec>,
            Some(schema::structural::<RemoteMachineStatus>),
            &[
                CLUSTER,
                column("Address", "string", ".spec.address"),
                column("Pool", "string", ".spec.pool"),
                column("Provisioned", "boolean", ".status.initialization.provisioned"),
                column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
                AGE,
                wide("ProviderID", "string", ".spec.providerID"),
                PAUSED,
            ],
        )],
        ..INFRASTRUCTURE
    },
    Kind {
        kind: "RemoteMachineTemplate",
        plural: "remotemachinetemplates",
        description: "What the RemoteMachines of a group of Machines look like.",
        template: true,
        versions: &[hub(
            schema::structural::<RemoteMachineTemplateSpec>,
            Some(schema::structural::<RemoteMachineTemplateStatus>),
            &[column("Pool", "string", ".spec.template.spec.pool"), AGE],
        )],
        ..INFRASTRUCTURE
    },
    Kind {
        kind: "Cluster",
        plural: "clusters",
        short_names: &["kmc"],
        description: "A control plane in pods.",
        scale: true,
        // Made once, never again: a stored object must stay editable and deletable.
        rules: &[(
            "oldSelf.hasValue() || (self.metadata.name.size() <= 63 && !self.metadata.name.contains('.'))",
            "metadata.name must be a DNS label of at most 63 characters without dots: Services are named after it",
        )],
        versions: &[KindVersion {
            spec_default: Some(standalone_spec),
            ..hub(
                schema::structural::<HostedControlPlaneSpec>,
                Some(schema::structural::<HostedClusterStatus>),
                &[
                    column("Version", "string", ".status.version"),
                    column("Replicas", "integer", ".status.replicas"),
                    column("Ready", "integer", ".status.readyReplicas"),
                    column("Available", "string", ".status.conditions[?(@.type=='Available')].status"),
                    column("Endpoint", "string", ".status.endpoint.host"),
                    AGE,
                ],
            )
        }],
        ..STANDALONE
    },
    Kind {
        kind: "JoinTokenRequest",
        plural: "jointokenrequests",
        short_names: &["jtr"],
        description: "A token with which a node joins a hosted control plane.",
        rules: &[(
            "!oldSelf.hasValue() || !has(oldSelf.value().status) || !has(oldSelf.value().status.tokenID) || \
             oldSelf.value().status.tokenID == '' || self.spec == oldSelf.value().spec",
            "spec cannot be changed once the token is issued; make a new JoinTokenRequest",
        )],
        versions: &[hub(
            schema::structural::<JoinTokenRequestSpec>,
            Some(schema::structural::<JoinTokenRequestStatus>),
            &[
                column("Cluster", "string", ".spec.clusterName"),
                column("Role", "string", ".spec.role"),
                column("Ready", "string", ".status.conditions[?(@.type=='JoinTokenSecretCreated')].status"),
                column("Expires", "string", ".status.expiresAt"),
                AGE,
            ],
        )],
        ..STANDALONE
    },
];

/// An object without `spec` is reached through node ports; one with an empty `spec` is not (the Service's own
/// default applies). Released behaviour.
fn standalone_spec() -> Value {
    json!({"service": {"type": "NodePort"}})
}

/// What readers see before the controller wrote a status. Released behaviour.
fn control_plane_status() -> Value {
    json!({
        "conditions": [{
            "lastTransitionTime": "1970-01-01T00:00:00Z",
            "message": "Waiting for cluster topology to be reconciled",
            "reason": "ControlPlaneDoesNotExist",
            "status": "Unknown",
            "type": "Available",
        }],
        "initialization": {"controlPlaneInitialized": false},
        "version": "",
    })
}

impl Kind {
    /// Name of the CRD, and of its file.
    pub fn crd_name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Whether the stand-alone installation carries it.
    pub fn standalone(&self) -> bool {
        !self.contract
    }
}
