//! What follows from a step.

use cluster_api::Machine;
use kube::api::{ApiResource, DynamicObject};
use reconcile::{Effect, Event, Plan};
use serde_json::json;
use workload::NodeFact;

use super::CONDITION;
use super::decide::{Step, Wait};
use super::observe::{MachineFacts, Observed};

/// The one act that is no write to the management cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Own {
    /// Set the provider ID (if given) and the label of a Node.
    Link {
        /// The Node, guarded by its uid.
        node: Box<NodeFact>,
        /// Its provider ID, if it has none.
        provider_id: Option<String>,
    },
}

/// What follows.
pub fn plan(observed: &Observed, step: Step) -> Plan<(), Own> {
    let machine = &observed.machine;
    match step {
        Step::Leave(why) => Plan::nothing("Leave", why),
        Step::Linked => {
            let mut plan = Plan::nothing("Linked", "the machine has its node");
            // Written only over a trouble that was reported before: a Machine that never had one is not touched.
            if machine.condition.as_ref().is_some_and(|condition| condition.status != "True") {
                plan.effects.push(condition(observed, "True", "Linked", ""));
            }
            plan
        }
        Step::Wait(Wait::ProviderId) => Plan::nothing("Wait", "waiting for spec.providerID of the machine"),
        Step::Wait(Wait::Cluster(why)) => Plan::nothing("Wait", format!("waiting for the cluster: {why}")),
        Step::Wait(Wait::Node) => Plan::nothing("Wait", "waiting for a node that fits the machine"),
        Step::Ambiguous { nodes } => {
            let note = format!(
                "nodes {} fit this machine equally well; label the right one {}={}",
                nodes.join(", "),
                crate::MACHINE_NAME_LABEL,
                machine.name
            );
            trouble(observed, "AmbiguousNode", note)
        }
        Step::Mismatch { node, found } => {
            let note = format!(
                "node {node} has provider ID {found:?}, the machine has {:?}; a node's provider ID cannot be changed: \
                 if the node is this machine's, delete the Node object and restart its kubelet",
                machine.provider_id.as_deref().unwrap_or_default()
            );
            trouble(observed, "ProviderIDMismatch", note)
        }
        Step::Link { node, provider_id } => {
            let note = match &provider_id {
                Some(id) => format!("node {} gets provider ID {id}", node.name),
                None => format!("node {} gets the label of its machine", node.name),
            };
            let mut plan = Plan::nothing("Link", note.clone());
            plan.said.events.push(Event::acted("NodeLinked", note));
            plan.effects.push(Effect::Own(Own::Link { node: Box::new(node), provider_id }));
            plan
        }
    }
}

fn trouble(observed: &Observed, reason: &'static str, note: String) -> Plan<(), Own> {
    let mut plan = Plan::nothing(reason, note.clone());
    plan.effects.push(condition(observed, "False", reason, &note));
    plan.said.events.push(Event::warned(reason, note));
    plan
}

/// Our entry in the Machine's list of conditions, which we share with core (contract 1.6): applied alone.
fn condition(observed: &Observed, status: &str, reason: &str, message: &str) -> Effect<Own> {
    let MachineFacts { name, namespace, uid, condition, .. } = &observed.machine;
    let same = condition.as_ref().filter(|old| old.status == status);
    let since = same.map_or(observed.now, |old| old.last_transition_time.0);
    let since = jiff::Timestamp::from_second(since.as_second()).unwrap_or(since);
    let condition = json!({
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since.to_string(),
    });
    let resource = ApiResource::erase::<Machine>(&());
    let mut object = DynamicObject::new(name, &resource).within(namespace);
    object.metadata.uid = Some(uid.clone());
    object.data = json!({ "status": { "conditions": [condition] } });
    Effect::ApplyStatus(Box::new(object))
}
