//! Secrets with keys and kubeconfigs (hosted.md 4).

use std::collections::BTreeMap;

use cluster_api::names::{SECRET_KEY_CERTIFICATE, SECRET_KEY_PRIVATE_KEY, SECRET_KEY_VALUE, SECRET_TYPE};
use kube::api::DynamicObject;
use pki::{PemPair, SecretBytes};
use serde_json::json;

use crate::cluster::facts::digest_of;
use crate::cluster::labels::Component;
use crate::cluster::wanted::Wanted;

/// Annotation: what a certificate or kubeconfig of ours was issued for, and a digest of what was written, so that
/// a look at the object tells whether it is still right.
pub const ISSUED_FOR: &str = "k0smotron.io/issued-for";

/// The value of [`ISSUED_FOR`].
pub fn issued(purpose: &str, data_digest: &str) -> String {
    format!("{purpose}:{data_digest}")
}

/// A Secret with a certificate (or public key) and its private key.
pub fn pair(wanted: &Wanted<'_>, name: &str, pair: &PemPair, issued_for: Option<&str>) -> DynamicObject {
    let data =
        [(SECRET_KEY_CERTIFICATE, pair.certificate.as_bytes()), (SECRET_KEY_PRIVATE_KEY, pair.key.expose())];
    secret(wanted, name, Component::Certificates, &data, issued_for, BTreeMap::new())
}

/// The Secret with the kubeconfig (4.4).
pub fn kubeconfig(wanted: &Wanted<'_>, name: &str, text: &SecretBytes, issued_for: &str) -> DynamicObject {
    let metadata = wanted.spec.kubeconfig_secret_metadata.clone().unwrap_or_default();
    let data = [(SECRET_KEY_VALUE, text.expose())];
    let mut object =
        secret(wanted, name, Component::Kubeconfig, &data, Some(issued_for), metadata.annotations);
    if let Some(labels) = &mut object.metadata.labels {
        let ours = std::mem::replace(labels, metadata.labels);
        labels.extend(ours);
    }
    object
}

fn secret(
    wanted: &Wanted<'_>,
    name: &str,
    component: Component,
    data: &[(&str, &[u8])],
    issued_for: Option<&str>,
    mut annotations: BTreeMap<String, String>,
) -> DynamicObject {
    if let Some(purpose) = issued_for {
        annotations.insert(ISSUED_FOR.to_owned(), issued(purpose, &digest_of(data.iter().copied())));
    }
    let data: BTreeMap<_, _> = data
        .iter()
        .map(|(key, bytes)| ((*key).to_owned(), k8s_openapi::ByteString(bytes.to_vec())))
        .collect();
    wanted.origin.secret(name, component, annotations, json!({"type": SECRET_TYPE, "data": data}))
}
