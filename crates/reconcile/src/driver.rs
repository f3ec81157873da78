//! The one driver: it makes every pass of every controller, and is the only one that writes.
//!
//! A pass, in order: wait until the caches show the object's own former writes; stop if paused; observe;
//! plan; decide again on live reads if the plan is disruptive; do the effects until one fails; write the
//! status if the pass changed nothing else (or failed); publish events; look again when the plan says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::ResourceExt;
use kube::api::ApiResource;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::cache::{Cache, Entry, Key};
use crate::clock;
use crate::context::Context;
use crate::controller::{Controller, Pass, Reads};
use crate::effect::{Condition, Effect, Event, Is, Next, Plan};
use crate::metrics::Outcome;
use crate::pause;
use crate::queue::{Due, Queue};
use crate::status;
use crate::wakes::{Wakes, Wish};
use crate::writer::{Applied, Expected, Writer};

/// A burst of watch events (a StatefulSet and its pods) makes one pass; shorter than anybody notices.
const DEBOUNCE: Duration = Duration::from_millis(10);
/// How often the debounce doubles for an object that fails: to 1.28 s, soon enough for a user who mended the cause.
const DEBOUNCE_DOUBLINGS: u32 = 7;
/// Longer than the passes of one creation take, shorter than anybody's patience.
const HEAD_START: Duration = Duration::from_secs(10);
/// After a second decision differed from the first: the caches are about to follow.
const SECOND_THOUGHT: Duration = Duration::from_millis(200);
/// Back-off after a failure: doubles from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// A refusal that the user reads in a condition ends when the user acts, somewhere we do not watch.
const REFUSED_AGAIN: Duration = Duration::from_secs(15);

pub(crate) struct Driver<C: Controller> {
    pub(crate) context: Context,
    controller: Arc<C>,
    primary: Cache<C::Kind>,
    resource: ApiResource,
    queue: Queue,
    memory: Mutex<HashMap<Key, Memory>>,
}

/// What is remembered between two passes over an object; losing it costs nothing but a repeated event.
#[derive(Default)]
pub(crate) struct Memory {
    failures: u32,
    expected: Vec<Expected>,
    /// What was wanted of each object when it was last as wanted.
    applied: Applied,
    /// The failure that was told last.
    pub(crate) told: Option<String>,
    waits_for: Option<&'static str>,
}

/// Runs a controller until the context stops, then finishes the passes it is in.
pub async fn run<C: Controller>(
    context: Context,
    controller: Arc<C>,
    primary: Cache<C::Kind>,
    wakes: Wakes,
    concurrency: usize,
) {
    let driver = Arc::new(Driver {
        resource: ApiResource::erase::<C::Kind>(&()),
        queue: Queue::default(),
        memory: Mutex::default(),
        context: context.clone(),
        controller,
        primary: primary.clone(),
    });
    let wakes = wakes.by(&primary, |change| vec![change.key.clone()]);
    let wakes = wakes.clusters(driver.clone().paused_with());
    let mut wishes = wakes.start::<C::Kind>(&context);
    if context.stop().run_until_cancelled(context.synced()).await.is_none() {
        return;
    }
    driver.wake_all();
    context.metrics().controller_runs(C::NAME, concurrency);
    context.runs();

    let permits = Arc::new(Semaphore::new(concurrency.max(1)));
    let mut passes = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = context.stop().cancelled() => break,
            Some(wish) = wishes.recv() => match wish {
                Wish::Keys(keys) => keys.into_iter().for_each(|key| driver.wake_by_event(key)),
                Wish::All => driver.wake_all(),
            },
            Some(_) = passes.join_next() => {}
            (key, due) = driver.queue.next() => {
                passes.spawn(driver.clone().turn(key, due, permits.clone()));
            }
        }
    }
    let finished = async { while passes.join_next().await.is_some() {} };
    if tokio::time::timeout(context.shutdown_grace(), finished).await.is_err() {
        tracing::warn!(controller = C::NAME, "stopped with a pass unfinished; the next process completes it");
    }
}

impl<C: Controller> Driver<C> {
    fn wake(&self, key: Key, after: Duration) {
        self.wake_at(key, clock::instant() + after);
    }

    fn wake_at(&self, key: Key, at: Instant) {
        self.queue.wake(key, at);
        self.context.metrics().woken(C::NAME);
    }

    /// An event may be the cause's end, so it wakes an object that fails before its back-off has passed; but it may as
    /// well be the echo of the status in which the failure was told. Those that fail again and again wait longer.
    fn wake_by_event(&self, key: Key) {
        let failures = self.remember(&key, |memory| memory.failures);
        self.wake(key, DEBOUNCE * (1 << failures.min(DEBOUNCE_DOUBLINGS)));
    }

