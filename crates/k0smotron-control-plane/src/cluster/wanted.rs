//! What is wanted: the spec with every default filled in, in types that make the builders total.

use std::collections::BTreeMap;

use api::HostedControlPlaneSpec;
use api::defaults::{ETCD_IMAGE, K0S_IMAGE, KineSource, PersistenceType};
use api::hosted::{CertificateType, PortAllocation, ServiceType, StorageType};
use k0s::{Feature, Version};
use serde_json::{Map, Value, json};

use super::labels::{Origin, clean};
use super::names::{Names, mount_volume};
use super::quantity;

/// What the operator brings into the decision about a cluster.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Operator {
    /// Domain of the hosting cluster.
    pub cluster_domain: String,
    /// Replaces the registry of default images, for new objects.
    pub image_registry: Option<String>,
    /// The version of a new cluster that names none.
    pub default_version: String,
}

/// The newest version that this release was tested with.
const TESTED_VERSION: &str = "v1.36.3+k0s.2";

impl Default for Operator {
    fn default() -> Self {
        Self {
            cluster_domain: "cluster.local".to_owned(),
            image_registry: None,
            default_version: TESTED_VERSION.to_owned(),
        }
    }
}

impl Operator {
    /// A default image in the registry that the operator was told to use.
    fn image(&self, image: &str) -> String {
        match (&self.image_registry, image.split_once('/')) {
            (Some(registry), Some((_, path))) => format!("{}/{path}", registry.trim_end_matches('/')),
            _ => image.to_owned(),
        }
    }
}

/// A field that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// Its path.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Fault {
    /// A fault of a field.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The data volume of control plane pods (10.3).
#[derive(Clone, Debug, PartialEq)]
pub enum DataVolume {
    /// Gone with the pod.
    EmptyDir,
    /// A directory of the node.
    HostPath(String),
    /// A claim per pod: the spec of its template.
    Claim(Value),
}

/// One volume of the user's in the control plane pods.
#[derive(Clone, Debug, PartialEq)]
pub struct UserVolume {
    /// Name of the volume.
    pub name: String,
    /// Where it is mounted.
    pub path: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// The volume, with its name.
    pub volume: Value,
}

/// Everything that is wanted of one cluster.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Its metadata.
    pub origin: Origin,
    /// Names of its objects.
    pub names: Names,
    /// The spec, for fields that are passed on as they are.
    pub spec: &'a HostedControlPlaneSpec,
    /// Version of k0s.
    pub version: Version,
    /// Image of k0s with its tag.
    pub image: String,
    /// Image of etcd with its tag.
    pub etcd_image: String,
    /// Arguments of `k0s controller`.
    pub flags: Vec<String>,
    /// The user's k0s configuration.
    pub config: k0s::ClusterConfig,
    /// The data volume's name: one function names it for all who mount it.
    pub data_name: String,
    /// The data volume.
    pub data: DataVolume,
    /// Manifests and mounts.
    pub volumes: Vec<UserVolume>,
    /// Domain of the hosting cluster.
    pub domain: String,
}

