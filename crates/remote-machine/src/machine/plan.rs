//! A step as effects, status and words.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::remote_machine::{
    HostInfo, MachineAddress, MachineAddressType, MachineInitialization, RemoteMachine, RemoteMachineStatus,
    RunStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ApiResource, DynamicObject};
use reconcile::{Effect, Event, Next, Plan, Said};
use serde_json::{Map, Value, json};

use super::conditions::{self, BOOTSTRAP, DELETING};
use super::decide::{Step, decide, host_facts};
use super::observe::{MachineFacts, Observed};
use super::own::Own;
use super::{ACCEPT_NEW_HOST_KEY, CLEAN_UP, RETRY_PROVISION, SSH_HOST_KEY, retry};
use crate::tasks::{State, Task, Work};

/// What follows from an observation.
pub fn plan(observed: &Observed) -> Plan<RemoteMachineStatus, Own> {
    let step = decide(observed);
    let mut plan = Plan {
        effects: Vec::new(),
        status: Some(status(observed, &step)),
        conditions: conditions::of(observed, &step),
        next: Next::OnChange,
        said: Said { step: "Settled", words: String::new(), events: Vec::new() },
        disruptive: false,
    };
    let (name, words) = say(observed, &step, &mut plan);
    plan.said.step = name;
    plan.said.words = words;
    let watched = if observed.deleting() { DELETING } else { BOOTSTRAP };
    if let Some(condition) = plan.conditions.iter().find(|condition| condition.type_ == watched) {
        let bad = matches!(step, Step::Refuse(_) | Step::Failed { .. } | Step::CleanUpFailed { .. });
        if bad || matches!(step, Step::WaitForInfrastructure | Step::WaitForData) {
            plan.said.events.push(Event::of(condition, bad));
        }
    }
    plan
}

/// One short arm for each step: effects, when to look again, words.
fn say(
    observed: &Observed,
    step: &Step,
    plan: &mut Plan<RemoteMachineStatus, Own>,
) -> (&'static str, String) {
    let event =
        |plan: &mut Plan<_, _>, reason: &str, note: String| plan.said.events.push(Event::acted(reason, note));
    match step {
        Step::Gone | Step::WaitForOwner => {
            // Nothing of it is ours (yet), so nothing is written.
            (plan.status, plan.conditions) = (None, Vec::new());
            ("WaitingForOwner", "no Machine owns it".to_owned())
        }
        Step::LetGo { why, dirty } => {
            plan.effects = vec![Effect::Own(Own::Forget), Effect::Release];
            if *dirty {
                plan.said.events.push(Event::warned("HostNotCleaned", why.clone()));
            } else {
                event(plan, "Released", why.clone());
            }
            ("LetGo", why.clone())
        }
        Step::Cancel => {
            plan.effects = vec![Effect::Own(Own::Forget)];
            ("Cancel", "the bootstrap is stopped".to_owned())
        }
        Step::CleanUp => {
            plan.effects = vec![Effect::Own(Own::CleanUp)];
            clean_up_events(observed, plan);
            ("CleanUp", "the clean-up of the host begins".to_owned())
        }
        Step::CleaningUp { .. } => ("CleaningUp", "the host is being cleaned".to_owned()),
        Step::CleanUpFailed { failure, again, .. } => {
            plan.next = Next::In(*again);
            ("CleanUpFailed", failure.to_string())
        }
        Step::Hold => {
            plan.effects = vec![Effect::Hold];
            ("Hold", "it is held".to_owned())
        }
        Step::Settled => {
            plan.effects = observed
                .machine
                .as_ref()
                .and_then(|machine| copy_metadata(&observed.remote, machine))
                .into_iter()
                .collect();
            ("Settled", "the host is bootstrapped".to_owned())
        }
        Step::Report => {
            let id = provider_id(&observed.remote);
            plan.effects = vec![own_part(&observed.remote, &[], Some(&id))];
            event(plan, "Provisioned", format!("the host is bootstrapped; its provider ID is {id}"));
            ("Report", "the host has been bootstrapped".to_owned())
        }
        Step::WaitForInfrastructure => {
            ("WaitingForInfrastructure", "the Cluster's infrastructure is not provisioned".to_owned())
        }
        Step::WaitForData => ("WaitingForData", "the Machine names no bootstrap data".to_owned()),
        Step::Refuse(failure) => {
            // A Secret without our label is not watched.
            plan.next = Next::In(retry::LOOK_AGAIN);
            ("Refused", failure.to_string())
        }
        Step::ForgetHostKey => {
            let names = vec![ACCEPT_NEW_HOST_KEY.to_owned(), SSH_HOST_KEY.to_owned()];
            plan.effects = vec![Effect::Own(Own::Forget), Effect::Own(Own::TakeAnnotations(names))];
            event(plan, "HostKeyForgotten", "the known host key is forgotten, as annotated".to_owned());
            ("ForgetHostKey", "the known host key is forgotten".to_owned())
        }
        Step::RetryNow => {
            let names = vec![RETRY_PROVISION.to_owned()];
            plan.effects = vec![Effect::Own(Own::Forget), Effect::Own(Own::TakeAnnotations(names))];
            ("RetryNow", "tried again at once, as annotated".to_owned())
        }
        Step::LearnHostKey => {
            plan.effects = vec![Effect::Own(Own::Learn)];
            ("LearnHostKey", "the host is asked for its key".to_owned())
        }
        Step::RecordHostKey { fingerprint } => {
            plan.effects = vec![own_part(&observed.remote, &[(SSH_HOST_KEY, fingerprint)], None)];
            event(
                plan,
                "HostKeyLearned",
                format!("the host shows key {fingerprint}; no other is accepted from now on"),
            );
            ("RecordHostKey", format!("the host's key is {fingerprint}"))
        }
        Step::LogIn => {
            plan.effects = vec![Effect::Own(Own::LogIn)];
            ("LogIn", "the host is asked whether it lets us in".to_owned())
        }
        Step::RecordCleanUp { facts } => {
            plan.effects = vec![own_part(&observed.remote, &[(CLEAN_UP, facts)], None)];
            ("RecordCleanUp", "what the clean-up will need is recorded".to_owned())
        }
        Step::Provision => {
            plan.effects = vec![Effect::Own(Own::Provision)];
            if observed.task.as_ref().is_none_or(|task| task.failures == 0) {
                event(plan, "RunStarted", "the bootstrap of the host begins".to_owned());
            }
            ("Provision", "the bootstrap of the host begins".to_owned())
        }
        Step::Working { .. } => ("Working", "the host is being bootstrapped".to_owned()),
        Step::Failed { failure, again } => {
            plan.next = Next::In(*again);
            ("Failed", failure.to_string())
        }
    }
}