    /// A pass that changed something is followed by the next one of the same object, before those that came later:
    /// the first of many is finished first. So that nothing waits for ever behind an object that always changes
    /// something, it goes before others by [`HEAD_START`] at most.
    fn go_on(&self, key: Key, due: Instant) {
        let earliest = clock::instant().checked_sub(HEAD_START).unwrap_or(due);
        self.wake_at(key, due.max(earliest));
    }

    fn wake_all(&self) {
        for entry in self.primary.all() {
            self.wake(entry.key(), Duration::ZERO);
        }
    }

    /// A Cluster was paused or resumed: its objects.
    fn paused_with(self: Arc<Self>) -> impl Fn(&crate::cache::Change<bool>) -> Vec<Key> {
        move |change| {
            let paused = |entry: &Option<Arc<Entry<bool>>>| entry.as_ref().is_some_and(|entry| entry.fact);
            if paused(&change.before) == paused(&change.after) {
                return Vec::new();
            }
            let mine = |entry: &Arc<Entry<C::Kind>>| {
                self.controller.cluster_of(&entry.fact).as_deref() == Some(&*change.key.name)
            };
            self.primary
                .list(&change.key.namespace, &[])
                .iter()
                .filter(|e| mine(e))
                .map(|e| e.key())
                .collect()
        }
    }

    /// One object's turn: its pass in a task of its own, so that a panic ends the pass and not the process.
    /// A process that stops begins no pass; one that was begun ends with the turn, whatever ends that.
    async fn turn(self: Arc<Self>, key: Key, due: Due, permits: Arc<Semaphore>) {
        let metrics = self.context.metrics();
        metrics.waits_for_its_pass(C::NAME, 1);
        let expected = self.remember(&key, |memory| std::mem::take(&mut memory.expected));
        let my_turn = async {
            for expected in expected {
                expected.met().await;
            }
            permits.acquire().await
        };
        let permit = self.context.stop().run_until_cancelled(my_turn).await;
        metrics.waits_for_its_pass(C::NAME, -1);
        let Some(Ok(_permit)) = permit else { return };
        let started = metrics.pass_started(C::NAME, &key, due.since);
        let span = tracing::info_span!("pass", controller = C::NAME, controllerKind = %self.resource.kind,
            namespace = key.namespace, name = key.name, reconcileID = format!("{:016x}", clock::seed()));
        let task = AbortOnDropHandle::new(tokio::spawn({
            let (driver, key) = (self.clone(), key.clone());
            async move { driver.pass(&key, due).await }.instrument(span)
        }));
        let outcome = if let Ok(outcome) = task.await {
            outcome
        } else {
            metrics.panicked(C::NAME);
            let again = self.failed(&key);
            self.wake(key.clone(), again);
            Outcome::Error
        };
        self.queue.done(&key);
        metrics.pass_ended(&started, outcome);
    }

    async fn pass(&self, key: &Key, due: Due) -> Outcome {
        let Some(entry) = self.primary.get(key) else {
            self.forget(key);
            return Outcome::Success;
        };
        let applied = self.remember(key, |memory| std::mem::take(&mut memory.applied));
        let writer = Arc::new(Writer::new(self.context.clone(), C::NAME, applied));
        let result = self.look(key, &entry, &writer).await;
        self.tell_restored(&entry, writer.restored()).await;
        self.remember(key, |memory| {
            memory.expected.extend(writer.expected());
            memory.applied = writer.applied();
        });
        match result {
            Ok(next) => {
                self.remember(key, |memory| (memory.failures, memory.told) = (0, None));
                match next {
                    Next::OnChange => Outcome::Success,
                    Next::In(Duration::ZERO) => {
                        self.go_on(key.clone(), due.at);
                        Outcome::Requeue
                    }
                    Next::In(after) => {
                        self.wake(key.clone(), after);
                        Outcome::RequeueAfter
                    }
                }
            }
            Err(failure) => {
                let mut again = self.failed(key);
                if failure.explained {
                    again = again.min(REFUSED_AGAIN);
                }
                tracing::warn!(error = format!("{:#}", failure.error), retry_in = ?again, "pass failed");
                // What a condition explains was told with it.
                if !failure.explained {
                    self.tell_failure(key, &entry, &failure.error).await;
                }
                self.wake(key.clone(), again);
                Outcome::Error
            }
        }
    }

