//! A client whose requests fail when a test says so, and which counts them.
//!
//! [`FaultHandle`] is the test's hand on any number of clients made with it: it fails requests, loses answers, delays
//! what watches say, and cuts everything off after the n-th write as a killed process would be.

mod body;
mod layer;
mod request;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use kube::client::ClientBuilder;
use tokio::sync::watch;

use crate::access::config_from_file;
pub use layer::FaultLayer;
pub use request::ApiRequest;

/// A client from a kubeconfig file under this handle.
pub async fn client(kubeconfig: &Path, handle: &FaultHandle) -> Result<kube::Client> {
    client_with(config_from_file(kubeconfig).await?, handle)
}

/// A client from settings under this handle.
pub fn client_with(config: kube::Config, handle: &FaultHandle) -> Result<kube::Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&FaultLayer::new(handle.clone())).build())
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not sent; answered with this HTTP status and a `Status` object of the fitting reason.
    Status(u16),
    /// Not sent; fails as timed out after this time.
    Timeout(Duration),
    /// Sent and done, but the connection breaks before the answer.
    LostAnswer,
}

/// Which requests fail, how, and how often.
#[derive(Clone, Debug)]
pub struct Rule {
    verb: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    fault: Fault,
    left: Option<u32>,
}

impl Rule {
    /// Every request fails, until the rule is taken back.
    pub fn every(fault: Fault) -> Self {
        Self { verb: None, resource: None, name: None, fault, left: None }
    }

    /// Only requests of this verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    #[must_use]
    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    /// Only requests for this resource: the plural, and after a slash the subresource if it is one.
    #[must_use]
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only requests for the object of this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only the next so many.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    fn meets(&self, request: &ApiRequest) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        self.left != Some(0)
            && same(&self.verb, &request.verb)
            && same(&self.resource, &request.full_resource())
            && same(&self.name, &request.name)
    }
}

/// The test's hand on its clients. Clones are the same hand.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Mutex<Plan>,
    cut: watch::Sender<bool>,
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    cut: Option<Cut>,
    events_do_not_count: bool,
    delay: Duration,
    counts: BTreeMap<(String, String), u64>,
    writes: Vec<ApiRequest>,
}

/// When everything is cut off.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// This many writes are done; the last one's answer is lost.
    After(usize),
    /// This many writes are done and answered; the next one is not sent.
    Before(usize),
}

/// What is to be done with a request.
enum Verdict {
    Send,
    SendAndCut,
    Fail(Fault),
    Cut,
}

impl Default for FaultHandle {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultHandle {
    /// A handle under which nothing fails yet.
    pub fn new() -> Self {
        let shared = Shared {
            plan: Mutex::default(),
            cut: watch::Sender::new(false),
            held: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule; the first one that meets a request is used.
    pub fn fail(&self, rule: Rule) {
        self.plan().rules.push(rule);
    }

    /// Takes all rules back.
    pub fn heal(&self) {
        self.plan().rules.clear();
    }

    /// From now on: lets `n` writes (see [`ApiRequest::is_write`]) reach the API server and then behaves as if the process had been
    /// killed: the n-th write is done but its answer is lost, every further request fails, watches break. With 0,
    /// at once.
    pub fn cut_after_write(&self, n: usize) {
        self.cut(Cut::After(n));
        self.shared.cut.send_replace(n == 0);
    }

    /// From now on: behaves as if the process had been killed when it was about to send its n-th write. Those before
    /// it were answered, and whatever else the process does between two writes (ask an etcd to take a member) was
    /// done too.
    pub fn cut_before_write(&self, n: usize) {
        self.cut(Cut::Before(n.saturating_sub(1)));
        self.shared.cut.send_replace(false);
    }

    fn cut(&self, cut: Cut) {
        let mut plan = self.plan();
        plan.writes.clear();
        plan.cut = Some(cut);
    }

    /// Events are let through and not counted among the writes. A process that lives for a write or two would
    /// otherwise do nothing but tell the same event again, for ever: what a status has become is told before it is
    /// written, so that no crash can swallow it.
    pub fn events_do_not_count(&self) {
        self.plan().events_do_not_count = true;
    }

    /// Whether the cut has happened.
    pub fn is_cut(&self) -> bool {
        *self.shared.cut.borrow()
    }

    /// Waits for the cut.
    pub async fn until_cut(&self) {
        // An error would mean that the sender is gone; `self` holds it.
        let _ = self.shared.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Ends the cut and plans none; counts stay.
    pub fn mend(&self) {
        self.plan().cut = None;
        self.shared.cut.send_replace(false);
    }

    /// Holds back what watches say until [`Self::release_watches`]: caches grow stale while reads and writes go on.
    pub fn hold_watches(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets watches say what was held back.
    pub fn release_watches(&self) {
        self.shared.held.send_replace(false);
    }

    /// Delays everything that watches say by this much.
    pub fn delay_watches(&self, delay: Duration) {
        self.plan().delay = delay;
    }

    /// Requests so far by verb and resource (`secrets`, `secrets/status`), whether they failed or not.
    pub fn requests(&self) -> BTreeMap<(String, String), u64> {
        self.plan().counts.clone()
    }

    /// How many requests of this verb for this resource there were.
    pub fn count(&self, verb: &str, resource: &str) -> u64 {
        self.plan().counts.get(&(verb.to_owned(), resource.to_owned())).copied().unwrap_or_default()
    }

    /// The writes that were let through, in order.
    pub fn writes(&self) -> Vec<ApiRequest> {
        self.plan().writes.clone()
    }

    /// Begins to count anew.
    pub fn reset_counts(&self) {
        let mut plan = self.plan();
        plan.counts.clear();
        plan.writes.clear();
    }

    fn judge(&self, request: &ApiRequest) -> Verdict {
        if self.is_cut() {
            return Verdict::Cut;
        }
        let mut plan = self.plan();
        *plan.counts.entry((request.verb.clone(), request.full_resource())).or_default() += 1;
        if let Some(rule) = plan.rules.iter_mut().find(|rule| rule.meets(request)) {
            rule.left = rule.left.map(|left| left - 1);
            // What is sent although its answer is lost is a write like any other.
            if rule.fault != Fault::LostAnswer {
                return Verdict::Fail(rule.fault);
            }
            if request.is_write() {
                plan.writes.push(request.clone());
            }
            return Verdict::Fail(Fault::LostAnswer);
        }
        if !request.is_write() || (plan.events_do_not_count && request.resource == "events") {
            return Verdict::Send;
        }
        let done = plan.writes.len();
        match plan.cut {
            // The n-th is on its way: a process that is about to die sends nothing after it.
            Some(Cut::After(n)) if done >= n => Verdict::Cut,
            Some(Cut::Before(n)) if done >= n => {
                self.cut_now();
                Verdict::Cut
            }
            Some(Cut::After(n)) if done + 1 == n => {
                plan.writes.push(request.clone());
                Verdict::SendAndCut
            }
            _ => {
                plan.writes.push(request.clone());
                Verdict::Send
            }
        }
    }

    fn cut_now(&self) {
        self.shared.cut.send_replace(true);
    }

    fn watch_delay(&self) -> Duration {
        self.plan().delay
    }

    async fn until_released(&self) {
        let _ = self.shared.held.subscribe().wait_for(|held| !*held).await;
    }
}
