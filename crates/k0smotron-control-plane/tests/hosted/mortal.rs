//! A manager that is killed again and again, and started again each time.

#![allow(clippy::unwrap_used)] // clippy allows it in test functions only; these helpers are theirs

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use testbed::faults::{ApiRequest, FaultHandle};

use crate::stage::Managers;

/// When a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Never,
    /// As `AfterWrite`, but the second process lives on.
    OnceAfterWrite(usize),
    /// The n-th write is done, its answer never seen.
    AfterWrite(usize),
    /// The answers of n - 1 writes were seen; the n-th was about to be sent.
    BeforeWrite(usize),
}

/// One process after the other, each with the same fate.
pub struct Mortal {
    tally: Arc<Tally>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Tally {
    /// Of the process that lives.
    faults: Mutex<FaultHandle>,
    /// Writes of those that are dead.
    writes: Mutex<Vec<ApiRequest>>,
    deaths: AtomicUsize,
}

impl Tally {
    fn faults(&self) -> FaultHandle {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn former(&self) -> Vec<ApiRequest> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bury(&self, faults: &FaultHandle) {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).extend(faults.writes());
    }
}

impl Mortal {
    pub fn start(managers: Managers, killed: Killed) -> Self {
        let tally = Arc::new(Tally::default());
        let task = tokio::spawn({
            let tally = tally.clone();
            async move {
                loop {
                    let faults = FaultHandle::new();
                    faults.events_do_not_count();
                    match killed {
                        Killed::Never => {}
                        Killed::OnceAfterWrite(_) if tally.deaths.load(Ordering::SeqCst) > 0 => {}
                        Killed::OnceAfterWrite(n) | Killed::AfterWrite(n) => faults.cut_after_write(n),
                        Killed::BeforeWrite(n) => faults.cut_before_write(n),
                    }
                    *tally.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults.clone();
                    let _process = managers.start(&faults).unwrap();
                    faults.until_cut().await;
                    tally.bury(&faults);
                    *tally.faults.lock().unwrap_or_else(PoisonError::into_inner) = FaultHandle::new();
                    tally.deaths.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { tally, task }
    }

    /// How many processes there were before this one.
    pub fn deaths(&self) -> usize {
        self.tally.deaths.load(Ordering::SeqCst)
    }

    /// The writes of all processes.
    pub fn writes(&self) -> Vec<String> {
        let mut all = self.tally.former();
        all.extend(self.tally.faults().writes());
        all.iter().map(|write| format!("{} {} {}", write.verb, write.full_resource(), write.name)).collect()
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.task.abort();
    }
}
