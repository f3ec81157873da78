//! Everything that the data of one worker depend on.

use api::shared::ContentSource;
use api::{K0sWorkerConfig, K0sWorkerConfigSpec, K0sWorkerConfigStatus};
use cluster_api::names::{SECRET_KEY_CERTIFICATE, authority_secret};
use cluster_api::{Cluster, machine_owner, machine_pool_owner};
use jiff::Timestamp;
use reconcile::{Entry, Key, Pass};
use serde::{Deserialize, Serialize};
use workload::{Reach, SecretFact};

use super::content::{self, Missing};
use super::decide::before_reads;
use super::token::TokenRecord;
use super::{Workers, is_hosted};

/// The facts of a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// When.
    pub now: Timestamp,
    /// The config.
    pub config: ConfigFacts,
    /// Its status as written before.
    #[serde(default)]
    pub status: K0sWorkerConfigStatus,
    /// The Machine or MachinePool that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerFacts>,
    /// The Cluster of that owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterFacts>,
    /// The Secret of the config's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataFacts>,
    /// The Secret with the cluster's authority has a certificate.
    #[serde(default)]
    pub authority: bool,
    /// What `contentFrom` and `customUserDataRef` name and is not there. Read only when all else is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<Missing>>,
    /// `<profile>-<minor>` of the worker configurations that the cluster serves; or why it does not answer. Read
    /// only when all else is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Reach<Vec<String>>>,
}

/// What of a config matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigFacts {
    /// Its name, which is also the name of the Secret with the data.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid, from which the id of its token is derived.
    pub uid: String,
    /// Its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// It is being deleted.
    pub deleting: bool,
    /// The value of `--watch-filter` that it carries, copied to what is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch_filter: Option<String>,
    /// What the user wants.
    pub spec: K0sWorkerConfigSpec,
}

/// Machine or MachinePool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerFacts {
    /// A MachinePool: hosts come at any time, and have names of their own.
    pub pool: bool,
    /// Its name.
    pub name: String,
    /// Its Cluster.
    pub cluster: String,
    /// The Kubernetes version that it wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The Machine has its Node.
    pub joined: bool,
}

/// What of a Cluster matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterFacts {
    /// Its name.
    pub name: String,
    /// Its infrastructure is there.
    pub infrastructure_provisioned: bool,
    /// `host:port`, brackets around IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its control plane accepts requests.
    pub control_plane_initialized: bool,
    /// Its control plane runs in pods of this management cluster.
    pub hosted: bool,
}

/// What of the Secret with the data matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataFacts {
    /// Its uid.
    pub uid: String,
    /// The config is its controller, or nobody is.
    pub ours: bool,
    /// It has data.
    pub complete: bool,
    /// The token in it, if we issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenRecord>,
}

impl ConfigFacts {
    fn new(config: &K0sWorkerConfig) -> Self {
        let meta = &config.metadata;
        let labels = meta.labels.as_ref();
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation,
            deleting: meta.deletion_timestamp.is_some(),
            watch_filter: labels.and_then(|all| all.get(reconcile::WATCH_FILTER_LABEL)).cloned(),
            spec: config.spec.clone(),
        }
    }

    /// The sources that the spec names, each with the path of its field.
    pub fn sources(&self) -> Vec<(String, &ContentSource)> {
        let files = self.spec.files.iter().enumerate();
        let files = files.filter_map(|(n, file)| {
            Some((format!("spec.files[{n}].contentFrom"), file.content_from.as_ref()?))
        });
        let custom =
            self.spec.provisioner.as_ref().and_then(|provisioner| provisioner.custom_user_data_ref.as_ref());
        files.chain(custom.map(|source| ("spec.provisioner.customUserDataRef".to_owned(), source))).collect()
    }
}

impl From<&Cluster> for ClusterFacts {
    fn from(cluster: &Cluster) -> Self {
        Self {
            name: cluster.metadata.name.clone().unwrap_or_default(),
            infrastructure_provisioned: cluster.infrastructure_provisioned(),
            endpoint: cluster.endpoint().map(ToString::to_string),
            control_plane_initialized: cluster.control_plane_initialized(),
            hosted: is_hosted(cluster),
        }
    }
}

