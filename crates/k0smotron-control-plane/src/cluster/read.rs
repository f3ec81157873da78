//! The reads of a pass. Caches answer nearly all; live reads are made only for what is about to be created, for
//! Secrets without our label, and for etcd and the child while something changes there.

use api::defaults::KineSource;
use api::hosted::{CertificateType, StorageType};
use api::{HostedCluster, JoinTokenRequest};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::{Api, Resource, ResourceExt as _};
use reconcile::{Cache, Entry, Key, Pass};
use workload::Reach;

use super::Hosted;
use super::certificates::LEAVES;
use super::etcd::{Connection, Identity, Target};
use super::facts::{Seen, secret_fact};
use super::labels::{CLUSTER_UID, Origin};
use super::membership::Live;
use super::names::Names;
use super::objects::config::dynamic_part;
use super::objects::etcd::domain;
use super::observe::{ChildFacts, Foreign, Observed, Request, Source};
use super::situation::{membership_view, needs_kubelets};
use super::wanted::{Running, Wanted};

/// The key of the SQL database's address in the user's Secret.
const SOURCE_KEY: &str = "K0SMOTRON_KINE_DATASOURCE_URL";
/// Looks at a silent child, until the readiness of replicas changes: nothing depends on it (section 7).
const CHILD_TRIES: u32 = 5;

/// For so long it is believed that no object of somebody else stands where ours are about to be made: the passes of
/// one creation follow each other within this time.
const LOOKED: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

impl Hosted {
    pub(super) async fn read(&self, pass: &Pass<HostedCluster>) -> anyhow::Result<Observed> {
        let object = &pass.object;
        let origin = Origin {
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
            uid: object.uid().unwrap_or_default(),
            labels: object.labels().clone(),
            annotations: object.annotations().clone(),
        };
        let names = Names::new(&origin.name);
        let ours = [("app", "k0smotron"), ("cluster", &*origin.name)];
        let set = |name: String| async move { pass.get_here(&self.sets, &name).await };
        let mut seen = Observed {
            now: pass.now,
            operator: self.operator.clone(),
            generation: object.meta().generation,
            deleting: object.meta().deletion_timestamp.is_some(),
            held: object
                .finalizers()
                .iter()
                .any(|one| Some(&**one) == <Self as reconcile::Controller>::FINALIZER),
            spec: object.spec.clone(),
            status: object.status.clone().unwrap_or_default(),
            services: all(pass.list_here(&self.services, &ours).await?),
            secrets: all(pass
                .list_here(&self.secrets, &[("cluster.x-k8s.io/cluster-name", &origin.name)])
                .await?),
            config_maps: all(pass.list_here(&self.config_maps, &ours).await?),
            claims: all(pass.list_here(&self.claims, &ours).await?),
            ..Observed::default()
        };
        let pods = all(pass.list_here(&self.pods, &ours).await?);
        let belongs = |pod: &Seen<_>, side: &str| {
            pod.labels.get("component").is_some_and(|component| component == side)
        };
        (seen.etcd_pods, seen.pods) = pods.into_iter().partition(|pod| belongs(pod, "etcd"));
        seen.control_plane = set(names.control_plane()).await?.map(|entry| Seen::of(&entry));
        seen.etcd = set(names.etcd()).await?.map(|entry| Seen::of(&entry));
        seen.origin = origin;
        let remembered = self.remember(&pass.key, |memory| memory.clone());
        (seen.pushed, seen.push_failed) = (remembered.pushed, remembered.push_failed);
        if seen.deleting {
            // Somebody else's StatefulSet of that name is none of ours to delete.
            let mine = |set: &Seen<_>| set.controller.as_ref() == Some(&seen.origin.uid);
            seen.control_plane = seen.control_plane.take().filter(|set| mine(set));
            seen.etcd = seen.etcd.take().filter(|set| mine(set));
            seen.requests = self.requests_of(&seen.origin.uid);
            return Ok(seen);
        }
        if seen.spec.service_type() == api::hosted::ServiceType::NodePort {
            seen.nodes = self.nodes.all().iter().map(|entry| Seen::of(entry)).collect();
        }
        self.read_named(&mut seen, &names, &pass.key).await?;
        self.read_strangers(pass, &mut seen, &names).await?;
        self.read_members(&mut seen, &pass.key).await?;
        self.read_child(&mut seen, &pass.key).await?;
        Ok(seen)
    }

