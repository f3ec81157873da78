//! Authorities, leaf certificates, kubeconfig: which exist, which are right, which must be made (hosted.md 4).

use api::hosted::CertificateType;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::facts::{SecretFact, Seen};
use super::labels::CLUSTER_UID;
use super::objects::config::digest;
use super::objects::secrets::{ISSUED_FOR, issued};
use super::wanted::Wanted;

/// A leaf certificate of ours (4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// With which API servers call etcd.
    ApiserverEtcdClient,
    /// Which members show to clients.
    EtcdServer,
    /// Which members show to each other.
    EtcdPeer,
    /// With which the operator calls etcd.
    Operator,
}

/// All leaves of a cluster with etcd.
pub const LEAVES: [Leaf; 4] = [Leaf::ApiserverEtcdClient, Leaf::EtcdServer, Leaf::EtcdPeer, Leaf::Operator];

impl Leaf {
    /// The purpose for which a user may bring a Secret; the operator's own has none.
    fn purpose(self) -> Option<CertificateType> {
        match self {
            Self::ApiserverEtcdClient => Some(CertificateType::ApiserverEtcdClient),
            Self::EtcdServer => Some(CertificateType::EtcdServer),
            Self::EtcdPeer => Some(CertificateType::EtcdPeer),
            Self::Operator => None,
        }
    }

    /// Its Secret.
    pub fn secret(self, wanted: &Wanted<'_>) -> String {
        match self.purpose() {
            Some(purpose) => wanted.certificate_secret(purpose),
            None => wanted.names.secret("etcd-client"),
        }
    }

    /// What it says.
    pub fn certificate(self, wanted: &Wanted<'_>) -> pki::Leaf {
        let (headless, client) = (wanted.names.etcd_peers(), wanted.names.etcd_clients());
        let names = pki::EtcdNames {
            headless: &headless,
            client: Some(&client),
            namespace: &wanted.origin.namespace,
            domain: &wanted.domain,
        };
        match self.purpose() {
            Some(purpose) => pki::etcd_leaf(purpose.as_str(), &names),
            None => pki::operator_etcd_client(),
        }
    }

    /// What it is issued for: authority, subject and names.
    pub fn issued_for(self, wanted: &Wanted<'_>, authority: &str) -> String {
        let leaf = self.certificate(wanted);
        let names: Vec<_> = leaf.sans.iter().map(ToString::to_string).collect();
        digest(&json!([authority, leaf.common_name, leaf.organizations, names]))
    }
}

/// The authorities of a cluster: what signs, and what pods trust.
pub fn authorities(wanted: &Wanted<'_>) -> Vec<CertificateType> {
    let mut all = vec![CertificateType::Ca, CertificateType::Proxy, CertificateType::Sa];
    if wanted.uses_etcd() {
        all.push(CertificateType::Etcd);
    }
    all
}

/// What is wrong with the authorities: the reason of `CertificatesAvailable`, and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `AuthorityLost`, `InvalidCertificateRef`, `SigningKeyMissing`.
    pub reason: &'static str,
    /// Words for people.
    pub words: String,
}

/// The state of keys and certificates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificates {
    /// Authorities to generate.
    pub missing: Vec<CertificateType>,
    /// Leaves to issue.
    pub due: Vec<Leaf>,
    /// The first problem that stands in the way of a new template.
    pub trouble: Option<Trouble>,
    /// Digest over the authorities' certificates, once all are there (annotation `authorities`).
    pub digest: Option<String>,
    /// An authority that ends within months, in words that change once a week (H-13).
    pub ending: Option<String>,
    /// When the next certificate is due.
    pub timer: Option<Timestamp>,
}

/// Judges what is there. `lived`: pods have run with these authorities, so none is ever generated again (H-9).
/// `trusted` is the digest that the running pods were made with.
pub fn judge(
    wanted: &Wanted<'_>,
    secret: &dyn Fn(&str) -> Option<Seen<SecretFact>>,
    lived: bool,
    trusted: Option<&str>,
    now: Timestamp,
) -> Certificates {
    let mut all = Certificates::default();
    let mut hash = Some(Sha256::new());
    let mut etcd = None;
    for purpose in authorities(wanted) {
        let name = wanted.certificate_secret(purpose);
        let own = wanted
            .spec
            .own_certificate_secret(purpose)
            .is_some_and(|_| name != wanted.names.secret(purpose.as_str()));
        let Some(found) = secret(&name) else {
            hash = None;
            if own {
                all.trouble(format!("Secret {name}, named for {}, does not exist; create it with keys tls.crt and tls.key", purpose.as_str()), "InvalidCertificateRef");
            } else if lived {
                all.trouble(
                    format!("Secret {name} is gone; put it back: another authority would not be trusted"),
                    "AuthorityLost",
                );
            } else {
                all.missing.push(purpose);
            }
            continue;
        };
        let Some(certificate) = &found.fact.certificate else {
            hash = None;
            all.trouble(
                format!("Secret {name} has no certificate or public key in tls.crt"),
                "InvalidCertificateRef",
            );
            continue;
        };
        if !found.fact.keys.iter().any(|key| key == "tls.key") {
            all.trouble(
                format!("Secret {name} has no tls.key: nothing can be signed with it"),
                "SigningKeyMissing",
            );
        }
        if let Some(hash) = &mut hash {
            hash.update(format!("{}={certificate}\n", purpose.as_str()));
        }
        all.ending(&found, now);
        if purpose == CertificateType::Etcd {
            etcd = Some(certificate.clone());
        }
    }
    all.digest = hash.map(|hash| hex::encode(hash.finalize()));
    if let (Some(digest), Some(trusted)) = (&all.digest, trusted)
        && digest != trusted
    {
        all.trouble(
            "an authority is another than the one the running pods trust; put the former one back".to_owned(),
            "InvalidCertificateRef",
        );
    }
    if wanted.uses_etcd() {
        all.leaves(wanted, secret, etcd.as_deref(), now);
    }
    all
}

