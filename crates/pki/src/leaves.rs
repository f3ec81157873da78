//! The leaf certificates of hosted control planes, by name (hosted.md 4.3).

use std::net::{IpAddr, Ipv4Addr};

use crate::leaf::LEAF_DAYS;
use crate::{KeyKind, Leaf, San, Usage};

/// By what names etcd is called: list E of hosted.md 4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdNames<'a> {
    /// The headless Service.
    pub headless: &'a str,
    /// The Service for clients, once a template uses it.
    pub client: Option<&'a str>,
    /// Namespace of both.
    pub namespace: &'a str,
    /// Domain of the hosting cluster, `cluster.local` unless said otherwise.
    pub domain: &'a str,
}

impl EtcdNames<'_> {
    /// Every name, in the order of the chapter.
    pub fn sans(&self) -> Vec<San> {
        let (namespace, domain) = (self.namespace, self.domain);
        let forms = |host: &str| {
            [host.to_owned(), format!("{host}.{namespace}.svc"), format!("{host}.{namespace}.svc.{domain}")]
        };
        let mut sans = vec![San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), San::Dns("localhost".into())];
        let wildcard = format!("*.{}", self.headless);
        sans.extend(forms(self.headless).into_iter().chain(forms(&wildcard)).map(San::Dns));
        sans.extend(self.client.map(forms).into_iter().flatten().map(San::Dns));
        sans
    }
}

/// `apiserver-etcd-client`, `etcd-server` or `etcd-peer`: CN and O are the purpose.
pub fn etcd_leaf(purpose: &str, names: &EtcdNames<'_>) -> Leaf {
    Leaf {
        common_name: purpose.to_owned(),
        organizations: vec![purpose.to_owned()],
        sans: names.sans(),
        usage: Usage::ClientAndServer,
        days: LEAF_DAYS,
        key: None,
    }
}

/// The operator's own client of etcd, used by defragmentation and metrics too.
pub fn operator_etcd_client() -> Leaf {
    client("k0smotron-operator", &[])
}

/// The client with which Prometheus reads the components.
pub fn metrics_client() -> Leaf {
    client("k0smotron-metrics", &["system:monitoring"])
}

/// The server that stands on workers for an API behind an ingress. `domain` is the child's cluster domain,
/// `kubernetes_service` the first address of its service range.
pub fn ingress_haproxy(domain: &str, kubernetes_service: IpAddr) -> Leaf {
    let names = [
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        "kubernetes.default.svc.cluster".to_owned(),
        format!("kubernetes.default.svc.{domain}"),
        format!("kubernetes.svc.{domain}"),
        "localhost".to_owned(),
    ];
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), kubernetes_service];
    Leaf {
        common_name: "ingress-haproxy".to_owned(),
        organizations: vec!["kubernetes".to_owned()],
        sans: names.into_iter().map(San::Dns).chain(addresses.into_iter().map(San::Ip)).collect(),
        usage: Usage::ClientAndServer,
        days: LEAF_DAYS,
        key: None,
    }
}

/// The user of an admin kubeconfig (hosted.md 4.4): `kubernetes-admin` in `system:masters`, unless the user's
/// `kubeconfig` field says otherwise.
pub fn cluster_admin(user: &str, groups: &[String], days: u32) -> Leaf {
    Leaf {
        common_name: user.to_owned(),
        organizations: groups.to_vec(),
        sans: Vec::new(),
        usage: Usage::Client,
        days,
        key: Some(KeyKind::EcdsaP256),
    }
}

fn client(common_name: &str, organizations: &[&str]) -> Leaf {
    Leaf {
        common_name: common_name.to_owned(),
        organizations: organizations.iter().map(|&name| name.to_owned()).collect(),
        sans: Vec::new(),
        usage: Usage::Client,
        days: LEAF_DAYS,
        key: None,
    }
}
