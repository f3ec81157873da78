//! What an observation means: the facts that rules speak of, derived once.

use jiff::{SignedDuration, Timestamp};
use k0s::{UpgradeBlocked, UpgradeFacts, Version};
use serde_json::{Value, json};

use super::certificates::{self, Certificates, KubeconfigState};
use super::exposure::{Endpoint, Exposure, exposure, kubeconfig_server};
use super::facts::{ClaimFact, PodFact, Seen, ServiceFact};
use super::inputs;
use super::labels::CLUSTER_UID;
use super::membership;
use super::objects::{self, config::Discovered};
use super::observe::{Observed, Source, count};
use super::record::Record;
use super::rollout;
use super::template::{self, AUTHORITIES, INPUTS, Making, NETWORK, Template};
use super::wanted::{Fault, Running, Wanted};

/// What an observation of a living cluster means.
pub struct Situation<'a> {
    /// The observation.
    pub seen: &'a Observed,
    /// What is wanted.
    pub wanted: Wanted<'a>,
    /// The Service, once it has addresses.
    pub service: Option<&'a Seen<ServiceFact>>,
    /// Where the API is reached.
    pub exposure: Exposure,
    /// Former external addresses.
    pub former: Vec<String>,
    /// Keys and certificates.
    pub certificates: Certificates,
    /// The kubeconfig, once a replica was Ready and the endpoint is known.
    pub kubeconfig: Option<KubeconfigState>,
    /// Why the version is not followed.
    pub blocked: Option<String>,
    /// The template of the control plane, once it can be made.
    pub template: Option<Template>,
    /// The template of etcd.
    pub etcd_template: Option<Template>,
    /// The config Secret that the template names.
    pub config_secret: Option<String>,
    /// Membership of etcd.
    pub membership: Option<membership::View>,
    /// The earliest moment at which a timer must look.
    pub timer: Option<Timestamp>,
}

impl<'a> Situation<'a> {
    /// Derives it; faults of the spec come back instead.
    pub fn of(seen: &'a Observed) -> Result<Self, Vec<Fault>> {
        let image = seen.control_plane.as_ref().and_then(|set| set.fact.image());
        let etcd_image = seen.etcd.as_ref().and_then(|set| set.fact.image());
        let running = Running {
            image: image.as_deref(),
            etcd_image: etcd_image.as_deref(),
            version: seen.status.version.as_deref(),
        };
        let wanted = Wanted::of(seen.origin.clone(), &seen.spec, &running, &seen.operator)?;
        let refused = changed_network(seen, &wanted);
        if !refused.is_empty() {
            return Err(refused);
        }
        let service = seen
            .service(&wanted.service_name())
            .filter(|service| !service.deleting && !service.fact.cluster_ips.is_empty());
        let (exposure, exposure_timer) = match service {
            Some(service) => exposure(&wanted, service, &seen.nodes, seen.status.endpoint.as_ref(), seen.now),
            None => (Exposure::Waiting("WaitingForAddress", "the Service is being made".to_owned()), None),
        };
        let former = former(seen, &exposure);
        let lived = seen.secret(&wanted.names.secret("kubeconfig")).is_some()
            || seen.ready() > 0
            || !seen.claims.is_empty();
        let trusted = seen.control_plane.as_ref().and_then(|set| set.annotation(AUTHORITIES));
        let secret = |name: &str| seen.secret(name).cloned();
        let certificates = certificates::judge(&wanted, &secret, lived, trusted, seen.now);
        let blocked = blocked(seen, &wanted, image.as_deref(), etcd_image.as_deref());
        let mut situation = Self {
            seen,
            wanted,
            service,
            exposure,
            former,
            certificates,
            kubeconfig: None,
            blocked,
            template: None,
            etcd_template: None,
            config_secret: None,
            membership: None,
            timer: exposure_timer,
        };
        situation.sooner(situation.certificates.timer);
        situation.choose_templates();
        situation.judge_kubeconfig();
        situation.judge_membership();
        Ok(situation)
    }

