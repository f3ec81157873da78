//! The table of long work: what is being done on which host, keyed by the machine.
//!
//! The truth is on the host; this table only knows what this process is doing, and losing it costs one attempt that
//! finds everything done. Work that ends wakes a pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reconcile::{Key, clock};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::host::{HostFacts, Progress};

/// Kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Learn the host's key.
    Learn,
    /// See whether the host lets us in.
    LogIn,
    /// Bootstrap the host.
    Provision,
    /// Give it back.
    CleanUp,
}

/// What work ends in, or where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It goes on.
    Running {
        /// Where: a word for the status.
        phase: String,
        /// The step that runs, from 1; 0 before the first.
        step: usize,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// When.
        at: Timestamp,
    },
    /// The host shows this key.
    Learned {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// The host lets us in.
    LetIn,
    /// The host is bootstrapped.
    Provisioned {
        /// What it is.
        host: HostFacts,
    },
    /// The host is clean.
    Cleaned {
        /// What did not work and does not matter.
        remarks: Vec<String>,
    },
}

/// A row as a pass sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The machine's uid.
    pub uid: String,
    /// What is done.
    pub work: Work,
    /// What it was started with: other input, other work.
    pub input: String,
    /// How often it failed in a row.
    pub failures: u32,
    /// Why it failed last; kept while it is tried again.
    pub last: Option<Failure>,
    /// Where it is.
    pub state: State,
    /// Of a bootstrap: which run.
    #[serde(default)]
    pub run: Option<Run>,
}

/// A run of bootstrap commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// How many steps it has.
    pub steps: usize,
}

struct Row {
    task: Task,
    /// Tells one start from the next.
    number: u64,
    cancel: CancellationToken,
}

#[derive(Default)]
struct Table {
    rows: HashMap<Key, Row>,
    started: u64,
}

/// The table.
pub(crate) struct Tasks {
    table: Mutex<Table>,
    permits: Arc<Semaphore>,
    wake: mpsc::UnboundedSender<Key>,
    stop: CancellationToken,
}

/// What work tells while it goes on.
#[derive(Clone)]
pub(crate) struct Reporter {
    tasks: Arc<Tasks>,
    key: Key,
    number: u64,
}