/// What runs now, for fields that are unset: an unset image means the one that runs (H-28).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running<'a> {
    /// Image of the control plane pods' template.
    pub image: Option<&'a str>,
    /// Image of the etcd pods' template.
    pub etcd_image: Option<&'a str>,
    /// `status.version`.
    pub version: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// Reads the spec; faults that the schema and admission let through are reported all at once.
    pub fn of(
        origin: Origin,
        spec: &'a HostedControlPlaneSpec,
        running: &Running<'_>,
        operator: &Operator,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let names = Names::new(&origin.name);
        let (image, version) = image(spec, running, operator, &mut faults);
        let etcd_image = match (spec.own_etcd_image(), running.etcd_image) {
            (Some(image), _) | (None, Some(image)) => image.to_owned(),
            (None, None) => operator.image(ETCD_IMAGE),
        };
        let flags = k0s::controller_flags(&spec.control_plane_flags, &[])
            .map_err(|fault| faults.push(Fault::new("spec.controlPlaneFlags", fault.to_string())))
            .unwrap_or_default();
        let config = config(spec, &version, &mut faults);
        let data = data(spec, &mut faults);
        let data_name = claim_name(spec).unwrap_or_else(|| names.data_volume());
        let volumes = volumes(spec, &mut faults);
        if spec.storage_type() == StorageType::Kine
            && spec.kine_source() == KineSource::Sqlite
            && spec.effective_replicas() > 1
        {
            faults.push(Fault::new(
                "spec.replicas",
                "sqlite is one database per pod: use 1 replica, or give storage.kine a data source",
            ));
        }
        let Some(config) = config.filter(|_| faults.is_empty()) else { return Err(faults) };
        let domain = operator.cluster_domain.clone();
        Ok(Self {
            origin,
            names,
            spec,
            version,
            image,
            etcd_image,
            flags,
            config,
            data_name,
            data,
            volumes,
            domain,
        })
    }

    /// Whether etcd runs in pods of its own.
    pub fn uses_etcd(&self) -> bool {
        self.spec.storage_type() == StorageType::Etcd
    }

    /// Whether the data lives and dies with the pod (H-12).
    pub fn loses_data_with_its_pod(&self) -> bool {
        self.spec.storage_type() == StorageType::Kine
            && self.spec.kine_source() == KineSource::Sqlite
            && self.data == DataVolume::EmptyDir
    }

    /// Name of the Service of the control plane.
    pub fn service_name(&self) -> String {
        self.names.service(self.spec.service_type())
    }

    /// Whether the API server chooses the node ports.
    pub fn node_ports_are_chosen(&self) -> bool {
        self.spec.service_type() == ServiceType::NodePort
            && self.spec.port_allocation() == PortAllocation::Auto
    }

    /// The Secret for a purpose (H-9): one resolver for whoever signs, mounts or reads.
    pub fn certificate_secret(&self, purpose: CertificateType) -> String {
        self.spec.certificate_secret(&self.origin.name, purpose)
    }

    /// Whether kubelets can ask `/readyz` without credentials (section 7): from the version that reads an
    /// authentication configuration, unless the user's own settings of authentication stand in the way.
    pub fn probes_anonymously(&self) -> bool {
        let args = self.config.get("api.extraArgs");
        let own = |name: &String| {
            name == "anonymous-auth" || name == "authentication-config" || name.starts_with("oidc-")
        };
        let own_settings = args.and_then(Value::as_object).is_some_and(|args| args.keys().any(own));
        Feature::AnonymousProbes.in_version(&self.version) && !own_settings
    }

    /// The annotation that asks for a restart of control plane or etcd pods (8.2).
    pub fn restart_at(&self) -> (Option<&str>, Option<&str>) {
        match self.origin.annotations.get("k0smotron.io/restart-at").map(|value| value.trim()) {
            None | Some("") => (None, None),
            Some(value) => match value.strip_prefix("etcd/") {
                Some(etcd) => (None, Some(etcd)),
                None => (Some(value), None),
            },
        }
    }
}

fn image(
    spec: &HostedControlPlaneSpec,
    running: &Running<'_>,
    operator: &Operator,
    faults: &mut Vec<Fault>,
) -> (String, Version) {
    let runs = running.image.and_then(|image| image.rsplit_once(':'));
    let written = spec.wanted_version();
    let text = written.or(runs.map(|(_, tag)| tag)).or(running.version).unwrap_or(&operator.default_version);
    let version = text.parse().unwrap_or_else(|fault: k0s::VersionFault| {
        faults.push(Fault::new("spec.version", fault.to_string()));
        Version::new(0, 0, 0, None)
    });
    let repository = match (spec.own_image(), runs) {
        (Some(own), _) => own.to_owned(),
        (None, Some((repository, _))) => repository.to_owned(),
        (None, None) => operator.image(K0S_IMAGE),
    };
    (format!("{repository}:{}", k0s::image_tag(text)), version)
}

/// The user's configuration; what the version does not know would keep k0s from starting (K0S-7).
fn config(
    spec: &HostedControlPlaneSpec,
    version: &Version,
    faults: &mut Vec<Fault>,
) -> Option<k0s::ClusterConfig> {
    let given = spec.k0s_config.as_ref().map(|config| Value::Object(config.0.clone()));
    let mut fault = |fault: k0s::ConfigFault| {
        faults.push(Fault::new(format!("spec.k0sConfig.{}", fault.path), fault.why));
    };
    match k0s::ClusterConfig::from_user(given.as_ref()) {
        Ok(config) => {
            k0s::unknown_fields(&config.spec(), version).into_iter().for_each(fault);
            Some(config)
        }
        Err(wrong) => {
            fault(wrong);
            None
        }
    }
}