    /// Where the API is reached, if that is known.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.exposure {
            Exposure::Known(endpoint) => Some(endpoint),
            Exposure::Waiting(..) => None,
        }
    }

    /// What was found out about the outside.
    pub fn discovered(&self) -> Option<Discovered<'_>> {
        let (endpoint, service) = (self.endpoint()?, self.service?);
        let spec = self.wanted.spec;
        let ports = if self.wanted.node_ports_are_chosen() {
            let port = |name: &str| service.fact.node_ports.get(name).copied();
            (port("api")?, port("konnectivity")?)
        } else {
            (spec.api_port(), spec.konnectivity_port())
        };
        Some(Discovered { endpoint, cluster_ips: &service.fact.cluster_ips, ports, former: &self.former })
    }

    /// Digest of the SQL database's address.
    pub fn source(&self) -> Option<&str> {
        match &self.seen.source {
            Source::Known(digest) => Some(digest),
            Source::None | Source::Missing(_) => None,
        }
    }

    fn sooner(&mut self, timer: Option<Timestamp>) {
        self.timer = match (self.timer, timer) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    fn choose_templates(&mut self) {
        let source_missing = matches!(self.seen.source, Source::Missing(_));
        let held = self.blocked.is_some() || self.certificates.trouble.is_some() || source_missing;
        let authorities = self.certificates.digest.clone().unwrap_or_default();
        // The first pods mount these Secrets: without a digest of all of them none is made.
        let held = held || self.certificates.digest.is_none();
        let live = self.seen.control_plane.as_ref();
        let chosen = match self.discovered() {
            Some(discovered) => {
                let hash = objects::config::revision(&self.wanted, &discovered, self.source());
                let name = self.wanted.names.config_revision(&hash);
                let making = Making {
                    inputs: inputs::control_plane(&self.wanted, self.source()),
                    endpoint: discovered.digest(),
                    authorities: authorities.clone(),
                    network: Some(self.wanted.config.network().to_string()),
                    body: objects::control_plane::template(&self.wanted, &discovered, &name),
                    held,
                };
                template::choose(live, making)
            }
            None => live.map(|live| Template {
                body: live.fact.template(),
                annotations: live.annotations.clone(),
                is_new: false,
            }),
        };
        self.config_secret =
            chosen.as_ref().and_then(|template| super::facts::config_secret(&template.body["spec"]));
        self.template = chosen;
        if self.wanted.uses_etcd() {
            let making = Making {
                inputs: inputs::etcd(&self.wanted),
                endpoint: String::new(),
                authorities,
                network: None,
                body: objects::etcd::template(&self.wanted),
                held,
            };
            self.etcd_template = template::choose(self.seen.etcd.as_ref(), making);
        }
    }

    fn judge_kubeconfig(&mut self) {
        let name = self.wanted.names.secret("kubeconfig");
        let found = self.seen.secret(&name);
        let ca = self.wanted.certificate_secret(api::hosted::CertificateType::Ca);
        let authority = self.seen.secret(&ca).and_then(|ca| ca.fact.certificate.clone());
        let (Some(endpoint), Some(authority)) = (self.endpoint(), authority) else { return };
        if found.is_none() && self.seen.ready() == 0 {
            return;
        }
        let server = kubeconfig_server(&self.wanted, endpoint);
        let state = certificates::kubeconfig(&self.wanted, found, &server, &authority, self.seen.now);
        if let KubeconfigState::Right(timer) = &state {
            self.sooner(*timer);
        }
        self.kubeconfig = Some(state);
    }

    fn judge_membership(&mut self) {
        if !self.wanted.uses_etcd() {
            return;
        }
        let view = membership_view(self.seen, &self.wanted);
        if let Some(since) = shrinking_since(self.seen, &view) {
            let delay =
                SignedDuration::from_secs(i64::from(self.wanted.spec.etcd_scale_down_delay_seconds()));
            self.sooner(since.checked_add(delay).ok().filter(|at| *at > self.seen.now));
        }
        self.sooner(view.probed());
        self.membership = Some(view);
    }

    /// The restarts of the control plane.
    pub fn control_plane_rollout<'b>(&'b self, pods: &'b [&'b Seen<PodFact>]) -> Option<rollout::View<'b>> {
        let set = self.seen.control_plane.as_ref()?;
        Some(rollout::View {
            set,
            pods,
            replicas: self.wanted.spec.effective_replicas(),
            // There the script starts the container anew in place (H-12).
            expires: !self.wanted.loses_data_with_its_pod(),
            last: None,
            deadline: self.deadline(),
            now: self.seen.now,
        })
    }

    /// The restarts of etcd.
    pub fn etcd_rollout<'b>(&'b self, pods: &'b [&'b Seen<PodFact>]) -> Option<rollout::View<'b>> {
        let set = self.seen.etcd.as_ref()?;
        let live = self.membership.as_ref().and_then(|view| view.live.as_ref());
        let leader = live.and_then(|live| live.members.iter().find(|member| member.leader));
        Some(rollout::View {
            set,
            pods,
            replicas: set.fact.replicas,
            expires: false,
            last: leader.map(|leader| leader.name.as_str()),
            deadline: self.deadline(),
            now: self.seen.now,
        })
    }

    fn deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.wanted.spec.progress_deadline_seconds()))
    }

    /// The live StatefulSet was made from the present wishes.
    pub fn control_plane_applied(&self) -> bool {
        let (Some(live), Some(template)) = (&self.seen.control_plane, &self.template) else { return false };
        !template.is_new && live.annotation(INPUTS) == template.annotations.get(INPUTS).map(String::as_str)
    }
}

