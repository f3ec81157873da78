//! Acts that need secret bytes, etcd or the child. Each can be repeated: what is there already is left.

use anyhow::{Context as _, anyhow, bail};
use api::HostedCluster;
use api::defaults::KineSource;
use api::hosted::{CertificateType, DynamicConfigStatus, StorageType};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use pki::{Authority, AuthorityKind, PemPair};
use reconcile::Pass;
use workload::{Applied, Reach};

use super::Hosted;
use super::certificates::{Leaf, kubeconfig_issued_for};
use super::etcd::Connection;
use super::exposure::kubeconfig_server;
use super::objects::config::{config_secret, dynamic_part};
use super::objects::etcd::{domain, peers};
use super::objects::secrets;
use super::observe::Observed;
use super::own::Own;
use super::read::targets;
use super::situation::Situation;
use super::wanted::Wanted;

impl Hosted {
    pub(super) async fn carry_out(
        &self,
        pass: &Pass<HostedCluster>,
        seen: &Observed,
        own: &Own,
    ) -> anyhow::Result<bool> {
        let situation = Situation::of(seen).map_err(|faults| {
            anyhow!(
                "the spec has faults: {}",
                faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            )
        })?;
        match own {
            Own::MakeKeys { authorities, leaves } => {
                self.make_keys(pass, &situation.wanted, authorities, leaves).await
            }
            Own::WriteConfig(name) => self.write_config(pass, &situation, name).await,
            Own::WriteKubeconfig => self.write_kubeconfig(pass, &situation).await,
            Own::PushConfig(config) => self.push_config(pass, &situation.wanted, config).await,
            Own::AddLearner(_) | Own::Promote(_) | Own::MoveLeader(_) | Own::Remove(_) => {
                self.change_members(&situation, own).await
            }
        }
    }

    /// Keys are made beside the async threads, all at once; an RSA key takes a good part of a second.
    async fn make_keys(
        &self,
        pass: &Pass<HostedCluster>,
        wanted: &Wanted<'_>,
        authorities: &[CertificateType],
        leaves: &[Leaf],
    ) -> anyhow::Result<bool> {
        let now = pass.now;
        let mut making = Vec::new();
        for purpose in authorities.iter().copied() {
            let pair = tokio::task::spawn_blocking(move || generate(purpose, now));
            making.push(async move { (purpose, pair.await) });
        }
        let mut changed = false;
        for (purpose, pair) in futures::future::join_all(making).await {
            let pair = pair.context("a key could not be made")??;
            // An authority that exists is never written over: created, not applied.
            changed |=
                pass.create(&secrets::pair(wanted, &wanted.certificate_secret(purpose), &pair, None)).await?;
        }
        if leaves.is_empty() {
            return Ok(changed);
        }
        // Read back: another process may have been faster.
        let name = wanted.certificate_secret(CertificateType::Etcd);
        let signer = self
            .secret_data(&wanted.origin.namespace, &name)
            .await?
            .with_context(|| format!("Secret {name} does not exist"))?;
        let pem = part(&signer, "tls.crt").with_context(|| format!("Secret {name} has no tls.crt"))?;
        let authority = pki::certificates_digest(&pem)?;
        let key = part(&signer, "tls.key");
        let mut issuing = Vec::new();
        for leaf in leaves.iter().copied() {
            let (pem, key, certificate) = (pem.clone(), key.clone(), leaf.certificate(wanted));
            let pair = tokio::task::spawn_blocking(move || {
                Authority::parse(&pem, key.as_deref())?.issue(&certificate, now)
            });
            issuing.push(async move { (leaf, pair.await) });
        }
        for (leaf, pair) in futures::future::join_all(issuing).await {
            let pair = pair.context("a certificate could not be issued")??;
            let issued_for = leaf.issued_for(wanted, &authority);
            changed |=
                pass.apply(&secrets::pair(wanted, &leaf.secret(wanted), &pair, Some(&issued_for))).await?;
        }
        Ok(changed)
    }

    async fn write_config(
        &self,
        pass: &Pass<HostedCluster>,
        situation: &Situation<'_>,
        name: &str,
    ) -> anyhow::Result<bool> {
        let wanted = &situation.wanted;
        let discovered = situation.discovered().context("the endpoint is not known")?;
        let hash = super::objects::config::revision(wanted, &discovered, situation.source());
        if wanted.names.config_revision(&hash) != *name {
            bail!(
                "config Secret {name} is gone and its content is no longer known; annotate k0smotron.io/restart-at to roll out a new one"
            );
        }
        let source = self.source(wanted).await?;
        if source.as_ref().map(|source| workload::digest(source.as_bytes())).as_deref() != situation.source()
        {
            bail!("the address of the database changed while it was read");
        }
        pass.create(&config_secret(wanted, name, &discovered, source.as_deref())).await
    }

    /// The SQL database's address, read just for this.
    async fn source(&self, wanted: &Wanted<'_>) -> anyhow::Result<Option<String>> {
        match (wanted.spec.storage_type(), wanted.spec.kine_source()) {
            (StorageType::Kine, KineSource::Inline(text)) => Ok(Some(text.0.clone())),
            (StorageType::Kine, KineSource::Secret(name)) => {
                let found = self
                    .secret_data(&wanted.origin.namespace, name)
                    .await?
                    .with_context(|| format!("Secret {name} does not exist"))?;
                let bytes = part(&found, "K0SMOTRON_KINE_DATASOURCE_URL")
                    .with_context(|| format!("Secret {name} has no address"))?;
                Ok(Some(
                    String::from_utf8(bytes)
                        .map_err(|_| anyhow!("the address in Secret {name} is no UTF-8"))?,
                ))
            }
            _ => Ok(None),
        }
    }