    /// Join token requests that belong to a cluster, in whichever namespace (H-47).
    fn requests_of(&self, uid: &str) -> Vec<Request> {
        let belongs = |entry: &&std::sync::Arc<Entry<JoinTokenRequest>>| {
            let owners = entry.meta.owner_references.iter().flatten();
            !entry.deleting()
                && (entry.label(CLUSTER_UID) == Some(uid) || owners.into_iter().any(|owner| owner.uid == uid))
        };
        let all = self.requests.all();
        let request = |entry: &std::sync::Arc<Entry<JoinTokenRequest>>| Request {
            namespace: entry.key().namespace,
            name: entry.name().to_owned(),
            uid: entry.uid().to_owned(),
        };
        all.iter().filter(belongs).map(request).collect()
    }

    /// Secrets that the user names, or put in place without our label; and the SQL database's address.
    async fn read_named(&self, seen: &mut Observed, names: &Names, key: &Key) -> anyhow::Result<()> {
        let api: Api<Secret> = Api::namespaced(self.context.client().clone(), &key.namespace);
        let purposes = [
            CertificateType::Ca,
            CertificateType::Proxy,
            CertificateType::Sa,
            CertificateType::Etcd,
            CertificateType::ApiserverEtcdClient,
            CertificateType::EtcdServer,
            CertificateType::EtcdPeer,
        ];
        let etcd = seen.spec.storage_type() == StorageType::Etcd;
        let mut wanted: Vec<String> = purposes
            .into_iter()
            .take(if etcd { purposes.len() } else { 3 })
            .map(|purpose| seen.spec.certificate_secret(&key.name, purpose))
            .collect();
        // Nobody asks for the kubeconfig before it can be written.
        wanted.extend((seen.ready() > 0).then(|| names.secret("kubeconfig")));
        let mut followed = Vec::new();
        for name in wanted {
            if seen.secret(&name).is_some() {
                continue;
            }
            if let Some(found) = api.get_opt(&name).await? {
                followed.push(name.clone());
                seen.secrets.push(seen_secret(name, &found));
            } else if !name.starts_with(&format!("{}-", key.name)) {
                followed.push(name);
            }
        }
        seen.source = match (seen.spec.storage_type(), seen.spec.kine_source()) {
            (StorageType::Kine, KineSource::Inline(text)) => Source::Known(digest(text.as_bytes())),
            (StorageType::Kine, KineSource::Secret(name)) => {
                followed.push(name.to_owned());
                let found = api.get_opt(name).await?;
                let data = found.and_then(|secret| secret.data?.remove(SOURCE_KEY));
                match data.filter(|data| !data.0.is_empty()) {
                    Some(data) => Source::Known(digest(&data.0)),
                    None => Source::Missing(format!(
                        "Secret {name} with key {SOURCE_KEY} does not exist; create it in namespace {}",
                        key.namespace
                    )),
                }
            }
            _ => Source::None,
        };
        self.references.follow(key, followed);
        Ok(())
    }

    /// What stands where an object of ours is about to be made (H-7). An object that we know to be ours is not
    /// read again.
    async fn read_strangers(
        &self,
        pass: &Pass<HostedCluster>,
        seen: &mut Observed,
        names: &Names,
    ) -> anyhow::Result<()> {
        let mut foreign = Vec::new();
        let uid = seen.origin.uid.clone();
        for set in [&mut seen.control_plane, &mut seen.etcd] {
            if let Some(stranger) =
                set.as_ref().and_then(|set| stranger(set, &uid, &pass.key.name, "StatefulSet"))
            {
                foreign.push(stranger);
                *set = None;
            }
        }
        let looked = self.remember(&pass.key, |memory| memory.looked);
        let ask = looked.is_none_or(|at| pass.now.duration_since(at) > LOOKED);
        let etcd = seen.spec.storage_type() == StorageType::Etcd;
        let mut services = vec![names.service(seen.spec.service_type())];
        let mut maps = vec![names.config(), names.telemetry(), names.endpoint()];
        if etcd {
            services.extend([names.etcd_peers(), names.etcd_clients()]);
            maps.push(names.etcd_members());
        }
        for name in services {
            self.look(pass, ask, &self.services, &name, &mut foreign).await?;
        }
        for name in maps {
            self.look(pass, ask, &self.config_maps, &name, &mut foreign).await?;
        }
        let sets = [Some(names.control_plane()), etcd.then(|| names.etcd())];
        for name in sets.into_iter().flatten() {
            self.look(pass, ask, &self.sets, &name, &mut foreign).await?;
        }
        foreign.dedup();
        if ask && foreign.is_empty() {
            self.remember(&pass.key, |memory| memory.looked = Some(pass.now));
        }
        seen.foreign = foreign;
        Ok(())
    }