impl Tasks {
    pub(crate) fn new(
        at_once: usize,
        wake: mpsc::UnboundedSender<Key>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(at_once.max(1)));
        Arc::new(Self { table: Mutex::default(), permits, wake, stop })
    }

    /// The row of a machine; one of a former machine of that name does not count.
    pub(crate) fn of(&self, key: &Key, uid: &str) -> Option<Task> {
        self.lock().rows.get(key).map(|row| row.task.clone()).filter(|task| task.uid == uid)
    }

    /// Starts work in place of whatever was done for this machine.
    pub(crate) fn start<F>(
        self: &Arc<Self>,
        key: &Key,
        uid: &str,
        work: Work,
        input: &str,
        run: Option<Run>,
        what: impl FnOnce(Reporter) -> F,
    ) where
        F: Future<Output = Result<State, Failure>> + Send + 'static,
    {
        let cancel = self.stop.child_token();
        let mut table = self.lock();
        table.started += 1;
        let number = table.started;
        let before = table.rows.remove(key);
        if let Some(before) = &before {
            before.cancel.cancel();
        }
        let same = before
            .map(|row| row.task)
            .filter(|task| task.uid == uid && task.work == work && task.input == input);
        let (failures, last) = same.map_or((0, None), |task| (task.failures, task.last));
        let task = Task {
            uid: uid.to_owned(),
            work,
            input: input.to_owned(),
            failures,
            last,
            state: State::Running { phase: "Connecting".to_owned(), step: 0 },
            run,
        };
        table.rows.insert(key.clone(), Row { task, number, cancel: cancel.clone() });
        drop(table);
        let reporter = Reporter { tasks: self.clone(), key: key.clone(), number };
        let future = what(reporter.clone());
        let permits = self.permits.clone();
        tokio::spawn(async move {
            let whole = async {
                // The permits are never closed.
                let _permit = permits.acquire().await;
                future.await
            };
            // Cancelled: dropping the future closes the connection; the row is somebody else's by then.
            if let Some(ended) = cancel.run_until_cancelled(whole).await {
                reporter.ended(ended);
            }
        });
    }

    /// Forgets a machine's work and cancels it.
    pub(crate) fn cancel(&self, key: &Key) {
        if let Some(row) = self.lock().rows.remove(key) {
            row.cancel.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter {
    pub(crate) fn progress(&self, progress: &Progress) {
        let (phase, step) = match progress {
            Progress::Connected(_) => ("Connected", 0),
            Progress::Uploading => ("Uploading", 0),
            Progress::Step(step) => ("Running", *step),
        };
        let state = State::Running { phase: phase.to_owned(), step };
        let changed = self.with(|task| {
            // Getting as far as a step means that what failed before it is over.
            if step > 0
                && task.last.as_ref().is_some_and(|last| last.reason != crate::failure::Reason::CommandFailed)
            {
                task.last = None;
            }
            std::mem::replace(&mut task.state, state.clone()) != state
        });
        if changed == Some(true) {
            self.wake();
        }
    }

    fn ended(&self, ended: Result<State, Failure>) {
        self.with(|task| match ended {
            Ok(state) => (task.state, task.failures, task.last) = (state, 0, None),
            Err(failure) => {
                task.failures = task.failures.saturating_add(1);
                task.last = Some(failure.clone());
                task.state = State::Failed { failure, at: clock::now() };
            }
        });
        self.wake();
    }

    fn with<T>(&self, what: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let mut table = self.tasks.lock();
        let row = table.rows.get_mut(&self.key).filter(|row| row.number == self.number)?;
        Some(what(&mut row.task))
    }

    fn wake(&self) {
        // An error means that the driver has stopped.
        let _ = self.tasks.wake.send(self.key.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::Reason;

    fn key() -> Key {
        Key::new("ns", "m")
    }

    async fn started(
        tasks: &Arc<Tasks>,
        woken: &mut mpsc::UnboundedReceiver<Key>,
        result: Result<State, Failure>,
    ) -> Task {
        tasks.start(&key(), "u", Work::Learn, "in", None, |_| async { result });
        woken.recv().await.unwrap();
        tasks.of(&key(), "u").unwrap()
    }

    #[tokio::test]
    async fn failures_are_counted_for_the_same_input_only() {
        let (wake, mut woken) = mpsc::unbounded_channel();
        let tasks = Tasks::new(1, wake, CancellationToken::new());
        let failed = || Err(Failure::new(Reason::ConnectFailed, "no"));
        assert_eq!(started(&tasks, &mut woken, failed()).await.failures, 1);
        assert_eq!(started(&tasks, &mut woken, failed()).await.failures, 2);
        assert_eq!(tasks.of(&key(), "another machine of that name"), None);
        tasks.start(&key(), "u", Work::Learn, "other", None, |_| async move { failed() });
        woken.recv().await.unwrap();
        assert_eq!(tasks.of(&key(), "u").unwrap().failures, 1);
    }

    #[tokio::test]
    async fn cancelled_work_ends_and_its_result_is_dropped() {
        let (wake, _woken) = mpsc::unbounded_channel();
        let tasks = Tasks::new(1, wake, CancellationToken::new());
        let alive = Arc::new(());
        let held = alive.clone();
        tasks.start(&key(), "u", Work::Provision, "in", None, |_| async move {
            let never = std::future::pending().await;
            drop(held);
            never
        });
        tasks.cancel(&key());
        assert_eq!(tasks.of(&key(), "u"), None);
        tokio::time::timeout(Duration::from_secs(5), async {
            while Arc::strong_count(&alive) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}