    async fn look(&self, key: &Key, entry: &Entry<C::Kind>, writer: &Arc<Writer>) -> Result<Next, Failure> {
        if let Some(why) = self.paused(entry) {
            self.note_wait(key, None);
            if !C::TELLS_PAUSE {
                return Ok(Next::OnChange);
            }
            let mut conditions = live_conditions(&entry.fact)?;
            conditions.retain(|condition| condition["type"] != "Paused");
            let paused = status::conditions(
                &[pause::condition(Some(why))],
                &status_of(&entry.fact)?,
                entry.meta.generation,
                clock::now(),
            );
            conditions.extend(paused.as_array().into_iter().flatten().cloned());
            let mut wanted = status_of(&entry.fact)?;
            set(&mut wanted, "conditions", conditions.into());
            self.write_status(key, &status_of(&entry.fact)?, &wanted, writer).await?;
            return Ok(Next::OnChange);
        }
        let pass = Self::a_pass(key, entry.fact.clone(), Reads::Cached, writer);
        let mut observed = self.controller.observe(&pass).await.context("cannot observe")?;
        let mut plan = self.controller.plan(&observed);
        if plan.disruptive {
            let Some(live) = self.primary.get_live(key).await? else { return Ok(Next::OnChange) };
            let pass = Self::a_pass(key, live.fact.clone(), Reads::Live, writer);
            observed = self
                .controller
                .observe(&pass)
                .await
                .context("cannot observe again before a disruptive step")?;
            let second = self.controller.plan(&observed);
            if second.effects != plan.effects {
                tracing::info!(
                    step = plan.said.step,
                    second = second.said.step,
                    "decided otherwise on live reads"
                );
                return Ok(Next::In(SECOND_THOUGHT));
            }
            plan = second;
        }
        self.context.metrics().step(C::NAME, plan.said.step);
        tracing::debug!(step = plan.said.step, words = plan.said.words, effects = plan.effects.len());
        self.carry_out(key, entry, &pass, &observed, plan, writer).await
    }

    async fn carry_out(
        &self,
        key: &Key,
        entry: &Entry<C::Kind>,
        pass: &Pass<C::Kind>,
        observed: &C::Observed,
        mut plan: Plan<C::Status, C::Own>,
        writer: &Arc<Writer>,
    ) -> Result<Next, Failure> {
        let mut changed = false;
        let mut failure = None;
        for effect in &plan.effects {
            match self.one(entry, pass, observed, effect, writer).await {
                Ok(did) => changed |= did,
                Err(error) => {
                    let refusal = error.chain().find_map(|cause| cause.downcast_ref::<kube::Error>());
                    let explained = match refusal {
                        Some(refusal) => self.controller.refused(observed, effect, refusal).await,
                        None => None,
                    };
                    failure = Some((error, explained));
                    break;
                }
            }
        }
        let step = plan.said.step;
        self.note_wait(key, (!changed && failure.is_none() && step != "Settled").then_some(step));
        if let Some((error, explained)) = &failure {
            let told = explained.clone().or_else(|| {
                C::FAILURE_CONDITION
                    .map(|type_| Condition::new(type_, Is::False, "ApplyFailed", format!("{error:#}")))
            });
            if let Some(told) = told {
                if explained.is_some() {
                    plan.said.events.push(Event::of(&told, true));
                }
                match plan.conditions.iter_mut().find(|condition| condition.type_ == told.type_) {
                    Some(same) => *same = told,
                    None => plan.conditions.push(told),
                }
            }
        }
        let live = status_of(&entry.fact)?;
        self.publish(&entry.fact, &plan, changed, failure.is_some(), &live).await;
        if failure.is_none() && plan.effects.iter().any(|effect| matches!(effect, Effect::Release)) {
            // The object is going with this write: there is no status left to tell, and nothing to look at.
            return Ok(Next::OnChange);
        }
        // What changed something is followed by a pass that sees it, and tells the status then: one write less.
        if !changed || failure.is_some() {
            self.tell_status(key, entry, &live, &plan, failure.is_some(), writer).await?;
        }
        match failure {
            Some((error, explained)) => Err(Failure { error, explained: explained.is_some() }),
            None if changed => Ok(Next::In(Duration::ZERO)),
            None => Ok(plan.next),
        }
    }

    async fn one(
        &self,
        entry: &Entry<C::Kind>,
        pass: &Pass<C::Kind>,
        observed: &C::Observed,
        effect: &Effect<C::Own>,
        writer: &Writer,
    ) -> anyhow::Result<bool> {
        match effect {
            Effect::Apply(object) => writer.apply(object).await,
            Effect::ApplyStatus(object) => writer.apply_status(object).await,
            Effect::Create(object) => writer.create(object).await,
            Effect::Delete { what, uid } => writer.delete(what, uid).await,
            Effect::Hold => self.finalizer(entry, writer, true).await,
            Effect::Release => self.finalizer(entry, writer, false).await,
            Effect::Own(own) => self.controller.act(pass, observed, own).await,
        }
    }