    async fn look<F: Clone + Send + Sync + 'static>(
        &self,
        pass: &Pass<HostedCluster>,
        ask: bool,
        cache: &Cache<F>,
        name: &str,
        foreign: &mut Vec<Foreign>,
    ) -> anyhow::Result<()> {
        let uid = pass.object.uid().unwrap_or_default();
        let kind = &cache.resource().kind;
        if let Some(entry) = pass.get_here(cache, name).await? {
            foreign.extend(stranger(&Seen::of(&entry), &uid, &pass.key.name, kind));
            return Ok(());
        }
        if !ask {
            return Ok(());
        }
        // Not selected by our watch: it does not exist, or it is not ours.
        let api: Api<PartialObjectMeta<kube::api::DynamicObject>> =
            Api::namespaced_with(self.context.client().clone(), &pass.key.namespace, cache.resource());
        let Some(found) = api.get_metadata_opt(name).await? else { return Ok(()) };
        let labels = found.labels();
        let ours = labels.get("app").is_some_and(|app| app == "k0smotron")
            && labels.get("cluster") == Some(&pass.key.name);
        let owned = found.owner_references().iter().any(|owner| owner.uid == uid);
        if !ours && !owned {
            let whose =
                found.owner_references().iter().find(|owner| owner.controller == Some(true)).map_or_else(
                    || "was made by somebody else".to_owned(),
                    |owner| format!("belongs to {} {}", owner.kind, owner.name),
                );
            foreign.push(Foreign { what: format!("{kind} {name}"), whose });
        }
        Ok(())
    }

    /// Etcd is asked only while its membership changes or a member is about to restart (9.4).
    async fn read_members(&self, seen: &mut Observed, key: &Key) -> anyhow::Result<()> {
        let Ok(wanted) = Wanted::of(seen.origin.clone(), &seen.spec, &Running::default(), &seen.operator)
        else {
            return Ok(());
        };
        if !wanted.uses_etcd() || seen.etcd_pods.is_empty() {
            return Ok(());
        }
        let view = membership_view(seen, &wanted);
        let restarting = seen.etcd.as_ref().is_some_and(|set| {
            seen.etcd_pods.iter().any(|pod| pod.fact.revision != set.fact.update_revision)
                && seen.etcd_pods.len() > 1
        });
        if !view.needs_live() && !restarting {
            return Ok(());
        }
        let members = self.ask_members(seen, &wanted).await?;
        let answered = members.yes().is_some();
        seen.silent = self.remember(key, |memory| {
            memory.silent = if answered { 0 } else { memory.silent.saturating_add(1) };
            memory.silent
        });
        seen.members = Some(members);
        Ok(())
    }

    async fn ask_members(&self, seen: &Observed, wanted: &Wanted<'_>) -> anyhow::Result<Reach<Live>> {
        let Some(identity) = self.identity(wanted).await? else {
            return Ok(Reach::No("the certificate with which etcd is asked does not exist yet".to_owned()));
        };
        let mut why = "no pod of etcd has an address".to_owned();
        for target in targets(seen) {
            let answer = async { Connection::to(&target, &domain(wanted), &identity).await?.members().await };
            match answer.await {
                Ok(live) => return Ok(Reach::Yes(live)),
                Err(error) => why = format!("{}: {error:#}", target.pod),
            }
        }
        Ok(Reach::No(why))
    }

    /// The operator's own client certificate of etcd.
    pub(super) async fn identity(&self, wanted: &Wanted<'_>) -> anyhow::Result<Option<Identity>> {
        let [.., operator] = LEAVES;
        let own = self.secret_data(&wanted.origin.namespace, &operator.secret(wanted)).await?;
        let authority = self
            .secret_data(&wanted.origin.namespace, &wanted.certificate_secret(CertificateType::Etcd))
            .await?;
        let part =
            |secret: &Option<Secret>, key: &str| Some(secret.as_ref()?.data.as_ref()?.get(key)?.0.clone());
        let identity = || {
            Some(Identity {
                authority: part(&authority, "tls.crt")?,
                certificate: part(&own, "tls.crt")?,
                key: part(&own, "tls.key")?.into(),
            })
        };
        Ok(identity())
    }

    pub(super) async fn secret_data(&self, namespace: &str, name: &str) -> anyhow::Result<Option<Secret>> {
        let api: Api<Secret> = Api::namespaced(self.context.client().clone(), namespace);
        Ok(api.get_opt(name).await?)
    }

    /// The child is asked for its identity once, for its nodes before a minor upgrade, and when its configuration
    /// is about to be applied (H-22).
    async fn read_child(&self, seen: &mut Observed, key: &Key) -> anyhow::Result<()> {
        if seen.ready() == 0 || seen.secret(&Names::new(&key.name).secret("kubeconfig")).is_none() {
            return Ok(());
        }
        let image = seen.control_plane.as_ref().and_then(|set| set.fact.image());
        let running =
            Running { image: image.as_deref(), etcd_image: None, version: seen.status.version.as_deref() };
        let Ok(wanted) = Wanted::of(seen.origin.clone(), &seen.spec, &running, &seen.operator) else {
            return Ok(());
        };
        let known = super::decide::known_config(seen);
        let identity = known.as_ref().is_none_or(|known| known.child_uid.is_none());
        // All replicas were away: whoever answers now may be another cluster (restored, reborn).
        let returned = seen.status.ready_replicas.unwrap_or_default() == 0;
        let dynamic = k0s::dynamic_config_enabled(&wanted.flags);
        let differs = dynamic && known.as_ref().is_none_or(|known| known.digest != dynamic_part(&wanted).1);
        let kubelets = needs_kubelets(seen, &wanted);
        if !identity && !returned && !differs && !kubelets {
            return Ok(());
        }
        let ready = seen.ready();
        let tries = self.remember(key, |memory| {
            if memory.tries.0 != ready {
                memory.tries = (ready, 0);
            }
            memory.tries.1 += 1;
            memory.tries.1
        });
        if tries > CHILD_TRIES && !differs && !kubelets {
            return Ok(());
        }
        let answer = match self.children.of(key, true).await? {
            Reach::Yes(child) => {
                let uid = child.uid().await;
                match uid {
                    Reach::Yes(uid) => {
                        let nodes = if kubelets { child.nodes().await } else { Reach::Yes(Vec::new()) };
                        let nodes = nodes.yes().cloned().unwrap_or_default();
                        let kubelets =
                            nodes.into_iter().map(|node| (node.name, node.kubelet_version)).collect();
                        Reach::Yes(ChildFacts { uid, kubelets })
                    }
                    Reach::No(why) => Reach::No(why),
                }
            }
            Reach::No(why) => Reach::No(why),
        };
        seen.child_tries = tries;
        if answer.yes().is_some() {
            self.remember(key, |memory| memory.tries = (ready, 0));
        }
        seen.child = Some(answer);
        Ok(())
    }
}