/// Changes of the network that k0s does not survive (5.2). A control plane that was made by a release that did not
/// write its network down is not judged.
fn changed_network(seen: &Observed, wanted: &Wanted<'_>) -> Vec<Fault> {
    let made_with = seen.control_plane.as_ref().and_then(|set| set.annotation(NETWORK));
    let made_with = made_with.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(made_with) = made_with.map(|network| json!({"spec": {"network": network}})) else {
        return Vec::new();
    };
    let Ok(made_with) = k0s::ClusterConfig::from_user(Some(&made_with)) else { return Vec::new() };
    let faults = k0s::changes_refused(&made_with, &wanted.config);
    faults.into_iter().map(|fault| Fault::new(format!("spec.k0sConfig.{}", fault.path), fault.why)).collect()
}

/// Claims of one StatefulSet, by the name of its claim template.
pub fn claims_of<'a>(
    seen: &'a Observed,
    template: &str,
    set: &str,
) -> impl Iterator<Item = &'a Seen<ClaimFact>> {
    let prefix = format!("{template}-{set}-");
    seen.claims.iter().filter(move |claim| {
        claim
            .name
            .strip_prefix(&prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Membership as it is seen.
pub fn membership_view(seen: &Observed, wanted: &Wanted<'_>) -> membership::View {
    let set = wanted.names.etcd();
    let revision = seen.etcd.as_ref().map(|etcd| etcd.fact.update_revision.as_str());
    let pods = seen.etcd_pods.iter().map(|pod| membership::Pod {
        name: pod.name.clone(),
        ready: pod.fact.ready_since.is_some(),
        current: revision == Some(&*pod.fact.revision),
        created: pod.created,
        deleting: pod.deleting,
    });
    let prefix = "etcd-data-";
    let claims = claims_of(seen, "etcd-data", &set).map(|claim| membership::Claim {
        pod: claim.name.strip_prefix(prefix).unwrap_or(&claim.name).to_owned(),
        uid: claim.uid.clone(),
        lost: claim.fact.phase == "Lost",
        deleting: claim.deleting,
    });
    let text = seen.config_map(&wanted.names.etcd_members()).and_then(|map| map.fact.members.as_deref());
    let mut view = membership::View {
        record: text.and_then(Record::parse),
        replicas: seen.etcd.as_ref().map(|etcd| etcd.fact.replicas),
        live: seen.members.as_ref().and_then(|members| members.yes().cloned()),
        pods: pods.collect(),
        claims: claims.collect(),
        replace: seen
            .origin
            .annotations
            .get("k0smotron.io/replace-etcd-member")
            .filter(|name| !name.is_empty())
            .cloned(),
        wanted: wanted.spec.etcd_replicas(),
        may_shrink: false,
        now: seen.now,
        set,
    };
    let delay = SignedDuration::from_secs(i64::from(wanted.spec.etcd_scale_down_delay_seconds()));
    let since = seen.status.etcd.as_ref().and_then(|etcd| etcd.shrinking_since.as_ref()).map(|since| since.0);
    let stood = since.and_then(|since| since.checked_add(delay).ok()).is_some_and(|at| at <= seen.now);
    view.may_shrink = delay.is_zero() || stood;
    view
}

/// Since when fewer members are wanted than there are.
pub fn shrinking_since(seen: &Observed, view: &membership::View) -> Option<Timestamp> {
    let size = view.record.as_ref().map(|record| count(record.members.len()))?;
    let since = seen.status.etcd.as_ref().and_then(|etcd| etcd.shrinking_since.as_ref()).map(|since| since.0);
    (size > view.wanted).then(|| since.unwrap_or(seen.now))
}

/// Claims that another cluster of this name left behind (H-36). One that never had a volume holds nothing of anybody:
/// it may be our own, of a StatefulSet that was deleted before we put the label on it.
pub fn former_claims<'a>(seen: &'a Observed, wanted: &Wanted<'_>) -> Vec<&'a str> {
    let reuse =
        seen.origin.annotations.get("k0smotron.io/reuse-volumes").is_some_and(|value| value == "true");
    if reuse {
        return Vec::new();
    }
    let foreign = |claim: &&Seen<ClaimFact>| {
        let empty = claim.fact.phase == "Pending" && claim.fact.volume.is_empty();
        claim.labels.get(CLUSTER_UID) != Some(&seen.origin.uid) && !empty
    };
    let mut names = Vec::new();
    if seen.control_plane.is_none() {
        names.extend(
            claims_of(seen, &wanted.data_name, &wanted.names.control_plane())
                .filter(foreign)
                .map(|claim| claim.name.as_str()),
        );
    }
    if seen.etcd.is_none() {
        names.extend(
            claims_of(seen, "etcd-data", &wanted.names.etcd())
                .filter(foreign)
                .map(|claim| claim.name.as_str()),
        );
    }
    names
}

/// Former external addresses, the newest first: certificates stay valid for three of them (H-38).
fn former(seen: &Observed, exposure: &Exposure) -> Vec<String> {
    let mut former = seen.status.former_external_addresses.clone();
    if let (Exposure::Known(endpoint), Some(known)) = (exposure, &seen.status.external_address)
        && *known != endpoint.host
    {
        former.insert(0, known.clone());
        former.retain(|address| *address != endpoint.host);
    }
    former.truncate(3);
    former
}

/// Why version or etcd image are not followed (8.2).
fn blocked(
    seen: &Observed,
    wanted: &Wanted<'_>,
    image: Option<&str>,
    etcd_image: Option<&str>,
) -> Option<String> {
    let version = |image: &str| image.rsplit_once(':').and_then(|(_, tag)| tag.parse::<Version>().ok());
    let images = seen.pods.iter().map(|pod| &*pod.fact.image);
    let mut running: Vec<Version> = images.chain(image).filter_map(version).collect();
    if seen.pods.is_empty() {
        running.extend(seen.status.version.as_ref().and_then(|text| text.parse().ok()));
    } else {
        // The template of a rollout that nobody has started yet does not run.
        running.truncate(seen.pods.len());
    }
    let ready = seen
        .pods
        .iter()
        .filter(|pod| pod.fact.ready_since.is_some())
        .filter_map(|pod| version(&pod.fact.image));
    let served: Vec<Version> =
        ready.chain(seen.status.version.as_ref().and_then(|text| text.parse().ok())).collect();
    let allowed =
        seen.origin.annotations.get("k0smotron.io/allow-downgrade").and_then(|text| text.parse().ok());
    let kubelets =
        seen.child.as_ref().and_then(|child| child.yes()).map(|child| &*child.kubelets).unwrap_or_default();
    let kubelet = |(node, text): &(String, String)| {
        Some(k0s::Kubelet { node: node.clone(), version: Version::parse_lenient(text).ok()? })
    };
    let kubelets: Vec<_> = kubelets.iter().filter_map(kubelet).collect();
    let facts = UpgradeFacts {
        running: &running,
        served: &served,
        target: &wanted.version,
        allow_downgrade: allowed.as_ref(),
        kubelets: &kubelets,
    };
    if let Err(blocked) = k0s::judge_upgrade(&facts) {
        let blocked: UpgradeBlocked = blocked;
        return Some(blocked.to_string());
    }
    let (from, to) = (objects::etcd::minor(etcd_image?)?, objects::etcd::minor(&wanted.etcd_image)?);
    let allowed = from == to || (from.0 == to.0 && from.1 + 1 == to.1);
    (!allowed).then(|| {
        format!("etcd {}.{} to {}.{}: only the next minor version is supported", from.0, from.1, to.0, to.1)
    })
}

/// A minor upgrade is about to begin: the nodes of the child must be known first.
pub fn needs_kubelets(seen: &Observed, wanted: &Wanted<'_>) -> bool {
    let runs = seen.status.version.as_ref().and_then(|text| text.parse::<Version>().ok());
    let live = seen.control_plane.as_ref().and_then(|set| set.fact.image());
    let template = live
        .as_deref()
        .and_then(|image| image.rsplit_once(':'))
        .and_then(|(_, tag)| tag.parse::<Version>().ok());
    let minor = |version: &Version| (version.major(), version.minor());
    match (runs, template) {
        (Some(runs), Some(template)) => {
            minor(&wanted.version) > minor(&runs) && minor(&template) != minor(&wanted.version)
        }
        _ => false,
    }
}
