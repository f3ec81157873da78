//! Every read of a pass, into plain data. Secrets become digests.

use std::collections::BTreeMap;

use anyhow::Context as _;
use api::remote_machine::{HostKeyPolicy, RemoteMachine};
use cluster_api::names::LABEL_CLUSTER_NAME;
use cluster_api::{Cluster, Machine, machine_owner};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reconcile::Pass;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{RemoteMachines, SKIP_ETCD_LEAVE};
use crate::data::Payload;
use crate::facts::{CleanUpFacts, Role};
use crate::failure::{Failure, Reason};
use crate::ssh::{UserKey, pins};
use crate::tasks::{Run, State, Task};

/// Everything that a decision looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// The object itself.
    pub remote: RemoteMachine,
    /// The Machine that owns it.
    #[serde(default)]
    pub machine: Option<MachineFacts>,
    /// The Cluster of that Machine.
    #[serde(default)]
    pub cluster: Option<ClusterFacts>,
    /// What this process does on the host.
    #[serde(default)]
    pub task: Option<Task>,
    /// What work on the host would be started with; read only when it may be started.
    #[serde(default)]
    pub input: Option<Input>,
}

/// What counts of a Machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineFacts {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The Secret with the bootstrap data.
    pub data_secret: Option<String>,
    /// The kind of its bootstrap config.
    pub config_kind: Option<String>,
    /// Its host stays in the etcd cluster.
    pub skip_etcd_leave: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// We have written labels or annotations to it.
    pub ours: bool,
}

/// What counts of a Cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterFacts {
    /// Machines may be made.
    pub infrastructure_provisioned: bool,
    /// The Cluster as a whole is being deleted.
    pub deleting: bool,
}

impl ClusterFacts {
    pub(super) fn of(cluster: &Cluster) -> Self {
        Self {
            infrastructure_provisioned: cluster.infrastructure_provisioned(),
            deleting: cluster.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// What work on the host needs, as far as it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Digest of the user's key.
    pub key: Result<String, Failure>,
    /// Digest of the keys that the host may show; empty when there are none to compare with.
    pub host_keys: Result<String, Failure>,
    /// The bootstrap data; not read for a clean-up.
    #[serde(default)]
    pub data: Option<Result<DataFacts, Failure>>,
}

/// What counts of the bootstrap data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataFacts {
    /// The id of the run.
    pub run: String,
    /// How many steps it has.
    pub steps: usize,
    /// What its undoing needs.
    pub facts: CleanUpFacts,
}

impl RemoteMachines {
    pub(super) async fn read(&self, pass: &Pass<RemoteMachine>) -> anyhow::Result<Observed> {
        let remote = pass.object.as_ref();
        let owner = machine_owner(&remote.metadata).map(|owner| owner.name.to_owned());
        let machine = match &owner {
            Some(name) => pass.get_here(&self.machines, name).await?,
            None => None,
        };
        let cluster_name = machine
            .as_ref()
            .and_then(|machine| machine.label(LABEL_CLUSTER_NAME).map(ToOwned::to_owned))
            .or_else(|| cluster_api::cluster_name_label(&remote.metadata).map(ToOwned::to_owned));
        let cluster = match &cluster_name {
            Some(name) => pass.get_here(&self.clusters, name).await?,
            None => None,
        };
        let uid = remote.metadata.uid.as_deref().unwrap_or_default();
        let mut observed = Observed {
            now: pass.now,
            remote: remote.clone(),
            machine: machine.map(|entry| facts(&entry.fact, entry.ours.is_some())),
            cluster: cluster.map(|entry| ClusterFacts::of(&entry.fact)),
            task: self.tasks.of(&pass.key, uid),
            input: None,
        };
        if observed.needs_input() {
            observed.input = Some(self.input(&observed).await?);
        }
        Ok(observed)
    }