    /// Signed here, without a look into a pod (H-14).
    async fn write_kubeconfig(
        &self,
        pass: &Pass<HostedCluster>,
        situation: &Situation<'_>,
    ) -> anyhow::Result<bool> {
        let wanted = &situation.wanted;
        let endpoint = situation.endpoint().context("the endpoint is not known")?;
        let name = wanted.certificate_secret(CertificateType::Ca);
        let signer = self
            .secret_data(&wanted.origin.namespace, &name)
            .await?
            .with_context(|| format!("Secret {name} does not exist"))?;
        let pem = part(&signer, "tls.crt").with_context(|| format!("Secret {name} has no tls.crt"))?;
        let authority = Authority::parse(&pem, part(&signer, "tls.key").as_deref())?;
        let server = kubeconfig_server(wanted, endpoint);
        let days = u32::try_from(wanted.spec.kubeconfig_validity_days()).unwrap_or(365);
        let cluster = &wanted.origin.name;
        let kubeconfig = pki::ClientKubeconfig {
            cluster: format!("{cluster}-k0s"),
            user: format!("{cluster}-admin"),
            server: server.clone(),
            proxy_url: None,
            leaf: pki::cluster_admin(wanted.spec.kubeconfig_user(), &wanted.spec.kubeconfig_groups(), days),
        };
        let text = kubeconfig.issue(&authority, pass.now)?;
        let issued_for = kubeconfig_issued_for(wanted, &server, &pki::certificates_digest(&pem)?);
        pass.apply(&secrets::kubeconfig(wanted, &wanted.names.secret("kubeconfig"), &text, &issued_for)).await
    }

    /// One server-side apply in the child (H-16). A failure holds up nothing else: it is a condition.
    async fn push_config(
        &self,
        pass: &Pass<HostedCluster>,
        wanted: &Wanted<'_>,
        config: &DynamicConfigStatus,
    ) -> anyhow::Result<bool> {
        let (part, _) = dynamic_part(wanted);
        let nothing = wanted.config.cut(&k0s::NODE_LOCAL).rest.is_empty();
        // k0s itself made the object from its file, which holds the whole configuration; nothing of the user's
        // needs no apply, unless an earlier one set something.
        let first = self.remember(&pass.key, |memory| memory.pushed.is_none())
            && pass.object.status.as_ref().is_none_or(|status| status.dynamic_config.is_none());
        let outcome = if nothing && first {
            Ok(())
        } else {
            match self.children.of(&pass.key, true).await? {
                Reach::No(why) => Err((false, why)),
                Reach::Yes(child) => match child.apply_cluster_config(part).await {
                    Reach::Yes(Applied::Done) => Ok(()),
                    Reach::Yes(Applied::Refused) => {
                        Err((true, "the child refuses the configuration; see spec.k0sConfig".to_owned()))
                    }
                    Reach::No(why) => Err((false, why)),
                },
            }
        };
        match outcome {
            Ok(()) => {
                self.remember(&pass.key, |memory| {
                    (memory.pushed, memory.push_failed) = (Some(config.clone()), None);
                });
                Ok(true)
            }
            Err(failure) => {
                let words = failure.1.clone();
                let told = self.remember(&pass.key, |memory| memory.push_failed.replace(failure));
                if told.is_none() {
                    // The next pass tells it.
                    return Ok(true);
                }
                bail!("cannot apply the dynamic configuration: {words}")
            }
        }
    }

    async fn change_members(&self, situation: &Situation<'_>, own: &Own) -> anyhow::Result<bool> {
        let (seen, wanted) = (situation.seen, &situation.wanted);
        let identity = self
            .identity(wanted)
            .await?
            .context("the certificate with which etcd is asked does not exist")?;
        let live = seen.members.as_ref().and_then(|members| members.yes()).context("etcd was not asked")?;
        let peers = peers(wanted);
        let leader = live.members.iter().find(|member| member.leader).map(|leader| leader.name.as_str());
        // The leader does it itself; others would only pass it on.
        let mut targets = targets(seen);
        targets.sort_by_key(|target| Some(target.pod.as_str()) != leader);
        let target = targets.first().context("no pod of etcd has an address")?;
        let connection = Connection::to(target, &domain(wanted), &identity).await?;
        match own {
            Own::AddLearner(pod) => {
                connection.add_learner(&format!("https://{pod}.{peers}:2380")).await.map(|()| true)
            }
            Own::Promote(id) => connection.promote(id).await,
            Own::Remove(id) => connection.remove(id).await.map(|()| true),
            Own::MoveLeader(from) => {
                let ready = |name: &str| {
                    seen.etcd_pods.iter().any(|pod| pod.name == name && pod.fact.ready_since.is_some())
                };
                let to = live
                    .members
                    .iter()
                    .find(|member| !member.learner && member.name != *from && ready(&member.name));
                connection
                    .move_leader(&to.context("no other healthy member can lead")?.id)
                    .await
                    .map(|()| true)
            }
            Own::MakeKeys { .. } | Own::WriteConfig(_) | Own::WriteKubeconfig | Own::PushConfig(_) => {
                Ok(false)
            }
        }
    }
}

fn generate(purpose: CertificateType, now: Timestamp) -> Result<PemPair, pki::PkiError> {
    match purpose {
        CertificateType::Sa => pki::generate_service_account(),
        CertificateType::Proxy => pki::generate_authority(AuthorityKind::FrontProxy, now),
        CertificateType::Etcd => pki::generate_authority(AuthorityKind::Etcd, now),
        _ => pki::generate_authority(AuthorityKind::Cluster, now),
    }
}

fn part(secret: &Secret, key: &str) -> Option<Vec<u8>> {
    Some(secret.data.as_ref()?.get(key)?.0.clone())
}
