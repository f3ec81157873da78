//! Which Node a Machine became.

use workload::{NodeFact, Reach};

use super::observe::{MachineFacts, Observed};
use crate::MACHINE_NAME_LABEL;

/// What to do about the link of a Machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// None of ours, or nothing to link.
    Leave(&'static str),
    /// The Machine has its Node.
    Linked,
    /// Something is not there yet.
    Wait(Wait),
    /// Two Nodes fit equally well: a guess could give one machine's pods to another.
    Ambiguous {
        /// Both of them, or more.
        nodes: Vec<String>,
    },
    /// The Node that fits has another provider ID, which is never overwritten.
    Mismatch {
        /// The Node.
        node: String,
        /// What it has.
        found: String,
    },
    /// Give the Node its provider ID, its label, or both.
    Link {
        /// The Node.
        node: NodeFact,
        /// It has no provider ID yet.
        provider_id: Option<String>,
    },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// `spec.providerID` of the Machine.
    ProviderId,
    /// The cluster, and why it does not answer.
    Cluster(String),
    /// A Node that fits.
    Node,
}

/// How well a Node fits a Machine; the order is that of remote-machine 9.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// An address of the Machine is an address of the Node.
    Address,
    /// The Node has the name of the Machine.
    Name,
    /// The Node carries the label with the name of the Machine.
    Label,
    /// The Node has the provider ID of the Machine, byte for byte.
    ProviderId,
}

/// How well this Node fits, if at all.
pub fn strength(machine: &MachineFacts, node: &NodeFact) -> Option<Strength> {
    if machine.provider_id.is_some() && node.provider_id == machine.provider_id {
        return Some(Strength::ProviderId);
    }
    if node.labels.get(MACHINE_NAME_LABEL) == Some(&machine.name) {
        return Some(Strength::Label);
    }
    if node.name == machine.name {
        return Some(Strength::Name);
    }
    let shared = node
        .addresses
        .iter()
        .any(|one| !is_loopback(&one.address) && machine.addresses.contains(&one.address));
    shared.then_some(Strength::Address)
}

fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The rules, in order (remote-machine 9, control-plane-and-bootstrap 14):
///
/// 1. Not ours, paused, going, or a controller without a kubelet: leave it.
/// 2. Core has found the Node: linked.
/// 3. No provider ID yet: wait for it.
/// 4. The cluster cannot be asked: wait.
/// 5. No Node fits: wait. Nodes that are going do not count.
/// 6. Several fit equally well, at the greatest strength: refuse to guess.
/// 7. The one that fits has the provider ID: see that it has the label.
/// 8. It has another provider ID: report, never touch.
/// 9. It has none: link.
pub fn decide(observed: &Observed) -> Step {
    let machine = &observed.machine;
    if !machine.ours {
        return Step::Leave("neither its bootstrap config nor its infrastructure is of a kind of ours");
    }
    if machine.nodeless {
        return Step::Leave("a controller without a kubelet has no node");
    }
    if machine.paused {
        return Step::Leave("paused");
    }
    if machine.deleting {
        return Step::Leave("the machine is being deleted");
    }
    if machine.node.is_some() {
        return Step::Linked;
    }
    let Some(provider_id) = &machine.provider_id else { return Step::Wait(Wait::ProviderId) };
    let nodes = match &observed.nodes {
        None => return Step::Wait(Wait::Cluster("its nodes are not known yet".to_owned())),
        Some(Reach::No(why)) => return Step::Wait(Wait::Cluster(why.clone())),
        Some(Reach::Yes(nodes)) => nodes,
    };
    let fitting =
        nodes.iter().filter(|node| !node.deleting).filter_map(|node| Some((strength(machine, node)?, node)));
    let fitting: Vec<(Strength, &NodeFact)> = fitting.collect();
    let Some(best) = fitting.iter().map(|(strength, _)| *strength).max() else {
        return Step::Wait(Wait::Node);
    };
    let mut equals = fitting.into_iter().filter(|(strength, _)| *strength == best).map(|(_, node)| node);
    let (Some(node), None) = (equals.next(), equals.next()) else {
        let all = nodes.iter().filter(|node| !node.deleting && strength(machine, node) == Some(best));
        return Step::Ambiguous { nodes: all.map(|node| node.name.clone()).collect() };
    };
    let labelled = node.labels.get(MACHINE_NAME_LABEL) == Some(&machine.name);
    match &node.provider_id {
        Some(found) if found == provider_id && labelled => Step::Linked,
        Some(found) if found == provider_id => Step::Link { node: node.clone(), provider_id: None },
        Some(found) => Step::Mismatch { node: node.name.clone(), found: found.clone() },
        None => Step::Link { node: node.clone(), provider_id: Some(provider_id.clone()) },
    }
}
