//! Acts that are no Kubernetes writes: long work on a host is started, cancelled and forgotten.

use std::collections::BTreeSet;

use anyhow::Context as _;
use api::remote_machine::{HostKeyPolicy, RemoteMachine};
use kube::Api;
use kube::api::{Patch, PatchParams};
use reconcile::{FIELD_MANAGER, Pass};
use serde_json::{Value, json};

use super::observe::Observed;
use super::{CLEAN_UP, FORCE_PROVISION, RemoteMachines, SSH_HOST_KEY};
use crate::facts::{CleanUpFacts, Role};
use crate::failure::Failure;
use crate::host::{Access, CleanUp, Job, clean_up, provision};
use crate::ssh::{Connection, Target, Trust, fingerprint_of};
use crate::tasks::{State, Work};

/// An act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// Ask the host for its key.
    Learn,
    /// See whether the host lets us in.
    LogIn,
    /// Bootstrap the host.
    Provision,
    /// Clean the host.
    CleanUp,
    /// Cancel and forget what is done on the host.
    Forget,
    /// Remove annotations from the object.
    TakeAnnotations(Vec<String>),
}

impl RemoteMachines {
    pub(super) async fn carry_out(
        &self,
        pass: &Pass<RemoteMachine>,
        observed: &Observed,
        own: &Own,
    ) -> anyhow::Result<bool> {
        match own {
            Own::Forget => {
                self.tasks.cancel(&pass.key);
                Ok(true)
            }
            Own::TakeAnnotations(names) => self.take_annotations(&pass.object, names).await,
            Own::Learn => {
                let target = target(&observed.remote);
                self.start(pass, observed, Work::Learn, |_| async move {
                    Ok(State::Learned { fingerprint: fingerprint_of(&target).await? })
                });
                Ok(true)
            }
            Own::LogIn => {
                let Some(access) = self.access(observed).await? else { return Ok(false) };
                self.start(pass, observed, Work::LogIn, |_| async move {
                    Connection::open(&access.target, &access.trust, &access.key).await?.close().await;
                    Ok(State::LetIn)
                });
                Ok(true)
            }
            Own::Provision => {
                let Some(access) = self.access(observed).await? else { return Ok(false) };
                let Some(Ok(payload)) = self.payload(observed).await? else { return Ok(false) };
                let spec = &observed.remote.spec;
                let limits = spec.deadlines();
                let job = Job {
                    owner: observed.uid().to_owned(),
                    run: payload.run_id(observed.uid()),
                    working_dir: spec.effective_working_dir().to_owned(),
                    payload,
                    as_script: spec.runs_as_script(),
                    command_limit: limits.command,
                    total_limit: limits.total,
                    force: observed.wished(FORCE_PROVISION),
                };
                self.start(pass, observed, Work::Provision, |reporter| async move {
                    let done = provision(&access, &job, &|progress: &crate::host::Progress| {
                        reporter.progress(progress);
                    })
                    .await?;
                    Ok(State::Provisioned { host: done.host })
                });
                Ok(true)
            }
            Own::CleanUp => {
                let Some(access) = self.access(observed).await? else { return Ok(false) };
                let job = clean_up_job(observed);
                self.start(pass, observed, Work::CleanUp, |_| async move {
                    // Whatever a clean-up dies of, its condition says that it is one.
                    let remarks = clean_up(&access, &job).await?;
                    for remark in &remarks {
                        tracing::info!(remark, "clean-up");
                    }
                    Ok(State::Cleaned { remarks })
                });
                Ok(true)
            }
        }
    }

    fn start<F>(
        &self,
        pass: &Pass<RemoteMachine>,
        observed: &Observed,
        work: Work,
        what: impl FnOnce(crate::tasks::Reporter) -> F,
    ) where
        F: Future<Output = Result<State, Failure>> + Send + 'static,
    {
        tracing::info!(?work, address = observed.remote.spec.wanted_address(), "work on the host begins");
        let run = observed.run().filter(|_| work == Work::Provision);
        self.tasks.start(&pass.key, observed.uid(), work, &observed.input_digest(), run, what);
    }

    /// The way to the host; `None` when something went missing since it was observed.
    async fn access(&self, observed: &Observed) -> anyhow::Result<Option<Access>> {
        let Ok(key) = self.user_key(&observed.remote).await? else { return Ok(None) };
        let Ok(pinned) = self.host_keys(&observed.remote).await? else { return Ok(None) };
        let spec = &observed.remote.spec;
        let trust = match spec.effective_host_key_policy() {
            HostKeyPolicy::Insecure => Trust::Any,
            HostKeyPolicy::Pinned => Trust::Only(pinned),
            HostKeyPolicy::TrustOnFirstUse => {
                let Some(known) = observed.annotation(SSH_HOST_KEY) else { return Ok(None) };
                Trust::Only(BTreeSet::from([known.to_owned()]))
            }
        };
        let privileged = spec.needs_sudo();
        Ok(Some(Access { target: target(&observed.remote), trust, key, privileged }))
    }

    async fn take_annotations(&self, remote: &RemoteMachine, names: &[String]) -> anyhow::Result<bool> {
        let namespace = remote.metadata.namespace.as_deref().unwrap_or_default();
        let name = remote.metadata.name.as_deref().unwrap_or_default();
        let api: Api<RemoteMachine> = Api::namespaced(self.client.clone(), namespace);
        let none: serde_json::Map<String, Value> =
            names.iter().map(|name| (name.clone(), Value::Null)).collect();
        let how = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = json!({"metadata": {"uid": remote.metadata.uid, "annotations": none}});
        api.patch(name, &how, &Patch::Merge(&patch))
            .await
            .with_context(|| format!("cannot remove annotations of RemoteMachine {namespace}/{name}"))?;
        Ok(true)
    }
}

fn target(remote: &RemoteMachine) -> Target {
    Target {
        address: remote.spec.wanted_address().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        port: remote.spec.effective_port(),
        user: remote.spec.effective_user().to_owned(),
        connect: remote.spec.deadlines().connect,
    }
}

/// From recorded facts; without them the Machine's bootstrap config still tells the role (6.1, section 12).
fn clean_up_job(observed: &Observed) -> CleanUp {
    let spec = &observed.remote.spec;
    let machine = observed.machine.as_ref();
    let facts = observed.annotation(CLEAN_UP).and_then(CleanUpFacts::read).unwrap_or_else(|| CleanUpFacts {
        role: machine.and_then(|machine| Role::of_config(machine.config_kind.as_deref()?)),
        ..CleanUpFacts::default()
    });
    // With the cluster its members go; a machine without Machine or Cluster belongs to none that is known.
    let whole = observed.cluster.is_none_or(|cluster| cluster.deleting);
    let leave_etcd = facts.role == Some(Role::Controller)
        && !whole
        && machine.is_some_and(|machine| !machine.skip_etcd_leave);
    CleanUp {
        owner: observed.uid().to_owned(),
        working_dir: spec.effective_working_dir().to_owned(),
        facts,
        commands: spec.clean_up_commands.clone(),
        leave_etcd,
        limit: spec.deadlines().clean_up,
    }
}