/// The first attempt is told, and one that has failed for long about hourly.
fn clean_up_events(observed: &Observed, plan: &mut Plan<RemoteMachineStatus, Own>) {
    match &observed.task {
        Some(Task { work: Work::CleanUp, failures, last: Some(last), .. })
            if retry::told_again(*failures) =>
        {
            let note = format!("attempt {failures} to clean the host failed: {last}");
            plan.said.events.push(Event::warned("CleanUpFailed", note));
        }
        Some(Task { work: Work::CleanUp, .. }) => {}
        _ => plan.said.events.push(Event::acted("CleanUpStarted", "the clean-up of the host begins")),
    }
}

/// The fields that we own in the RemoteMachine, by server-side apply: those that are there, and the new ones.
fn own_part(remote: &RemoteMachine, new: &[(&str, &String)], provider_id: Option<&str>) -> Effect<Own> {
    let live = remote.metadata.annotations.as_ref();
    let mut annotations: BTreeMap<&str, &str> = [SSH_HOST_KEY, CLEAN_UP]
        .into_iter()
        .filter_map(|key| Some((key, live?.get(key)?.as_str())))
        .collect();
    annotations.extend(new.iter().map(|(key, value)| (*key, value.as_str())));
    let mut body = json!({ "metadata": { "annotations": annotations } });
    if let Some(id) = provider_id.or(remote.spec.provider_id.as_deref()).filter(|id| !id.is_empty()) {
        body["spec"] = json!({ "providerID": id });
    }
    let name = remote.metadata.name.as_deref().unwrap_or_default();
    Effect::apply(partial(
        &ApiResource::erase::<RemoteMachine>(&()),
        name,
        &remote.metadata,
        remote.metadata.uid.as_deref(),
        &body,
    ))
}

/// A part of an existing object: with its uid, so that it is not made anew when it is gone.
fn partial(
    resource: &ApiResource,
    name: &str,
    near: &kube::core::ObjectMeta,
    uid: Option<&str>,
    body: &Value,
) -> DynamicObject {
    let mut object = DynamicObject::new(name, resource);
    object.metadata.namespace.clone_from(&near.namespace);
    object.metadata.uid = uid.map(ToOwned::to_owned);
    let map = |key: &str| serde_json::from_value(body["metadata"][key].clone()).ok();
    object.metadata.annotations = map("annotations");
    object.metadata.labels = map("labels");
    if let Some(spec) = body.get("spec") {
        object.data = json!({ "spec": spec });
    }
    object
}