impl DataFacts {
    fn new(secret: &Entry<SecretFact>, config: &ConfigFacts) -> Self {
        let controller =
            secret.meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        Self {
            uid: secret.uid().to_owned(),
            ours: controller.is_none_or(|owner| owner.uid == config.uid),
            complete: secret.fact.digests.contains_key("value"),
            token: TokenRecord::read(secret.meta.annotations.as_ref()),
        }
    }
}

impl Observed {
    /// The key of the Cluster; empty while there is none.
    pub fn cluster_key(&self) -> Key {
        let name = self.cluster.as_ref().map(|cluster| cluster.name.as_str()).unwrap_or_default();
        Key::new(&*self.config.namespace, name)
    }

    /// Whether the control plane runs in pods of this management cluster.
    pub fn hosted(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.hosted)
    }
}

impl Workers {
    pub(super) async fn look(&self, pass: &Pass<K0sWorkerConfig>) -> anyhow::Result<Observed> {
        let config = ConfigFacts::new(&pass.object);
        let owner = self.owner(pass).await?;
        let cluster = match &owner {
            Some(owner) => pass.get_here(&self.clusters, &owner.cluster).await?,
            None => None,
        };
        let cluster = cluster.map(|entry| ClusterFacts::from(&entry.fact));
        let data =
            pass.get_here(&self.secrets, &config.name).await?.map(|entry| DataFacts::new(&entry, &config));
        let authority = match &cluster {
            Some(cluster) if data.is_none() => self.has_authority(pass, &cluster.name).await?,
            _ => data.is_some(),
        };
        let status = pass.object.status.clone().unwrap_or_default();
        let mut observed = Observed {
            now: pass.now,
            config,
            status,
            owner,
            cluster,
            data,
            authority,
            missing: None,
            served: None,
        };
        self.remember_token(&pass.key, &observed);
        if before_reads(&observed).is_none() {
            observed.missing = Some(content::missing(&self.client, &observed.config).await?);
            observed.served = Some(self.served(&observed).await?);
        }
        Ok(observed)
    }

    async fn owner(&self, pass: &Pass<K0sWorkerConfig>) -> anyhow::Result<Option<OwnerFacts>> {
        let meta = &pass.object.metadata;
        if let Some(owner) = machine_owner(meta) {
            let machine = pass.get_here(&self.machines, owner.name).await?;
            return Ok(machine.map(|entry| OwnerFacts {
                pool: false,
                name: owner.name.to_owned(),
                cluster: entry.fact.spec.cluster_name.clone(),
                version: entry.fact.spec.version.clone(),
                joined: entry.fact.node_name().is_some(),
            }));
        }
        let Some(owner) = machine_pool_owner(meta) else { return Ok(None) };
        let pool = pass.get_here(&self.pools, owner.name).await?;
        Ok(pool.map(|entry| OwnerFacts {
            pool: true,
            name: owner.name.to_owned(),
            cluster: entry.fact.spec.cluster_name.clone(),
            version: entry.fact.spec.template.spec.version.clone(),
            joined: false,
        }))
    }

    /// The user's own authorities may lack the label by which Secrets are watched: those are read.
    async fn has_authority(&self, pass: &Pass<K0sWorkerConfig>, cluster: &str) -> anyhow::Result<bool> {
        let name = authority_secret(cluster, "ca");
        if let Some(entry) = pass.get_here(&self.secrets, &name).await? {
            return Ok(entry.fact.digests.contains_key(SECRET_KEY_CERTIFICATE));
        }
        let found = content::secret(&self.client, &Key::new(&*pass.key.namespace, &*name)).await?;
        Ok(found.is_some_and(|data| data.contains_key(SECRET_KEY_CERTIFICATE)))
    }

    async fn served(&self, observed: &Observed) -> anyhow::Result<Reach<Vec<String>>> {
        match self.children.of(&observed.cluster_key(), observed.hosted()).await? {
            Reach::Yes(child) => Ok(child.worker_configs().await),
            Reach::No(why) => Ok(Reach::No(why)),
        }
    }
}
