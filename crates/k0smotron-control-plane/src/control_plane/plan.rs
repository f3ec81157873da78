//! What follows from the decision.

use api::hosted::K0smotronControlPlaneStatus;
use cluster_api::cluster::ApiEndpoint;
use reconcile::{Effect, Event, Next, Plan, Said};

use super::decide::{Step, decide};
use super::observe::{ClusterFacts, Observed};
use super::{objects, status};

pub(super) fn plan(seen: &Observed) -> Plan<K0smotronControlPlaneStatus> {
    let step = decide(seen);
    let conditions = status::conditions(seen, &step);
    let mut events: Vec<Event> = Vec::new();
    if let Some(available) = conditions.iter().find(|condition| condition.type_ == "Available") {
        events.push(Event::of(available, false));
    }
    let effects = match &step {
        Step::Release => vec![Effect::Release],
        Step::DeleteHosted => {
            events.push(Event::acted("DeletingHostedCluster", step.words(seen)));
            delete_hosted(seen)
        }
        Step::Declare => declare(seen, &mut events),
        Step::WaitForWorkers { .. }
        | Step::WaitForHostedGone
        | Step::WaitForCluster
        | Step::RejectForeign
        | Step::WaitForFormerHosted => Vec::new(),
    };
    Plan {
        effects,
        // Nothing is written before a Cluster owns the object (cluster-api-contract 1.3).
        status: (step != Step::WaitForCluster && step != Step::Release).then(|| status::status(seen)),
        conditions,
        next: Next::OnChange,
        said: Said { step: said(&step, seen), words: step.words(seen), events },
        disruptive: false,
    }
}

/// A settled control plane waits for nothing.
fn said(step: &Step, seen: &Observed) -> &'static str {
    let ready = seen.hosted.as_ref().is_some_and(|hosted| hosted.status.ready_replicas.unwrap_or(0) > 0);
    match step {
        Step::Declare if ready => "Settled",
        Step::Declare => "WaitingForReplicas",
        step => step.name(),
    }
}

fn delete_hosted(seen: &Observed) -> Vec<Effect> {
    let Some((hosted, cluster)) = seen.hosted.as_ref().zip(seen.cluster.as_ref()) else { return Vec::new() };
    vec![Effect::Delete { what: objects::hosted_id(seen, &cluster.name), uid: hosted.uid.clone() }]
}

/// The finalizer first, then the `k0smotron.io` Cluster, then the endpoint where it differs.
fn declare(seen: &Observed, events: &mut Vec<Event>) -> Vec<Effect> {
    let Some(cluster) = &seen.cluster else { return Vec::new() };
    let mut effects = vec![Effect::Hold];
    let mut broken = Vec::new();
    let mut apply = |object: anyhow::Result<_>| match object {
        Ok(object) => effects.push(Effect::apply(object)),
        Err(error) => broken.push(Event::warned("InternalError", format!("{error:#}"))),
    };
    apply(objects::hosted(seen, cluster));
    if let Some(endpoint) = endpoint(seen) {
        if let Some(infrastructure) = &cluster.infrastructure
            && infrastructure.facts.endpoint.as_ref() != Some(&endpoint)
        {
            apply(objects::infrastructure_endpoint(seen, infrastructure, &endpoint));
        }
        apply(objects::cluster_part(seen, cluster, &endpoint, child_uid(seen)));
        if cluster.endpoint.as_ref() != Some(&endpoint) {
            events.push(Event::acted("EndpointChanged", format!("The control plane answers at {endpoint}")));
        }
        effects.extend(provisioned(seen, cluster));
    }
    events.extend(broken);
    effects
}

/// An infrastructure object in our charge is provisioned once the endpoint is known.
fn provisioned(seen: &Observed, cluster: &ClusterFacts) -> Option<Effect> {
    let infrastructure = cluster.infrastructure.as_ref()?;
    if !infrastructure.managed_by_us || infrastructure.facts.provisioned {
        return None;
    }
    objects::infrastructure_provisioned(seen, infrastructure)
        .ok()
        .map(|object| Effect::ApplyStatus(Box::new(object)))
}

fn child_uid(seen: &Observed) -> Option<&str> {
    seen.hosted.as_ref()?.status.dynamic_config.as_ref()?.child_uid.as_deref()
}

fn endpoint(seen: &Observed) -> Option<ApiEndpoint> {
    let endpoint = seen.hosted.as_ref()?.status.endpoint.as_ref()?;
    Some(ApiEndpoint { host: endpoint.host.clone(), port: endpoint.port })
}