    async fn input(&self, observed: &Observed) -> anyhow::Result<Input> {
        let key = self.user_key(&observed.remote).await?;
        let host_keys = self.host_keys(&observed.remote).await?;
        let data = if observed.deleting() { None } else { self.payload(observed).await? };
        Ok(Input {
            key: key.map(|key| key.digest().to_owned()),
            host_keys: host_keys.map(|keys| {
                let keys: Vec<String> = keys.into_iter().collect();
                hex::encode(&Sha256::digest(keys.join(" "))[..4])
            }),
            data: data.map(|data| {
                data.map(|payload| DataFacts {
                    run: payload.run_id(observed.uid()),
                    steps: if observed.remote.spec.runs_as_script() { 1 } else { payload.steps.len() },
                    facts: payload.facts,
                })
            }),
        })
    }

    /// The user's key, or why there is none (5.1).
    pub(super) async fn user_key(&self, remote: &RemoteMachine) -> anyhow::Result<Result<UserKey, Failure>> {
        let Some(name) = remote.spec.ssh_key_secret() else {
            return Ok(Err(Failure::new(
                Reason::MissingFields,
                "spec.sshKeyRef is not set; name the Secret with the private SSH key",
            )));
        };
        let Some(data) = self.secret(remote, name).await? else {
            return Ok(Err(Failure::new(
                Reason::SSHKeyMissing,
                format!(
                    "Secret {name} of spec.sshKeyRef does not exist; create it with the private SSH key under \"value\""
                ),
            )));
        };
        let wanted = remote.spec.ssh_key_ref.as_ref().and_then(|reference| reference.key.as_deref());
        let names: Vec<&str> = wanted.map_or_else(|| vec!["value", "ssh-privatekey"], |key| vec![key]);
        let Some(text) = names.iter().find_map(|name| data.get(*name)) else {
            return Ok(Err(Failure::new(
                Reason::SSHKeyMissing,
                format!("Secret {name} of spec.sshKeyRef has no key {}", names.join(" or ")),
            )));
        };
        let text_of = |key: &str| data.get(key).and_then(|value| std::str::from_utf8(&value.0).ok());
        let passphrase = text_of("passphrase").map(|text| text.trim_end_matches('\n'));
        let key = UserKey::parse(
            std::str::from_utf8(&text.0).unwrap_or_default(),
            passphrase,
            text_of("ssh-publickey-cert"),
        );
        Ok(key.map_err(|fault| {
            Failure::new(Reason::SSHKeyInvalid, format!("Secret {name} of spec.sshKeyRef: {fault}"))
        }))
    }

    /// The keys that the user pinned; none unless the policy is `Pinned`.
    pub(super) async fn host_keys(
        &self,
        remote: &RemoteMachine,
    ) -> anyhow::Result<Result<std::collections::BTreeSet<String>, Failure>> {
        if remote.spec.effective_host_key_policy() != HostKeyPolicy::Pinned {
            return Ok(Ok(std::collections::BTreeSet::new()));
        }
        let invalid = |why: String| Failure::new(Reason::HostKeysInvalid, why);
        let mut known_hosts = None;
        if let Some(reference) = &remote.spec.host_keys_ref {
            let key = reference.key.as_deref().unwrap_or("known_hosts");
            let data = self.secret(remote, &reference.name).await?;
            let Some(text) = data.as_ref().and_then(|data| data.get(key)) else {
                let name = &reference.name;
                return Ok(Err(invalid(format!(
                    "Secret {name} of spec.hostKeysRef does not exist or has no key {key}"
                ))));
            };
            known_hosts = Some(String::from_utf8_lossy(&text.0).into_owned());
        }
        let address = remote.spec.wanted_address().unwrap_or_default();
        let pinned =
            pins(&remote.spec.host_keys, known_hosts.as_deref(), address, remote.spec.effective_port());
        Ok(pinned.map_err(|fault| invalid(fault.to_string())))
    }