    async fn finalizer(&self, entry: &Entry<C::Kind>, writer: &Writer, hold: bool) -> anyhow::Result<bool> {
        let ours = C::FINALIZER.context("this kind has no finalizer")?;
        let mut all = entry.fact.finalizers().to_vec();
        if all.iter().any(|one| one == ours) == hold {
            return Ok(false);
        }
        if hold {
            all.push(ours.to_owned());
        } else {
            all.retain(|one| one != ours);
        }
        writer.finalizers(&self.resource, &entry.fact, all).await
    }

    async fn tell_status(
        &self,
        key: &Key,
        entry: &Entry<C::Kind>,
        live: &Value,
        plan: &Plan<C::Status, C::Own>,
        failed: bool,
        writer: &Writer,
    ) -> anyhow::Result<()> {
        let Some(wanted) = &plan.status else { return Ok(()) };
        let mut wanted = serde_json::to_value(wanted).context("cannot serialise the status")?;
        if failed {
            set(
                &mut wanted,
                "observedGeneration",
                live.get("observedGeneration").cloned().unwrap_or_default(),
            );
        }
        if !plan.conditions.is_empty() {
            let mut all = plan.conditions.clone();
            if C::TELLS_PAUSE && !all.iter().any(|condition| condition.type_ == "Paused") {
                all.push(pause::condition(None));
            }
            set(
                &mut wanted,
                "conditions",
                status::conditions(&all, live, entry.meta.generation, clock::now()),
            );
        }
        self.write_status(key, live, &wanted, writer).await
    }

    async fn write_status(
        &self,
        key: &Key,
        live: &Value,
        wanted: &Value,
        writer: &Writer,
    ) -> anyhow::Result<()> {
        if let Some(patch) = status::merge_patch(live, wanted) {
            writer.status(&self.resource, key, &patch).await?;
        }
        Ok(())
    }

    fn paused(&self, entry: &Entry<C::Kind>) -> Option<String> {
        let name = self.controller.cluster_of(&entry.fact);
        let cluster = self.context.clusters().zip(name.as_deref()).and_then(|(clusters, name)| {
            clusters.get(&Key::new(entry.meta.namespace.clone().unwrap_or_default(), name))
        });
        pause::why_paused(&entry.meta, name.as_deref(), cluster.is_some_and(|cluster| cluster.fact))
    }

    fn a_pass(key: &Key, object: C::Kind, reads: Reads, writer: &Arc<Writer>) -> Pass<C::Kind> {
        let (now, seed) = (clock::now(), clock::seed());
        Pass { key: key.clone(), object: Arc::new(object), reads, now, seed, writer: writer.clone() }
    }

    /// An object waits when its pass had nothing to change and it is not as wanted. (Effects do not count: who declares
    /// a set has all of it in every plan.)
    fn note_wait(&self, key: &Key, waits: Option<&'static str>) {
        let before = self.remember(key, |memory| std::mem::replace(&mut memory.waits_for, waits));
        self.count_wait(before, waits);
    }

    fn count_wait(&self, before: Option<&'static str>, after: Option<&'static str>) {
        if before == after {
            return;
        }
        for (reason, by) in [(before, -1), (after, 1)] {
            if let Some(reason) = reason {
                self.context.metrics().waiting(&self.resource.kind, reason, by);
            }
        }
    }

    fn failed(&self, key: &Key) -> Duration {
        let failures = self.remember(key, |memory| {
            memory.failures = memory.failures.saturating_add(1);
            memory.failures
        });
        let (first, last) = BACKOFF;
        clock::jittered(first.saturating_mul(1 << (failures - 1).min(16)).min(last))
    }

    fn forget(&self, key: &Key) {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.count_wait(memory.and_then(|memory| memory.waits_for), None);
        self.controller.forget(key);
    }

    pub(crate) fn remember<T>(&self, key: &Key, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(self.memory.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default())
    }
}

struct Failure {
    error: anyhow::Error,
    /// The user reads the cause in a condition of its own.
    explained: bool,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { error, explained: false }
    }
}

fn status_of(object: &impl serde::Serialize) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(object).context("cannot serialise an object of our own kind")?;
    Ok(value.get_mut("status").map_or_else(|| Value::Object(serde_json::Map::new()), Value::take))
}

fn live_conditions(object: &impl serde::Serialize) -> anyhow::Result<Vec<Value>> {
    Ok(status_of(object)?.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn set(status: &mut Value, field: &str, value: Value) {
    if let Some(members) = status.as_object_mut() {
        members.insert(field.to_owned(), value);
    }
}