/// Pods of etcd that can be asked, those that are Ready first.
pub(super) fn targets(seen: &Observed) -> Vec<Target> {
    let mut pods: Vec<_> = seen.etcd_pods.iter().filter(|pod| !pod.deleting).collect();
    pods.sort_by_key(|pod| (pod.fact.ready_since.is_none(), pod.ordinal()));
    let target =
        |pod: &&Seen<super::facts::PodFact>| Some(Target { pod: pod.name.clone(), ip: pod.fact.ip.clone()? });
    pods.iter().filter_map(target).collect()
}

/// Whether an object under a name of ours is somebody else's.
fn stranger<F>(object: &Seen<F>, uid: &str, cluster: &str, kind: &str) -> Option<Foreign> {
    let what = format!("{kind} {}", object.name);
    match (&object.controller, &object.controller_name) {
        (Some(controller), _) if controller == uid => None,
        (Some(_), name) => Some(Foreign {
            what,
            whose: format!("belongs to {}", name.as_deref().unwrap_or("another owner")),
        }),
        (None, _) => {
            let labelled = object.labels.get("cluster").is_some_and(|name| name == cluster);
            (!labelled).then(|| Foreign { what, whose: "was made by somebody else".to_owned() })
        }
    }
}

fn seen_secret(name: String, secret: &Secret) -> Seen<super::facts::SecretFact> {
    let controller = secret.owner_references().iter().find(|owner| owner.controller == Some(true));
    Seen {
        name,
        uid: secret.uid().unwrap_or_default(),
        created: secret.creation_timestamp().map(|time| time.0),
        deleting: secret.metadata.deletion_timestamp.is_some(),
        labels: secret.labels().clone(),
        annotations: secret.annotations().clone(),
        controller: controller.map(|owner| owner.uid.clone()),
        controller_name: controller.map(|owner| format!("{} {}", owner.kind, owner.name)),
        fact: secret_fact(secret),
    }
}

fn digest(bytes: &[u8]) -> String {
    workload::digest(bytes)
}

fn all<F: Clone>(entries: Vec<std::sync::Arc<Entry<F>>>) -> Vec<Seen<F>> {
    entries.into_iter().map(|entry| Seen::of(&entry)).collect()
}