    /// The bootstrap data; `None` while the Machine names none. A live read by name: any Secret will do.
    pub(super) async fn payload(
        &self,
        observed: &Observed,
    ) -> anyhow::Result<Option<Result<Payload, Failure>>> {
        let Some(name) = observed.machine.as_ref().and_then(|machine| machine.data_secret.as_deref()) else {
            return Ok(None);
        };
        let role =
            observed.machine.as_ref().and_then(|machine| Role::of_config(machine.config_kind.as_deref()?));
        Ok(Some(match self.secret(&observed.remote, name).await? {
            Some(data) => Payload::read(&data, role),
            None => Err(Failure::new(
                Reason::BootstrapSecretMissing,
                format!("Secret {name} of the Machine's bootstrap data does not exist"),
            )),
        }))
    }

    async fn secret(
        &self,
        remote: &RemoteMachine,
        name: &str,
    ) -> anyhow::Result<Option<BTreeMap<String, ByteString>>> {
        let namespace = remote.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found =
            api.get_opt(name).await.with_context(|| format!("cannot read Secret {namespace}/{name}"))?;
        Ok(found.map(|secret| secret.data.unwrap_or_default()))
    }
}

fn facts(machine: &Machine, ours: bool) -> MachineFacts {
    let annotations = machine.metadata.annotations.clone().unwrap_or_default();
    MachineFacts {
        name: machine.metadata.name.clone().unwrap_or_default(),
        uid: machine.metadata.uid.clone().unwrap_or_default(),
        data_secret: machine.data_secret_name().map(ToOwned::to_owned),
        config_kind: machine.spec.bootstrap.config_ref.as_ref().map(|reference| reference.kind.clone()),
        skip_etcd_leave: annotations.contains_key(SKIP_ETCD_LEAVE),
        labels: machine.metadata.labels.clone().unwrap_or_default(),
        annotations,
        ours,
    }
}

impl Observed {
    /// The uid of the RemoteMachine.
    pub fn uid(&self) -> &str {
        self.remote.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its deletion was asked for.
    pub fn deleting(&self) -> bool {
        self.remote.metadata.deletion_timestamp.is_some()
    }

    /// It is bootstrapped: said so, or its provider ID is set, which we do at the end only.
    pub fn provisioned(&self) -> bool {
        let status = self.remote.status.as_ref();
        let said = status.and_then(|status| status.initialization.as_ref()?.provisioned) == Some(true);
        said || self.remote.spec.provider_id.as_deref().is_some_and(|id| !id.is_empty())
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.remote.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// A user's wish: an annotation with value `true`.
    pub fn wished(&self, key: &str) -> bool {
        self.annotation(key) == Some("true")
    }

    /// Our finalizer is on it.
    pub fn held(&self) -> bool {
        self.remote.metadata.finalizers.iter().flatten().any(|one| one == super::FINALIZER)
    }

    /// The run that is going on, else the one that would be started.
    pub fn run(&self) -> Option<Run> {
        let data = self.input.as_ref().and_then(|input| input.data.as_ref()?.as_ref().ok());
        let running = self.task.as_ref().and_then(|task| task.run.clone());
        running.or_else(|| data.map(|data| Run { id: data.run.clone(), steps: data.steps }))
    }

    /// Secrets are read only when work on the host may follow: a settled or waiting machine costs no request.
    fn needs_input(&self) -> bool {
        let running = self.task.as_ref().is_some_and(|task| matches!(task.state, State::Running { .. }));
        if self.deleting() {
            return self.held() && !running;
        }
        let waiting = self.cluster.is_none_or(|cluster| !cluster.infrastructure_provisioned);
        let named = self.machine.as_ref().is_some_and(|machine| machine.data_secret.is_some());
        !self.provisioned() && !running && !waiting && named && self.held()
    }

    /// What work is started with: other input, other work.
    pub fn input_digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.remote.metadata.generation.unwrap_or_default().to_be_bytes());
        hasher.update(self.annotation(super::SSH_HOST_KEY).unwrap_or_default());
        if let Some(input) = &self.input {
            // Plain data: there is nothing that JSON could not say.
            hasher.update(serde_json::to_vec(input).unwrap_or_default());
        }
        hex::encode(&hasher.finalize()[..8])
    }
}
