//! Names of the generated objects (hosted.md 3.1).

use md5::{Digest, Md5};

/// The longest name of a StatefulSet: its pods add an ordinal, its revisions a hash.
const SET_LIMIT: usize = 52;
/// The longest DNS label.
const LABEL_LIMIT: usize = 63;
/// Characters of a hash that make a shortened name unique enough within a namespace.
const HASH_DIGITS: usize = 5;

/// `x` if it has at most `limit` bytes, else its beginning and five digits of its MD5.
pub fn short(x: &str, limit: usize) -> String {
    if x.len() <= limit {
        return x.to_owned();
    }
    let mut keep = limit - HASH_DIGITS - 1;
    while !x.is_char_boundary(keep) {
        keep -= 1;
    }
    let hash = hex::encode(Md5::digest(x));
    format!("{}-{}", &x[..keep], &hash[..HASH_DIGITS])
}

/// `[x]`: shortened to a DNS label.
pub fn label(x: &str) -> String {
    short(x, LABEL_LIMIT)
}

/// `[x]52`: shortened to the name of a StatefulSet.
pub fn set(x: &str) -> String {
    short(x, SET_LIMIT)
}

/// The names of everything that belongs to the cluster `<n>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    cluster: String,
}

impl Names {
    /// The names for a cluster.
    pub fn new(cluster: &str) -> Self {
        Self { cluster: cluster.to_owned() }
    }

    /// The StatefulSet of the control plane.
    pub fn control_plane(&self) -> String {
        set(&format!("kmc-{}", self.cluster))
    }

    /// The StatefulSet of etcd.
    pub fn etcd(&self) -> String {
        set(&format!("kmc-{}-etcd", self.cluster))
    }

    /// The headless Service of etcd, for peers.
    pub fn etcd_peers(&self) -> String {
        label(&format!("kmc-{}-etcd", self.cluster))
    }

    /// The Service of etcd for API servers.
    pub fn etcd_clients(&self) -> String {
        label(&format!("kmc-{}-etcd-client", self.cluster))
    }

    /// The ConfigMap that records etcd's membership.
    pub fn etcd_members(&self) -> String {
        label(&format!("kmc-{}-etcd-members", self.cluster))
    }

    /// The ConfigMap with the k0s configuration, for people.
    pub fn config(&self) -> String {
        label(&format!("kmc-{}-config", self.cluster))
    }

    /// A Secret with one revision of the k0s configuration, for pods.
    pub fn config_revision(&self, hash: &str) -> String {
        format!("{}-{hash}", short(&format!("kmc-{}-config", self.cluster), LABEL_LIMIT - 1 - hash.len()))
    }

    /// The ConfigMap with a manifest for the child: who made it.
    pub fn telemetry(&self) -> String {
        format!("kmc-{}-telemetry-config", self.cluster)
    }

    /// The ConfigMap with a manifest for the child: where its API is.
    pub fn endpoint(&self) -> String {
        label(&format!("kmc-{}-endpoint", self.cluster))
    }

    /// The data volume, where the user's claim gives no other name.
    pub fn data_volume(&self) -> String {
        label(&format!("kmc-{}", self.cluster))
    }

    /// The volume of a manifest that we bring ourselves.
    pub fn own_volume(&self, what: &str) -> String {
        label(&format!("kmc-{}-{what}", self.cluster))
    }

    /// A Secret of the cluster; these are never shortened.
    pub fn secret(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.cluster)
    }

    /// The Service of the control plane, whose name tells its type.
    pub fn service(&self, type_: api::hosted::ServiceType) -> String {
        match type_ {
            api::hosted::ServiceType::ClusterIp => label(&format!("kmc-{}", self.cluster)),
            api::hosted::ServiceType::NodePort => label(&format!("kmc-{}-nodeport", self.cluster)),
            api::hosted::ServiceType::LoadBalancer => label(&format!("kmc-{}-lb", self.cluster)),
        }
    }
}

/// The ordinal of a pod or claim of a StatefulSet.
pub fn ordinal(pod: &str) -> Option<i32> {
    pod.rsplit_once('-')?.1.parse().ok()
}

/// The volume of a mount, named by its path (12.1).
pub fn mount_volume(path: &str) -> String {
    let plain = path.trim_start_matches('/').replace('/', "-");
    if is_dns_label(&plain) {
        return plain;
    }
    let lower: String =
        plain.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let cut: String = lower.trim_matches('-').chars().take(LABEL_LIMIT - HASH_DIGITS - 1).collect();
    let hash = hex::encode(sha2::Sha256::digest(path));
    let cut = cut.trim_matches('-');
    if cut.is_empty() {
        format!("mount-{}", &hash[..HASH_DIGITS])
    } else {
        format!("{cut}-{}", &hash[..HASH_DIGITS])
    }
}

/// Whether a text is a DNS label.
pub fn is_dns_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty()
        && text.len() <= LABEL_LIMIT
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_as_the_released_implementation_cut_it() {
        assert_eq!(
            label("kmc-prometheus-dk-enc-nodes-basic-sep17-v5-lg5hz-njttw-config-nginx"),
            "kmc-prometheus-dk-enc-nodes-basic-sep17-v5-lg5hz-njttw-co-c79c4"
        );
    }

    /// H-4.
    #[test]
    fn names_of_any_dns_label_fit_their_limits() {
        for length in [1, 41, 42, 52, 63] {
            let names = Names::new(&"n".repeat(length));
            for set in [names.control_plane(), names.etcd()] {
                assert!(set.len() <= 52, "{set}");
            }
            for other in [
                names.etcd_clients(),
                names.etcd_members(),
                names.config_revision("0123456789"),
                names.endpoint(),
            ] {
                assert!(is_dns_label(&other), "{other}");
            }
        }
        assert_eq!(Names::new("a").control_plane(), "kmc-a");
        assert_eq!(Names::new("a").config_revision("0123456789"), "kmc-a-config-0123456789");
    }

    #[test]
    fn a_mount_is_named_by_its_path() {
        assert_eq!(mount_volume("/etc/audit"), "etc-audit");
        let odd = mount_volume("/etc/Audit_Policy.yaml");
        assert!(odd.starts_with("etc-audit-policy-yaml-") && is_dns_label(&odd), "{odd}");
        assert_ne!(mount_volume("/etc/Audit"), mount_volume("/etc/audit"));
        assert!(is_dns_label(&mount_volume("/")));
        assert!(is_dns_label(&mount_volume(&format!("/{}", "x".repeat(100)))));
    }
}
