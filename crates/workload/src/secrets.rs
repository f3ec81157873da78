//! The Secrets of Clusters, watched: digests, never bytes.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject};
use reconcile::{Cache, Context};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is kept of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretFact {
    /// Its type.
    pub type_: String,
    /// The digest of each value, by key.
    pub digests: BTreeMap<String, String>,
}

impl From<&Secret> for SecretFact {
    fn from(secret: &Secret) -> Self {
        let data = secret.data.iter().flatten();
        Self {
            type_: secret.type_.clone().unwrap_or_default(),
            digests: data.map(|(key, ByteString(bytes))| (key.clone(), digest(bytes))).collect(),
        }
    }
}

/// The digest of a secret value: equal values have equal digests, and a value cannot be told from its digest.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The watch of all Secrets that carry the label of a Cluster (packaging-and-api 2.7), one for the process.
/// Other Secrets are read by name when they are needed.
pub fn secrets(context: &Context) -> Cache<SecretFact> {
    context.cache(ApiResource::erase::<Secret>(&()), "cluster.x-k8s.io/cluster-name", reduce)
}

fn reduce(object: DynamicObject) -> anyhow::Result<SecretFact> {
    let secret: Secret = object.try_parse()?;
    Ok(SecretFact::from(&secret))
}
