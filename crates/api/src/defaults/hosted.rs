//! Effective values of the hosted kinds (hosted chapter, sections 1 and 2).

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::hosted::{
    EtcdStorage, HostedControlPlaneSpec, PortAllocation, ServiceType, Storage, StorageType, VolumeRequest,
};

/// Image of k0s.
pub const K0S_IMAGE: &str = "quay.io/k0sproject/k0s";
/// Image of etcd.
pub const ETCD_IMAGE: &str = "quay.io/k0sproject/etcd:v3.7.1";
/// Port of the API.
pub const API_PORT: u16 = 30443;
/// Port of konnectivity.
pub const KONNECTIVITY_PORT: u16 = 30132;
/// Size of a volume.
pub const VOLUME_SIZE: &str = "1Gi";
/// What older releases stored as data source when there was none.
pub const KINE_PLACEHOLDER: &str = "__K0SMOTRON_KINE_DATASOURCE_URL_PLACEHOLDER__";
/// Seconds for which a smaller etcd must have been wanted: an autoscaler that flaps must not cost a member.
pub const ETCD_SCALE_DOWN_DELAY_SECONDS: i32 = 300;
/// Seconds after which a rollout without progress counts as stalled: longer than any image pull that succeeds.
pub const PROGRESS_DEADLINE_SECONDS: i32 = 600;

