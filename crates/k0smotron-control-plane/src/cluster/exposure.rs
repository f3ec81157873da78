//! Where the API of a hosted control plane is reached (hosted.md 11.2, 11.3).

use api::hosted::{HostedEndpoint, ServiceType};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::facts::{NodeFact, Seen, ServiceFact};
use super::wanted::Wanted;

/// H-38: a node that reboots must not move the address of a cluster.
const NODE_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Host and port of the API for workers, tokens and Cluster API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The node whose address it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl Endpoint {
    /// `host:port`, with IPv6 in brackets (H-37).
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// `host:port`, with IPv6 in brackets.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether the endpoint is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// It is.
    Known(Endpoint),
    /// It is not yet, for this reason, in these words.
    Waiting(&'static str, String),
}

/// The endpoint, and when a timer must look again (a node that is away).
pub fn exposure(
    wanted: &Wanted<'_>,
    service: &Seen<ServiceFact>,
    nodes: &[Seen<NodeFact>],
    known: Option<&HostedEndpoint>,
    now: Timestamp,
) -> (Exposure, Option<Timestamp>) {
    let chosen =
        wanted.node_ports_are_chosen().then(|| service.fact.node_ports.get("api").copied()).flatten();
    let port = chosen.unwrap_or(wanted.spec.api_port());
    let at = |host: String, node: Option<String>| Exposure::Known(Endpoint { host, port, node });
    if let Some(pinned) = wanted.spec.pinned_address() {
        let bare = pinned.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(pinned);
        return (at(bare.to_owned(), None), None);
    }
    match wanted.spec.service_type() {
        ServiceType::ClusterIp => match service.fact.cluster_ips.first() {
            Some(ip) => (at(ip.clone(), None), None),
            None => (waiting("the Service has no cluster IP yet"), None),
        },
        ServiceType::LoadBalancer => match &service.fact.balancer {
            Some(address) => (at(address.clone(), None), None),
            None => (waiting(&format!("Service {} has no load balancer address yet", service.name)), None),
        },
        ServiceType::NodePort => {
            let Some((node, until)) = choose(nodes, known, now) else {
                let words = "no node of the hosting cluster is Ready, schedulable and has an address";
                return (Exposure::Waiting("NoReadyNode", words.to_owned()), None);
            };
            let address = node.fact.address.clone().unwrap_or_default();
            (at(address, Some(node.name.clone())), until)
        }
    }
}

fn waiting(words: &str) -> Exposure {
    Exposure::Waiting("WaitingForAddress", words.to_owned())
}

/// The node whose address is used: the one in use while it can serve, else the oldest that is Ready.
fn choose<'a>(
    nodes: &'a [Seen<NodeFact>],
    known: Option<&HostedEndpoint>,
    now: Timestamp,
) -> Option<(&'a Seen<NodeFact>, Option<Timestamp>)> {
    let with_address =
        || nodes.iter().filter(|node| node.fact.address.as_ref().is_some_and(|a| !a.is_empty()));
    let oldest = with_address()
        .filter(|node| node.fact.ready && node.fact.schedulable && !node.deleting)
        .min_by_key(|node| (node.created, node.name.clone()));
    let current = known.and_then(|known| {
        let host = Some(known.host.as_str());
        let same = |node: &&Seen<NodeFact>| node.fact.address.as_deref() == host;
        with_address().find(|node| same(node) && known.node.as_ref().is_none_or(|name| *name == node.name))
    });
    match (current, oldest) {
        (Some(current), _) if current.fact.ready => Some((current, None)),
        (Some(current), Some(other)) => {
            let until = current.fact.since.and_then(|since| since.checked_add(NODE_PATIENCE).ok());
            match until {
                Some(until) if until > now => Some((current, Some(until))),
                _ => Some((other, None)),
            }
        }
        (Some(current), None) => Some((current, None)),
        (None, oldest) => oldest.map(|node| (node, None)),
    }
}

/// The server in the kubeconfig: inside the cluster the Service's name, which outlives its address.
pub fn kubeconfig_server(wanted: &Wanted<'_>, endpoint: &Endpoint) -> String {
    let inside =
        wanted.spec.service_type() == ServiceType::ClusterIp && wanted.spec.pinned_address().is_none();
    if inside {
        format!("https://{}.{}.svc:{}", wanted.service_name(), wanted.origin.namespace, endpoint.port)
    } else {
        format!("https://{}", endpoint.authority())
    }
}

/// The Service that holds a node port, as namespace/name; `None` if it cannot be found, or may not be looked for.
pub async fn holder(client: &kube::Client, port: &str) -> Option<String> {
    let all: kube::Api<Service> = kube::Api::all(client.clone());
    let all = all.list(&kube::api::ListParams::default()).await.ok()?;
    let ports = |service: &Service| service.spec.clone().and_then(|spec| spec.ports).unwrap_or_default();
    let holds = |service: &&Service| {
        ports(service).iter().any(|one| one.node_port.is_some_and(|held| held.to_string() == port))
    };
    let found = all.items.iter().find(holds)?;
    Some(format!("{}/{}", found.namespace()?, found.name_any()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, ready: bool, since: &str, created: &str) -> Seen<NodeFact> {
        let fact = NodeFact {
            schedulable: true,
            ready,
            since: since.parse().ok(),
            address: Some(format!("10.0.0.{}", name.len())),
        };
        Seen { name: name.into(), created: created.parse().ok(), fact, ..Seen::default() }
    }

    fn endpoint(node: &Seen<NodeFact>) -> HostedEndpoint {
        let host = node.fact.address.clone().unwrap();
        HostedEndpoint { host, port: 30443, node: Some(node.name.clone()) }
    }

    /// H-38: NodePort is sticky.
    #[test]
    fn a_node_that_is_away_for_five_minutes_keeps_its_clusters() {
        let old = node("a", false, "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
        let other = node("bb", true, "2025-01-01T00:00:00Z", "2025-06-01T00:00:00Z");
        let nodes = [old.clone(), other];
        let at = |time: &str| choose(&nodes, Some(&endpoint(&old)), time.parse().unwrap());
        let (kept, until) = at("2026-01-01T00:05:00Z").unwrap();
        assert_eq!((kept.name.as_str(), until), ("a", "2026-01-01T00:10:00Z".parse().ok()));
        assert_eq!(at("2026-01-01T00:10:00Z").unwrap().0.name, "bb");
    }

    #[test]
    fn the_oldest_ready_node_is_chosen_and_kept_when_an_older_one_returns() {
        let young = node("bb", true, "2025-01-01T00:00:00Z", "2025-06-01T00:00:00Z");
        let old = node("a", true, "2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
        let nodes = [young.clone(), old];
        assert_eq!(choose(&nodes, None, Timestamp::UNIX_EPOCH).unwrap().0.name, "a");
        assert_eq!(choose(&nodes, Some(&endpoint(&young)), Timestamp::UNIX_EPOCH).unwrap().0.name, "bb");
    }

    #[test]
    fn ipv6_hosts_are_bracketed() {
        assert_eq!(authority("fd00::1", 443), "[fd00::1]:443");
        assert_eq!(authority("a.example", 443), "a.example:443");
    }
}
