//! The acts: a token in the child, and the Secret with the data.

use anyhow::{Context as _, bail};
use api::K0sWorkerConfig;
use bootstrap_data::{cloud_config, from_json, to_json};
use cluster_api::names::{
    LABEL_CLUSTER_NAME, SECRET_KEY_CERTIFICATE, SECRET_KEY_FORMAT, SECRET_KEY_VALUE, SECRET_TYPE,
    authority_secret,
};
use jiff::Timestamp;
use k0s::{BootstrapToken, JoinToken, Role, bootstrap_secret};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use reconcile::{Key, Pass};
use serde_json::json;
use workload::{Child, Made, new_token};

use super::content::{self, contents};
use super::observe::Observed;
use super::parts::Parts;
use super::token::{self, TokenRecord};
use super::{SETUP_KEY, Workers, setup};

/// Ids that somebody else uses, in a row, before we give up: with 36^6 ids one is unlikely, two are a defect.
const ATTEMPTS: u32 = 8;

impl Workers {
    /// Renders everything first: the token is the last thing that can fail (9.3).
    pub(super) async fn make_data(
        &self,
        pass: &Pass<K0sWorkerConfig>,
        observed: &Observed,
    ) -> anyhow::Result<bool> {
        let (Some(owner), Some(cluster)) = (&observed.owner, &observed.cluster) else { return Ok(false) };
        let Some(endpoint) = &cluster.endpoint else { return Ok(false) };
        let config = &observed.config;
        let parts = Parts::read(&config.spec, owner).map_err(|faults| {
            anyhow::anyhow!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let name = authority_secret(&cluster.name, "ca");
        let secret = content::secret(&self.client, &Key::new(&*config.namespace, &*name)).await?;
        let authority = secret.as_ref().and_then(|data| data.get(SECRET_KEY_CERTIFICATE));
        let authority = authority
            .with_context(|| format!("Secret {name} has no certificate any more"))?
            .expose()
            .to_vec();
        let contents = contents(&self.client, config).await?;
        let child = self.child(observed).await?;
        let (token, known) = find_token(&child, &config.uid).await?;
        let join = JoinToken { role: Role::Worker, server: format!("https://{endpoint}"), authority, token };
        let setup = setup::setup(&config.spec, &parts, &contents, join.encode()?, self.script)?;
        let text = cloud_config(&setup)?;
        let expires = token::end(observed.now);
        let record = TokenRecord { id: join.token.id().to_owned(), expires: Some(expires) };
        if known {
            child.extend_token(&record.id, expires).await.required()?;
        } else {
            create_token(&child, observed, &join.token, expires).await?;
        }
        let object = data_secret(observed, &record, text.expose(), to_json(&setup).expose())?;
        if !pass.create(&object).await? {
            bail!(
                "Secret {}/{} exists and lacks the label {LABEL_CLUSTER_NAME}; remove it, or give the config another name",
                config.namespace,
                config.name
            );
        }
        Ok(true)
    }

    /// The same text stays valid: the data need not change (9.3). A token that the child has removed is created
    /// again with the same id and secret, which the data hold.
    pub(super) async fn extend_token(
        &self,
        pass: &Pass<K0sWorkerConfig>,
        observed: &Observed,
    ) -> anyhow::Result<bool> {
        let Some(record) = observed.data.as_ref().and_then(|data| data.token.clone()) else {
            return Ok(false);
        };
        let child = self.child(observed).await?;
        let expires = token::end(observed.now);
        if !child.extend_token(&record.id, expires).await.required()? {
            let token = self.issued_token(observed).await?;
            create_token(&child, observed, &token, expires).await?;
        }
        self.record(pass, observed, &TokenRecord { expires: Some(expires), ..record }).await
    }

    /// A token that has ended by itself needs no visit to the child.
    pub(super) async fn remove_token(
        &self,
        pass: &Pass<K0sWorkerConfig>,
        observed: &Observed,
    ) -> anyhow::Result<bool> {
        let Some(record) = observed.data.as_ref().and_then(|data| data.token.clone()) else {
            return Ok(false);
        };
        if record.expires.is_some_and(|end| end > observed.now) {
            self.child(observed).await?.delete_token(&record.id).await.required()?;
        }
        self.record(pass, observed, &TokenRecord { expires: None, ..record }).await
    }

    async fn child(&self, observed: &Observed) -> anyhow::Result<Child> {
        self.children.of(&observed.cluster_key(), observed.hosted()).await?.required()
    }

    /// Writes the two annotations, and nothing else, of the Secret with the data.
    async fn record(
        &self,
        pass: &Pass<K0sWorkerConfig>,
        observed: &Observed,
        record: &TokenRecord,
    ) -> anyhow::Result<bool> {
        let uid = observed.data.as_ref().map(|data| data.uid.as_str());
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": observed.config.name,
                "namespace": observed.config.namespace,
                "uid": uid,
                "annotations": record.annotations(),
            },
        });
        pass.apply(&serde_json::from_value(object)?).await
    }

    /// The token that is in the data.
    async fn issued_token(&self, observed: &Observed) -> anyhow::Result<BootstrapToken> {
        let config = &observed.config;
        let key = Key::new(&*config.namespace, &*config.name);
        let data =
            content::secret(&self.client, &key).await?.with_context(|| format!("Secret {key} is gone"))?;
        let setup = data.get(SETUP_KEY).with_context(|| format!("Secret {key} has no key {SETUP_KEY}"))?;
        let setup = from_json(setup.expose())?;
        let join = setup.files.iter().find_map(|file| JoinToken::decode(file.content.expose()).ok());
        Ok(join.with_context(|| format!("Secret {key} holds no join token"))?.token)
    }
}

