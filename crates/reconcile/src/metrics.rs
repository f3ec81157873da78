//! Metrics of the driver. Names, types and labels of the first group are those that dashboards made for the
//! Go manager expect (packaging-and-api 13.1); the second group is ours (13.2).

mod passes;
mod process;
mod prometheus;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::cache::Key;
use crate::clock;
pub use passes::PassUnderWay;
use passes::Passes;

/// The label of most families.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OfController {
    controller: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfQueue {
    name: String,
    controller: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfResult {
    controller: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfStep {
    controller: String,
    step: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfWrite {
    controller: String,
    verb: &'static str,
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfWait {
    kind: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfRequest {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OfLease {
    name: String,
}

#[derive(Clone)]
pub(crate) struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        // From a pass that reads caches only (under a millisecond) to one that waits for a slow server.
        Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0])
    }
}

type Counters<L> = Family<L, Counter>;
type Gauges<L> = Family<L, Gauge<i64, AtomicI64>>;
type Histograms<L> = Family<L, Histogram, Seconds>;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Requeue,
    RequeueAfter,
    Error,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Requeue => "requeue",
            Self::RequeueAfter => "requeue_after",
            Self::Error => "error",
        }
    }
}

/// The families; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: std::sync::Mutex<Registry>,
    under_way: Arc<Passes>,
    passes: Counters<OfResult>,
    errors: Counters<OfController>,
    terminal: Counters<OfController>,
    panics: Counters<OfController>,
    seconds: Histograms<OfController>,
    active: Gauges<OfController>,
    most: Gauges<OfController>,
    depth: Gauges<OfQueue>,
    adds: Counters<OfQueue>,
    waited: Histograms<OfQueue>,
    worked: Histograms<OfQueue>,
    retries: Counters<OfQueue>,
    requests: Counters<OfRequest>,
    leader: Gauges<OfLease>,
    steps: Counters<OfStep>,
    writes: Counters<OfWrite>,
    waits: Gauges<OfWait>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every family.
    pub fn new() -> Self {
        let families = Families {
            registry: std::sync::Mutex::default(),
            under_way: Arc::default(),
            passes: Family::default(),
            errors: Family::default(),
            terminal: Family::default(),
            panics: Family::default(),
            seconds: Family::new_with_constructor(Seconds),
            active: Family::default(),
            most: Family::default(),
            depth: Family::default(),
            adds: Family::default(),
            waited: Family::new_with_constructor(Seconds),
            worked: Family::new_with_constructor(Seconds),
            retries: Family::default(),
            requests: Family::default(),
            leader: Family::default(),
            steps: Family::default(),
            writes: Family::default(),
            waits: Family::default(),
        };
        let mut r = Registry::default();
        r.register("controller_runtime_reconcile", "Passes by result", families.passes.clone());
        r.register("controller_runtime_reconcile_errors", "Passes that failed", families.errors.clone());
        // Ours has no errors that are given up: what the user must repair is a wait, and is told as one.
        r.register(
            "controller_runtime_terminal_reconcile_errors",
            "Passes that failed for good",
            families.terminal.clone(),
        );
        r.register("controller_runtime_reconcile_panics", "Passes that panicked", families.panics.clone());
        r.register(
            "controller_runtime_reconcile_time_seconds",
            "Duration of a pass",
            families.seconds.clone(),
        );
        r.register("controller_runtime_active_workers", "Passes under way", families.active.clone());
        r.register(
            "controller_runtime_max_concurrent_reconciles",
            "Most passes at once",
            families.most.clone(),
        );
        r.register("workqueue_depth", "Objects that wait for their pass", families.depth.clone());
        r.register("workqueue_adds", "Wishes for a pass", families.adds.clone());
        r.register("workqueue_queue_duration_seconds", "Time from due to pass", families.waited.clone());
        r.register("workqueue_work_duration_seconds", "Duration of a pass", families.worked.clone());
        r.register("workqueue_retries", "Passes wished for after a failure", families.retries.clone());
        r.register_collector(Box::new(families.under_way.clone()));
        r.register_collector(Box::new(process::Process));
        r.register("rest_client_requests", "Requests to the API server", families.requests.clone());
        r.register("leader_election_master_status", "1 while this process leads", families.leader.clone());
        r.register("k0smotron_step", "Decided steps", families.steps.clone());
        r.register("k0smotron_api_writes", "Writes to the API server", families.writes.clone());
        r.register("k0smotron_waiting_objects", "Objects that wait, by reason", families.waits.clone());
        *families.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = r;
        Self(Arc::new(families))
    }

    /// Registers families of a controller's own.
    pub fn with_registry<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The text in the form that every Prometheus reads, 0.0.4.
    pub fn text(&self) -> String {
        prometheus::from_open_metrics(&self.open_metrics())
    }

    /// The OpenMetrics text, for who asks for it.
    pub fn open_metrics(&self) -> String {
        let mut out = String::new();
        self.with_registry(|registry| {
            if let Err(error) = text::encode(&mut out, registry) {
                tracing::error!(%error, "cannot encode metrics");
            }
        });
        out
    }

    /// The passes that are being made now.
    pub fn passes_under_way(&self) -> Vec<PassUnderWay> {
        self.0.under_way.list(clock::instant())
    }

    /// A controller makes passes from now on: its series begin at 0, so that a rate shows the first failure.
    pub(crate) fn controller_runs(&self, name: &'static str, most: usize) {
        self.0.under_way.of(name);
        self.0.most.get_or_create(&controller(name)).set(i64::try_from(most).unwrap_or(i64::MAX));
        self.0.active.get_or_create(&controller(name)).inc_by(0);
        for counter in [&self.0.errors, &self.0.terminal, &self.0.panics] {
            counter.get_or_create(&controller(name)).inc_by(0);
        }
        self.0.depth.get_or_create(&queue(name)).inc_by(0);
        for counter in [&self.0.adds, &self.0.retries] {
            counter.get_or_create(&queue(name)).inc_by(0);
        }
    }

    pub(crate) fn pass_started(&self, name: &'static str, key: &Key, due: Instant) -> Started {
        let now = clock::instant();
        self.0.active.get_or_create(&controller(name)).inc();
        self.0.waited.get_or_create(&queue(name)).observe(now.saturating_duration_since(due).as_secs_f64());
        Started { name, number: self.0.under_way.began(name, key, now), at: now }
    }

    pub(crate) fn pass_ended(&self, started: &Started, outcome: Outcome) {
        let Started { name, number, at } = *started;
        let took = clock::instant().saturating_duration_since(at).as_secs_f64();
        self.0.under_way.ended(name, number);
        self.0.active.get_or_create(&controller(name)).dec();
        self.0.seconds.get_or_create(&controller(name)).observe(took);
        self.0.worked.get_or_create(&queue(name)).observe(took);
        self.0
            .passes
            .get_or_create(&OfResult { controller: name.to_owned(), result: outcome.as_str() })
            .inc();
        if outcome == Outcome::Error {
            self.0.errors.get_or_create(&controller(name)).inc();
            self.0.retries.get_or_create(&queue(name)).inc();
        }
    }

    pub(crate) fn panicked(&self, name: &str) {
        self.0.panics.get_or_create(&controller(name)).inc();
    }

    pub(crate) fn woken(&self, name: &str) {
        self.0.adds.get_or_create(&queue(name)).inc();
    }

    /// An object began (+1) or ceased (-1) to wait for its pass, which is due.
    pub(crate) fn waits_for_its_pass(&self, name: &str, by: i64) {
        self.0.depth.get_or_create(&queue(name)).inc_by(by);
    }

    pub(crate) fn step(&self, name: &str, step: &str) {
        self.0.steps.get_or_create(&OfStep { controller: name.to_owned(), step: step.to_owned() }).inc();
    }

    pub(crate) fn wrote(&self, name: &str, verb: &'static str, kind: &str) {
        self.0
            .writes
            .get_or_create(&OfWrite { controller: name.to_owned(), verb, kind: kind.to_owned() })
            .inc();
    }

    /// An object began (+1) or ceased (-1) to wait for a reason.
    pub(crate) fn waiting(&self, kind: &str, reason: &str, by: i64) {
        self.0.waits.get_or_create(&OfWait { kind: kind.to_owned(), reason: reason.to_owned() }).inc_by(by);
    }

    pub(crate) fn request(&self, code: String, method: String, host: String) {
        self.0.requests.get_or_create(&OfRequest { code, method, host }).inc();
    }

    pub(crate) fn leading(&self, lease: &str, leads: bool) {
        self.0.leader.get_or_create(&OfLease { name: lease.to_owned() }).set(i64::from(leads));
    }
}

/// A pass that is being made.
pub(crate) struct Started {
    name: &'static str,
    number: u64,
    at: Instant,
}

fn controller(name: &str) -> OfController {
    OfController { controller: name.to_owned() }
}

fn queue(name: &str) -> OfQueue {
    OfQueue { name: name.to_owned(), controller: name.to_owned() }
}

// Counters are 64 bit wide on every platform we ship.
const _: fn() -> Counter<u64, AtomicU64> = Counter::default;