fn claim_name(spec: &HostedControlPlaneSpec) -> Option<String> {
    let claim = spec.persistence.as_ref()?.persistent_volume_claim.as_ref()?;
    claim.metadata.name.clone().filter(|name| !name.is_empty())
}

fn data(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) -> DataVolume {
    match spec.persistence_type() {
        PersistenceType::EmptyDir => DataVolume::EmptyDir,
        PersistenceType::HostPath(path) if path.starts_with('/') => DataVolume::HostPath(path.to_owned()),
        PersistenceType::HostPath(path) => {
            faults.push(Fault::new("spec.persistence.hostPath", format!("{path:?} is no absolute path")));
            DataVolume::EmptyDir
        }
        PersistenceType::Claim => {
            let claim = spec
                .persistence
                .as_ref()
                .and_then(|persistence| persistence.persistent_volume_claim.as_ref());
            let Some(claim) = claim.and_then(|claim| claim.spec.as_ref()) else {
                faults.push(Fault::new(
                    "spec.persistence.persistentVolumeClaim",
                    "type pvc needs a claim with a spec: its size, class and access modes",
                ));
                return DataVolume::EmptyDir;
            };
            DataVolume::Claim(canonical(serde_json::to_value(claim).unwrap_or_default()))
        }
        PersistenceType::Unknown(word) => {
            faults.push(Fault::new(
                "spec.persistence.type",
                format!("{word:?} is unknown; use emptyDir, hostPath or pvc"),
            ));
            DataVolume::EmptyDir
        }
    }
}

/// Volume names that the template gives to its own volumes (12.1).
const RESERVED: [&str; 5] = ["certs", "etcd-client", "k0s-config", "konnectivity", "config"];

fn volumes(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) -> Vec<UserVolume> {
    let mut all: Vec<UserVolume> = Vec::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (index, manifest) in spec.manifests.iter().enumerate() {
        let volume = canonical(serde_json::to_value(manifest).unwrap_or_default());
        let name = manifest.name.clone();
        let path = format!("/var/lib/k0s/manifests/{name}");
        all.push(UserVolume { path, read_only: true, volume, name });
        note(&mut known, &all, format!("spec.manifests[{index}]"), faults);
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        let mut volume = canonical(serde_json::to_value(&mount.source).unwrap_or_default());
        let name = mount_volume(&mount.path);
        volume["name"] = json!(name);
        let read_only = mount.read_only.unwrap_or_default()
            || mount.source.config_map.is_some()
            || mount.source.secret.is_some();
        all.push(UserVolume { path: mount.path.clone(), read_only, volume, name });
        note(&mut known, &all, format!("spec.mounts[{index}]"), faults);
    }
    all
}

/// Two volumes of one name, or a name of ours, would make a pod that the API server refuses.
fn note(known: &mut BTreeMap<String, String>, all: &[UserVolume], path: String, faults: &mut Vec<Fault>) {
    let Some(UserVolume { name, .. }) = all.last() else { return };
    if RESERVED.contains(&name.as_str()) || name.starts_with("kmc-") {
        faults
            .push(Fault::new(path, format!("the volume name {name:?} is taken by the control plane itself")));
    } else if let Some(other) = known.insert(name.clone(), path.clone()) {
        faults.push(Fault::new(path, format!("it makes the volume {name:?}, as {other} does")));
    }
}

/// A part of the user's spec in the form in which the API server stores it.
pub fn canonical(value: Value) -> Value {
    clean(quantities(value, false))
}

/// The maps and fields whose values are quantities.
const QUANTITIES: [&str; 4] = ["limits", "requests", "sizeLimit", "divisor"];

fn quantities(value: Value, here: bool) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(key, value): (String, Value)| {
                let below = here || QUANTITIES.contains(&key.as_str());
                (key, quantities(value, below))
            };
            Value::Object(members.into_iter().map(member).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| quantities(item, here)).collect()),
        Value::String(text) if here => Value::String(quantity::canonical(&text)),
        scalar => scalar,
    }
}