/// Step 14: labels and annotations that the Machine lacks; existing ones win.
fn copy_metadata(remote: &RemoteMachine, machine: &MachineFacts) -> Option<Effect<Own>> {
    let free = |all: &Option<BTreeMap<String, String>>| -> BTreeMap<String, String> {
        all.iter()
            .flatten()
            .filter(|(key, _)| !is_reserved(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let (labels, annotations) = (free(&remote.metadata.labels), free(&remote.metadata.annotations));
    let lacks = |wanted: &BTreeMap<String, String>, has: &BTreeMap<String, String>| {
        wanted.keys().any(|key| !has.contains_key(key))
    };
    if !machine.ours && !lacks(&labels, &machine.labels) && !lacks(&annotations, &machine.annotations) {
        return None;
    }
    // What is there with the same value is ours already, or does no harm.
    let wanted = |wanted: BTreeMap<String, String>, has: &BTreeMap<String, String>| -> Map<String, Value> {
        wanted
            .into_iter()
            .filter(|(key, value)| has.get(key).is_none_or(|old| old == value))
            .map(|(key, value)| (key, Value::String(value)))
            .collect()
    };
    let (labels, annotations) = (wanted(labels, &machine.labels), wanted(annotations, &machine.annotations));
    let mut metadata = Map::new();
    if !labels.is_empty() {
        metadata.insert("labels".into(), labels.into());
    }
    if !annotations.is_empty() {
        metadata.insert("annotations".into(), annotations.into());
    }
    let resource = ApiResource::erase::<cluster_api::Machine>(&());
    let body = json!({ "metadata": metadata });
    Some(Effect::apply(partial(&resource, &machine.name, &remote.metadata, Some(&machine.uid), &body)))
}

/// 4.3: keys of tools and of Kubernetes do not travel.
fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let is = |name: &str| domain == name || domain.ends_with(&format!(".{name}"));
    domain == "kubectl.kubernetes.io"
        || is("cluster.x-k8s.io")
        || is("k0smotron.io")
        || domain == "k8s.io"
        || key == "app.kubernetes.io/managed-by"
        || domain == "argocd.argoproj.io"
        || is("toolkit.fluxcd.io")
}

/// `remote-machine://<address>:<port>`, with brackets around IPv6 (1.5).
fn provider_id(remote: &RemoteMachine) -> String {
    let address = remote.spec.wanted_address().unwrap_or_default();
    let port = remote.spec.effective_port();
    if address.contains(':') && !address.starts_with('[') {
        format!("remote-machine://[{address}]:{port}")
    } else {
        format!("remote-machine://{address}:{port}")
    }
}

fn status(observed: &Observed, step: &Step) -> RemoteMachineStatus {
    let mut status = observed.remote.status.clone().unwrap_or_default();
    status.conditions = Vec::new();
    status.observed_generation = observed.remote.metadata.generation;
    status.host_key_fingerprints =
        observed.annotation(SSH_HOST_KEY).map(ToOwned::to_owned).into_iter().collect();
    if observed.provisioned() {
        status.initialization = Some(MachineInitialization { provisioned: Some(true) });
        if let Some(host) = host_facts(observed) {
            status.node_info = Some(HostInfo {
                architecture: Some(host.architecture.clone()),
                operating_system: Some(host.operating_system.clone()),
            });
        }
        if status.addresses.is_empty() || host_facts(observed).is_some() {
            status.addresses = addresses(observed);
        }
    }
    status.run = run(observed, step, status.run.take());
    status
}

fn run(observed: &Observed, step: &Step, live: Option<RunStatus>) -> Option<RunStatus> {
    let number = |count: usize| i32::try_from(count).ok();
    let mut run = match (live, observed.run()) {
        (Some(live), Some(run)) if live.id.as_deref() == Some(&run.id) => live,
        (_, Some(run)) if observed.annotation(CLEAN_UP).is_some() => {
            RunStatus { id: Some(run.id), steps: number(run.steps), ..RunStatus::default() }
        }
        (live, _) => live?,
    };
    let now = || Some(Time(observed.now));
    match &observed.task {
        _ if observed.provisioned() => {
            run.phase = Some("Done".to_owned());
            run.step = run.steps;
            run.finish_time = run.finish_time.or_else(now);
        }
        Some(Task { work: Work::Provision, state: State::Running { phase, step }, failures, .. }) => {
            run.phase = Some(phase.clone());
            run.step = number(*step).filter(|step| *step > 0).or(run.step);
            run.attempt = i32::try_from(*failures).ok().map(|failures| failures.saturating_add(1));
            run.start_time = run.start_time.or_else(now);
        }
        Some(Task { work: Work::Provision, state: State::Failed { .. }, .. })
            if matches!(step, Step::Failed { .. }) =>
        {
            run.phase = Some("Failed".to_owned());
        }
        _ => {}
    }
    Some(run)
}

/// `ExternalIP` with `spec.address` first, whatever that is; then what is known better (section 8, R-25).
fn addresses(observed: &Observed) -> Vec<MachineAddress> {
    let mut all = Vec::new();
    let mut add = |type_: MachineAddressType, address: &str| {
        let address = MachineAddress { type_, address: address.to_owned() };
        if !address.address.is_empty() && address.address.len() <= 256 && !all.contains(&address) {
            all.push(address);
        }
    };
    if let Some(address) = observed.remote.spec.wanted_address() {
        add(MachineAddressType::ExternalIp, address);
        match address.trim_matches(['[', ']']).parse::<IpAddr>() {
            Err(_) => add(MachineAddressType::ExternalDns, address),
            Ok(ip) if is_private(ip) => add(MachineAddressType::InternalIp, address),
            Ok(_) => {}
        }
    }
    if let Some(host) = host_facts(observed) {
        for address in &host.addresses {
            add(MachineAddressType::InternalIp, address);
        }
        add(MachineAddressType::Hostname, &host.hostname);
    }
    all
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}