/// The token of this config: the one that a former attempt left in the child, or a new one under a free id.
async fn find_token(child: &Child, uid: &str) -> anyhow::Result<(BootstrapToken, bool)> {
    for attempt in 0..ATTEMPTS {
        let id = token::derived_id(uid, attempt);
        match child.token(&id).await.required()? {
            None => return Ok((new_token(&id)?, false)),
            Some(found) if token::is_of(&found.description, uid) => {
                return Ok((BootstrapToken::new(&id, &found.secret)?, true));
            }
            Some(_) => tracing::debug!(id, "token id is used by somebody else"),
        }
    }
    bail!("no free token id in {ATTEMPTS} attempts")
}

async fn create_token(
    child: &Child,
    observed: &Observed,
    token: &BootstrapToken,
    expires: Timestamp,
) -> anyhow::Result<()> {
    let config = &observed.config;
    let description = token::description(&config.namespace, &config.name, &config.uid);
    let secret = bootstrap_secret(token, Role::Worker, &description, Some(expires));
    let secret: Secret = serde_json::from_value(secret)?;
    match child.create_token(&secret).await.required()? {
        Made::New => Ok(()),
        Made::Present => bail!("join token {} appeared in the cluster in the meantime", token.id()),
    }
}

/// The Secret with the data (6.1, contract 4.2): named after the config, so that it is found again after a move.
fn data_secret(
    observed: &Observed,
    record: &TokenRecord,
    text: &[u8],
    setup: &[u8],
) -> anyhow::Result<DynamicObject> {
    let config = &observed.config;
    let mut labels = std::collections::BTreeMap::from([
        (LABEL_CLUSTER_NAME.to_owned(), observed.cluster_key().name),
        ("app.kubernetes.io/component".to_owned(), "bootstrap".to_owned()),
    ]);
    if let Some(filter) = &config.watch_filter {
        labels.insert(reconcile::WATCH_FILTER_LABEL.to_owned(), filter.clone());
    }
    let mut annotations = record.annotations();
    if let Some(metadata) = &config.spec.secret_metadata {
        labels.extend(metadata.labels.clone());
        annotations.extend(metadata.annotations.clone());
    }
    let data = [(SECRET_KEY_VALUE, text), (SECRET_KEY_FORMAT, b"cloud-config"), (SETUP_KEY, setup)];
    let data: std::collections::BTreeMap<&str, ByteString> =
        data.into_iter().map(|(key, bytes)| (key, ByteString(bytes.to_vec()))).collect();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": config.name,
            "namespace": config.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2",
                "kind": "K0sWorkerConfig",
                "name": config.name,
                "uid": config.uid,
                "controller": true,
            }],
        },
        "type": SECRET_TYPE,
        "data": data,
    });
    Ok(serde_json::from_value(object)?)
}
