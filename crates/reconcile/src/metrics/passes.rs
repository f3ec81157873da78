//! The passes that are being made: how long the longest takes already, and over which objects they are.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::queue;
use crate::cache::Key;
use crate::clock;

/// A pass that is being made.
#[derive(Clone, Debug)]
pub struct PassUnderWay {
    /// The controller.
    pub controller: &'static str,
    /// The object.
    pub key: Key,
    /// For how long already.
    pub since: Duration,
}

type Running = BTreeMap<u64, (Key, Instant)>;

#[derive(Debug, Default)]
struct State {
    began: u64,
    of: BTreeMap<&'static str, Running>,
}

#[derive(Debug, Default)]
pub(super) struct Passes(Mutex<State>);

impl Passes {
    /// A controller that has made no pass yet counts too.
    pub(super) fn of(&self, controller: &'static str) {
        self.lock().of.entry(controller).or_default();
    }

    pub(super) fn began(&self, controller: &'static str, key: &Key, at: Instant) -> u64 {
        let mut state = self.lock();
        state.began += 1;
        let number = state.began;
        state.of.entry(controller).or_default().insert(number, (key.clone(), at));
        number
    }

    pub(super) fn ended(&self, controller: &'static str, number: u64) {
        if let Some(running) = self.lock().of.get_mut(controller) {
            running.remove(&number);
        }
    }

    pub(super) fn list(&self, now: Instant) -> Vec<PassUnderWay> {
        let state = self.lock();
        let each = |(controller, running): (&&'static str, &Running)| {
            let controller = *controller;
            let passes = running.values().map(move |(key, at)| PassUnderWay {
                controller,
                key: key.clone(),
                since: now.saturating_duration_since(*at),
            });
            passes.collect::<Vec<_>>()
        };
        state.of.iter().flat_map(each).collect()
    }

    /// Of each controller: for how long all its passes have been under way, and the longest of them.
    fn seconds(&self, now: Instant) -> Vec<(&'static str, f64, f64)> {
        let state = self.lock();
        let each = |(controller, running): (&&'static str, &Running)| {
            let seconds = running.values().map(|(_, at)| now.saturating_duration_since(*at).as_secs_f64());
            (*controller, seconds.clone().sum(), seconds.fold(0.0, f64::max))
        };
        state.of.iter().map(each).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Passes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.seconds(clock::instant());
        let mut one = |name, help, value: fn(&(&'static str, f64, f64)) -> f64| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for of in &all {
                ConstGauge::new(value(of)).encode(metric.encode_family(&queue(of.0))?)?;
            }
            Ok::<_, Error>(())
        };
        one("workqueue_unfinished_work_seconds", "Age of all passes under way, added up.", |(_, sum, _)| {
            *sum
        })?;
        one(
            "workqueue_longest_running_processor_seconds",
            "Age of the longest pass under way.",
            |(.., most)| *most,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passes_under_way_are_known_with_their_objects() {
        let (passes, start) = (Passes::default(), clock::instant());
        passes.of("idle");
        let first = passes.began("busy", &Key::new("n", "a"), start);
        passes.began("busy", &Key::new("n", "b"), start + Duration::from_secs(2));
        let now = start + Duration::from_secs(5);
        assert_eq!(passes.seconds(now), [("busy", 8.0, 5.0), ("idle", 0.0, 0.0)]);
        passes.ended("busy", first);
        let left = passes.list(now);
        assert_eq!((left.len(), left[0].key.name.as_str(), left[0].since), (1, "b", Duration::from_secs(3)));
    }
}