impl Certificates {
    /// H-13: replacing an authority takes a person, and time.
    fn ending(&mut self, authority: &Seen<SecretFact>, now: Timestamp) {
        const WARNED: SignedDuration = SignedDuration::from_hours(180 * 24);
        const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
        let Some((_, until)) = authority.fact.life else { return };
        let left = until.duration_since(now);
        if left >= WARNED {
            self.sooner(until.checked_sub(WARNED).ok());
            return;
        }
        let weeks = left.as_secs().max(0) / WEEK.as_secs();
        let words = format!(
            "the authority in Secret {} ends on {}, in {weeks} weeks; replace it before: nothing does it by itself",
            authority.name,
            until.strftime("%F"),
        );
        self.ending = Some(self.ending.take().map_or(words.clone(), |others| format!("{others}; {words}")));
        if left.is_positive() {
            self.sooner(until.checked_sub(SignedDuration::from_secs(weeks * WEEK.as_secs())).ok());
        }
    }

    fn sooner(&mut self, at: Option<Timestamp>) {
        self.timer = [self.timer, at].into_iter().flatten().min();
    }

    fn trouble(&mut self, words: String, reason: &'static str) {
        self.trouble.get_or_insert(Trouble { reason, words });
    }

    fn leaves(
        &mut self,
        wanted: &Wanted<'_>,
        secret: &dyn Fn(&str) -> Option<Seen<SecretFact>>,
        authority: Option<&str>,
        now: Timestamp,
    ) {
        for leaf in LEAVES {
            let name = leaf.secret(wanted);
            let own = leaf.purpose().is_some_and(|purpose| {
                wanted
                    .spec
                    .own_certificate_secret(purpose)
                    .is_some_and(|_| name != wanted.names.secret(purpose.as_str()))
            });
            match secret(&name) {
                None if own => self.trouble(
                    format!("Secret {name} does not exist; create it with keys tls.crt and tls.key"),
                    "InvalidCertificateRef",
                ),
                None => self.due.push(leaf),
                // What a user brings is used as it is.
                Some(found) if own || !found.labels.contains_key(CLUSTER_UID) => {}
                Some(found) => match renewal(
                    &found,
                    authority.map(|authority| leaf.issued_for(wanted, authority)).as_deref(),
                ) {
                    Some(at) if at > now => self.sooner(Some(at)),
                    _ if authority.is_some() => self.due.push(leaf),
                    _ => {}
                },
            }
        }
        // An authority without a key signs nothing; what exists stays.
        if self.trouble.as_ref().is_some_and(|trouble| trouble.reason == "SigningKeyMissing")
            || (authority.is_none() && self.missing.is_empty())
        {
            self.due.clear();
        }
    }
}

/// When a leaf of ours is due: a third of its life left (H-11); `None`: now.
fn renewal(found: &Seen<SecretFact>, issued_for: Option<&str>) -> Option<Timestamp> {
    let purpose = issued_for?;
    if found.annotation(ISSUED_FOR) != Some(&issued(purpose, &found.fact.digest)) {
        return None;
    }
    let (from, until) = found.fact.life?;
    let third = until.duration_since(from) / 3;
    until.checked_sub(third).ok()
}

/// The state of the kubeconfig (H-14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeconfigState {
    /// It is right; when half of its life is gone.
    Right(Option<Timestamp>),
    /// It must be written.
    Due,
    /// A Secret of that name is not ours.
    NotOurs,
}

/// What a kubeconfig is issued for.
pub fn kubeconfig_issued_for(wanted: &Wanted<'_>, server: &str, authority: &str) -> String {
    let spec = wanted.spec;
    digest(&json!([
        server,
        authority,
        spec.kubeconfig_user(),
        spec.kubeconfig_groups(),
        spec.kubeconfig_validity_days()
    ]))
}

/// Judges the kubeconfig Secret.
pub fn kubeconfig(
    wanted: &Wanted<'_>,
    found: Option<&Seen<SecretFact>>,
    server: &str,
    authority: &str,
    now: Timestamp,
) -> KubeconfigState {
    let Some(found) = found else { return KubeconfigState::Due };
    if found.labels.get(CLUSTER_UID) != Some(&wanted.origin.uid)
        && found.controller.as_ref() != Some(&wanted.origin.uid)
    {
        return KubeconfigState::NotOurs;
    }
    let metadata = wanted.spec.kubeconfig_secret_metadata.clone().unwrap_or_default();
    let ours = wanted.origin.labels(super::labels::Component::Kubeconfig);
    let labelled = metadata
        .labels
        .iter()
        .filter(|(key, _)| !ours.contains_key(*key))
        .all(|(key, value)| found.labels.get(key) == Some(value));
    let purpose = kubeconfig_issued_for(wanted, server, authority);
    if !labelled || found.annotation(ISSUED_FOR) != Some(&issued(&purpose, &found.fact.digest)) {
        return KubeconfigState::Due;
    }
    let Some((from, until)) = found.fact.life else { return KubeconfigState::Due };
    match until.checked_sub(until.duration_since(from) / 2) {
        Ok(half) if half > now => KubeconfigState::Right(Some(half)),
        _ => KubeconfigState::Due,
    }
}
