//! What a person can change that reaches the pods (hosted.md H-51): the digest of it decides whether a template is
//! made anew. Nothing that we render, discover or release is in it. What is absent, default or zero is left out,
//! so that fields which are added later change nothing.

use api::hosted::{CertificateType, ServiceType, StorageType};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::objects::config::sorted;
use super::wanted::{DataVolume, Wanted, canonical};

/// Version of this list; another one would make every template anew.
const VERSION: &str = "v1";

/// Digest of the wishes for control plane pods. `source` is the digest of the SQL database's address.
pub fn control_plane(wanted: &Wanted<'_>, source: Option<&str>) -> String {
    let spec = wanted.spec;
    let user = wanted.config.cut(&k0s::STATIC).listed;
    digest(json!({
        "image": spec.own_image(),
        "version": spec.wanted_version().map(k0s::image_tag),
        "serviceAccount": spec.wanted_service_account(),
        "externalAddress": spec.pinned_address(),
        "service": {
            "type": other(spec.service_type(), ServiceType::ClusterIp).map(|type_| json!(type_)),
            "apiPort": other(spec.api_port(), api::defaults::API_PORT),
            "konnectivityPort": other(spec.konnectivity_port(), api::defaults::KONNECTIVITY_PORT),
            "portAllocation": wanted.node_ports_are_chosen().then_some("Auto"),
        },
        "persistence": match &wanted.data {
            DataVolume::EmptyDir => Value::Null,
            DataVolume::HostPath(path) => json!({"hostPath": path}),
            // A claim's own fields cannot change in a StatefulSet; its name is a volume's.
            DataVolume::Claim(_) => json!({"claim": wanted.data_name}),
        },
        "storage": {
            "type": other(spec.storage_type(), StorageType::Etcd).map(|type_| json!(type_)),
            "source": source,
        },
        "k0sConfig": user,
        "certificates": certificates(wanted, &[CertificateType::Ca, CertificateType::Sa, CertificateType::Proxy,
            CertificateType::Etcd, CertificateType::ApiserverEtcdClient]),
        "manifests": canonical(json!(spec.manifests)),
        "mounts": canonical(json!(spec.mounts)),
        "flags": spec.control_plane_flags,
        "topologySpreadConstraints": canonical(json!(spec.topology_spread_constraints)),
        "resources": spec.resources.as_ref().map(|resources| canonical(json!(resources))),
        "restartAt": wanted.restart_at().0,
    }))
}

/// Digest of the wishes for etcd pods.
pub fn etcd(wanted: &Wanted<'_>) -> String {
    let spec = wanted.spec;
    let etcd = spec.etcd();
    digest(json!({
        "image": spec.own_etcd_image(),
        "args": etcd.map(|etcd| &etcd.args),
        "serviceAccount": spec.wanted_service_account(),
        "certificates": certificates(wanted, &[CertificateType::Etcd, CertificateType::EtcdPeer, CertificateType::EtcdServer]),
        "topologySpreadConstraints": canonical(json!(spec.topology_spread_constraints)),
        "resources": etcd.and_then(|etcd| etcd.resources.as_ref()).map(|resources| canonical(json!(resources))),
        "restartAt": wanted.restart_at().1,
    }))
}

fn certificates(wanted: &Wanted<'_>, purposes: &[CertificateType]) -> Value {
    let named = |purpose: &CertificateType| {
        let name = wanted.spec.own_certificate_secret(*purpose)?;
        // The default's own name says nothing.
        let default = wanted.names.secret(purpose.as_str());
        (name != default).then(|| (purpose.as_str().to_owned(), json!(name)))
    };
    Value::Object(purposes.iter().filter_map(named).collect::<Map<_, _>>())
}

#[allow(clippy::needless_pass_by_value)] // small constants
fn other<T: PartialEq>(value: T, default: T) -> Option<T> {
    (value != default).then_some(value)
}

fn digest(inputs: Value) -> String {
    let text = sorted(&said(inputs).unwrap_or_default()).to_string();
    format!("{VERSION}:{}", hex::encode(Sha256::digest(text)))
}

/// A value without what says nothing; `None` if that is all of it.
fn said(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then_some(Value::String(text)),
        Value::Array(items) => (!items.is_empty()).then_some(Value::Array(items)),
        Value::Object(members) => {
            let members: Map<_, _> =
                members.into_iter().filter_map(|(key, value)| Some((key, said(value)?))).collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        scalar => Some(scalar),
    }
}