/// A string that says something: neither absent nor empty.
fn said(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// A port that can be one; validation has refused others, and stored zeros mean unset.
fn port(wanted: Option<i64>, default: u16) -> u16 {
    wanted.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(default)
}

/// A `namespace/name`-free choice of where the data of the control plane pods lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistenceType<'a> {
    /// Gone with the pod.
    EmptyDir,
    /// A directory of the node.
    HostPath(&'a str),
    /// A claim per pod.
    Claim,
    /// A word that means nothing.
    Unknown(&'a str),
}

/// Where kine's data come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KineSource<'a> {
    /// A Secret of the same namespace.
    Secret(&'a str),
    /// Written in the spec.
    Inline(&'a crate::Sensitive),
    /// Sqlite on the data volume.
    Sqlite,
}

impl HostedControlPlaneSpec {
    /// Control plane pods; a stored 0 means 1.
    pub fn effective_replicas(&self) -> i32 {
        self.replicas.filter(|replicas| *replicas > 0).unwrap_or(1)
    }

    /// The image the user asked for, if it is another than the default (H-1).
    pub fn own_image(&self) -> Option<&str> {
        said(self.image.as_ref()).filter(|image| *image != K0S_IMAGE)
    }

    /// The version the user asked for.
    pub fn wanted_version(&self) -> Option<&str> {
        said(self.version.as_ref())
    }

    /// The address the user pinned.
    pub fn pinned_address(&self) -> Option<&str> {
        said(self.external_address.as_ref())
    }

    /// The ServiceAccount of the pods.
    pub fn wanted_service_account(&self) -> Option<&str> {
        said(self.service_account.as_ref())
    }

    /// Type of the Service.
    pub fn service_type(&self) -> ServiceType {
        self.service.as_ref().and_then(|service| service.type_).unwrap_or_default()
    }

    /// Port of the API.
    pub fn api_port(&self) -> u16 {
        port(self.service.as_ref().and_then(|service| service.api_port), API_PORT)
    }

    /// Port of konnectivity.
    pub fn konnectivity_port(&self) -> u16 {
        port(self.service.as_ref().and_then(|service| service.konnectivity_port), KONNECTIVITY_PORT)
    }

    /// Who chooses node ports.
    pub fn port_allocation(&self) -> PortAllocation {
        self.service.as_ref().and_then(|service| service.port_allocation).unwrap_or_default()
    }

    /// Kind of storage.
    pub fn storage_type(&self) -> StorageType {
        self.storage.as_ref().and_then(|storage| storage.type_).unwrap_or_default()
    }

    /// Settings of etcd, if any are written.
    pub fn etcd(&self) -> Option<&EtcdStorage> {
        self.storage.as_ref().and_then(|storage| storage.etcd.as_ref())
    }

    /// The etcd image the user asked for, if it is another than the default (H-1).
    pub fn own_etcd_image(&self) -> Option<&str> {
        said(self.etcd()?.image.as_ref()).filter(|image| *image != ETCD_IMAGE)
    }

    /// Members of etcd: as written, else 1 for one replica, else the replicas rounded up to odd (9.2).
    pub fn etcd_replicas(&self) -> i32 {
        let written = self.etcd().and_then(|etcd| etcd.replicas).filter(|replicas| *replicas > 0);
        written.unwrap_or_else(|| match self.effective_replicas() {
            1 => 1,
            replicas => (replicas | 1).min(7),
        })
    }

    /// Size and class of each etcd volume; a stored size of 0 means unset.
    pub fn etcd_volume(&self) -> (Quantity, Option<&str>) {
        volume(self.etcd().and_then(|etcd| etcd.persistence.as_ref()))
    }

    /// Seconds for which a smaller etcd must have been wanted.
    pub fn etcd_scale_down_delay_seconds(&self) -> i32 {
        self.etcd().and_then(|etcd| etcd.scale_down_delay_seconds).unwrap_or(ETCD_SCALE_DOWN_DELAY_SECONDS)
    }

    /// Whether the claims of etcd go with the object.
    pub fn auto_delete_etcd_claims(&self) -> bool {
        self.etcd().and_then(|etcd| etcd.auto_delete_pvcs).unwrap_or_default()
    }

    /// Whether the claims of the data volume go with the object.
    pub fn auto_delete_claims(&self) -> bool {
        self.persistence.as_ref().and_then(|persistence| persistence.auto_delete_pvcs).unwrap_or_default()
    }

    /// Where the data of the control plane pods lives.
    pub fn persistence_type(&self) -> PersistenceType<'_> {
        let persistence = self.persistence.as_ref();
        let path = persistence.and_then(|persistence| said(persistence.host_path.as_ref()));
        match persistence.and_then(|persistence| said(persistence.type_.as_ref())) {
            None | Some("emptyDir") => PersistenceType::EmptyDir,
            Some("hostPath") => PersistenceType::HostPath(path.unwrap_or_default()),
            Some("pvc") => PersistenceType::Claim,
            Some(other) => PersistenceType::Unknown(other),
        }
    }

    /// Where kine's data come from. The placeholder that older releases stored means none.
    pub fn kine_source(&self) -> KineSource<'_> {
        let kine = self.storage.as_ref().and_then(|storage| storage.kine.as_ref());
        let secret = kine.and_then(|kine| said(kine.data_source_secret_name.as_ref()));
        let inline = kine.and_then(|kine| kine.data_source_url.as_ref());
        match (secret, inline.filter(|url| !url.is_empty() && ***url != *KINE_PLACEHOLDER)) {
            (Some(secret), _) => KineSource::Secret(secret),
            (None, Some(url)) => KineSource::Inline(url),
            (None, None) => KineSource::Sqlite,
        }
    }

    /// Seconds after which a rollout without progress counts as stalled.
    pub fn progress_deadline_seconds(&self) -> i32 {
        self.rollout
            .as_ref()
            .and_then(|rollout| rollout.progress_deadline_seconds)
            .unwrap_or(PROGRESS_DEADLINE_SECONDS)
    }

    /// Days for which the client certificate of the kubeconfig is valid.
    pub fn kubeconfig_validity_days(&self) -> i32 {
        self.kubeconfig.as_ref().and_then(|kubeconfig| kubeconfig.validity_days).unwrap_or(365)
    }

    /// The user in the kubeconfig.
    pub fn kubeconfig_user(&self) -> &str {
        self.kubeconfig
            .as_ref()
            .and_then(|kubeconfig| said(kubeconfig.user.as_ref()))
            .unwrap_or("kubernetes-admin")
    }

    /// The groups of the user in the kubeconfig.
    pub fn kubeconfig_groups(&self) -> Vec<String> {
        self.kubeconfig
            .as_ref()
            .and_then(|kubeconfig| kubeconfig.groups.clone())
            .unwrap_or_else(|| vec!["system:masters".to_owned()])
    }

    /// The Secret for a purpose: the one the user named, else `<name>-<purpose>` (H-9).
    pub fn certificate_secret(&self, name: &str, purpose: crate::hosted::CertificateType) -> String {
        self.own_certificate_secret(purpose)
            .map_or_else(|| format!("{name}-{}", purpose.as_str()), ToOwned::to_owned)
    }

    /// The Secret that the user named for a purpose.
    pub fn own_certificate_secret(&self, purpose: crate::hosted::CertificateType) -> Option<&str> {
        let reference = self.certificate_refs.iter().find(|reference| reference.type_ == purpose)?;
        said(reference.name.as_ref())
    }

    /// Whether JoinTokenRequests of another namespace are served (H-47).
    pub fn grants_tokens_to(&self, namespace: &str) -> bool {
        self.join_token_requests.as_ref().is_some_and(|grants| {
            grants.allowed_namespaces.iter().any(|allowed| allowed == "*" || allowed == namespace)
        })
    }
}

fn volume(request: Option<&VolumeRequest>) -> (Quantity, Option<&str>) {
    let size =
        request.and_then(|request| request.size.clone()).filter(|size| size.0 != "0" && !size.0.is_empty());
    let class = request.and_then(|request| said(request.storage_class.as_ref()));
    (size.unwrap_or_else(|| Quantity(VOLUME_SIZE.to_owned())), class)
}

impl Storage {
    /// Size and class of each NATS volume.
    pub fn nats_volume(&self) -> (Quantity, Option<&str>) {
        volume(self.nats.as_ref().and_then(|nats| nats.persistence.as_ref()))
    }
}
