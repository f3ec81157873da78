//! Content that a config takes from Secrets and ConfigMaps of its namespace.

use std::collections::BTreeMap;

use anyhow::Context as _;
use api::shared::ContentSource;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use pki::SecretBytes;
use reconcile::Key;
use serde::{Deserialize, Serialize};

use super::observe::ConfigFacts;

/// Something that a config names and that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The field that names it.
    pub field: String,
    /// What is missing, in words: the object, or a key of it.
    pub what: String,
}

type Data = BTreeMap<String, SecretBytes>;

/// The data of a Secret, if it exists.
pub(super) async fn secret(client: &Client, key: &Key) -> anyhow::Result<Option<Data>> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await.with_context(|| format!("cannot read Secret {key}"))?;
    let data = found.map(|secret| secret.data.unwrap_or_default());
    Ok(data.map(|data| data.into_iter().map(|(key, ByteString(bytes))| (key, bytes.into())).collect()))
}

/// The data of a ConfigMap, if it exists; text and bytes alike.
async fn config_map(client: &Client, key: &Key) -> anyhow::Result<Option<Data>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await.with_context(|| format!("cannot read ConfigMap {key}"))?;
    Ok(found.map(|map| {
        let bytes = map
            .binary_data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, ByteString(bytes))| (key, bytes.into()));
        let texts = map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into()));
        bytes.chain(texts).collect()
    }))
}

/// The content of one source, or what is missing. A Secret wins over a ConfigMap.
async fn resolve(
    client: &Client,
    namespace: &str,
    source: &ContentSource,
) -> anyhow::Result<Result<SecretBytes, String>> {
    let (kind, reference, data) = match (&source.secret_ref, &source.config_map_ref) {
        (Some(named), _) => ("Secret", named, secret(client, &Key::new(namespace, &*named.name)).await?),
        (None, Some(named)) => {
            ("ConfigMap", named, config_map(client, &Key::new(namespace, &*named.name)).await?)
        }
        (None, None) => return Ok(Err("a secretRef or a configMapRef".to_owned())),
    };
    let Some(mut data) = data else { return Ok(Err(format!("{kind} {namespace}/{}", reference.name))) };
    let found = data.remove(&reference.key);
    Ok(found.ok_or_else(|| format!("key {:?} of {kind} {namespace}/{}", reference.key, reference.name)))
}

/// What the sources of a config name and is not there.
pub(super) async fn missing(client: &Client, config: &ConfigFacts) -> anyhow::Result<Vec<Missing>> {
    let mut all = Vec::new();
    for (field, source) in config.sources() {
        if let Err(what) = resolve(client, &config.namespace, source).await? {
            all.push(Missing { field, what });
        }
    }
    Ok(all)
}

/// The content of every source of a config, by the path of its field.
pub(super) async fn contents(
    client: &Client,
    config: &ConfigFacts,
) -> anyhow::Result<BTreeMap<String, SecretBytes>> {
    let mut all = BTreeMap::new();
    for (field, source) in config.sources() {
        let content = resolve(client, &config.namespace, source).await?;
        let content = content.map_err(|what| anyhow::anyhow!("{field}: {what} does not exist"))?;
        all.insert(field, content);
    }
    Ok(all)
}
