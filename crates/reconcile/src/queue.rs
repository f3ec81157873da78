//! Which object is looked at when: each at most once at a time, never forgotten, the earliest wish wins.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::cache::Key;
use crate::clock;

#[derive(Default)]
struct State {
    due: BTreeSet<(Instant, Key)>,
    slots: HashMap<Key, Slot>,
}

#[derive(Default)]
struct Slot {
    due: Option<Due>,
    running: bool,
}

/// When an object is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Its place among others; a time that has passed is a place before those who came since.
    pub(crate) at: Instant,
    /// From when on it waits for its pass.
    pub(crate) since: Instant,
}

/// A queue of objects with times.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

impl Queue {
    /// Wishes for a pass not later than `at`. While a pass over that object runs, the wish is kept for after it.
    pub(crate) fn wake(&self, key: Key, at: Instant) {
        let mut state = self.lock();
        let State { due, slots } = &mut *state;
        let slot = slots.entry(key.clone()).or_default();
        match slot.due {
            Some(sooner) if sooner.at <= at => return,
            Some(later) if !slot.running => {
                due.remove(&(later.at, key.clone()));
            }
            _ => {}
        }
        slot.due = Some(Due { at, since: at.max(clock::instant()) });
        if !slot.running {
            due.insert((at, key));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next object whose time has come. The caller must call [`Queue::done`] after its pass.
    pub(crate) async fn next(&self) -> (Key, Due) {
        loop {
            let wait = {
                let mut state = self.lock();
                match state.due.first().cloned() {
                    Some((at, key)) if at <= clock::instant() => {
                        state.due.remove(&(at, key.clone()));
                        let slot = state.slots.entry(key.clone()).or_default();
                        let due = slot.due.take().unwrap_or(Due { at, since: at });
                        slot.running = true;
                        return (key, due);
                    }
                    Some((at, _)) => Some(at),
                    None => None,
                }
            };
            match wait {
                Some(at) => tokio::select! {
                    () = clock::sleep(at.saturating_duration_since(clock::instant())) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// The pass over `key` has ended.
    pub(crate) fn done(&self, key: &Key) {
        let mut state = self.lock();
        let Some(slot) = state.slots.get_mut(key) else { return };
        slot.running = false;
        match slot.due {
            Some(due) => {
                state.due.insert((due.at, key.clone()));
                drop(state);
                self.changed.notify_one();
            }
            None => {
                state.slots.remove(key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_wish_during_a_pass_is_kept_for_after_it() {
        let queue = Queue::default();
        let key = Key::new("n", "a");
        queue.wake(key.clone(), clock::instant());
        assert_eq!(queue.next().await.0, key);
        queue.wake(key.clone(), clock::instant());
        assert!(queue.lock().due.is_empty(), "one object is never looked at twice at once");
        queue.done(&key);
        assert_eq!(queue.next().await.0, key);
    }

    #[tokio::test]
    async fn an_object_that_goes_on_comes_before_those_that_came_later() {
        let queue = Queue::default();
        let began = clock::instant();
        queue.wake(Key::new("n", "first"), began);
        let (first, due) = queue.next().await;
        queue.wake(Key::new("n", "second"), clock::instant());
        queue.wake(first.clone(), due.at);
        queue.done(&first);
        let (next, due) = queue.next().await;
        assert_eq!(next, first);
        assert!(due.at == began && due.since > began, "its place is old, its waiting is not");
        assert_eq!(queue.next().await.0.name, "second");
    }

    #[tokio::test]
    async fn the_earliest_wish_wins() {
        let queue = Queue::default();
        let now = clock::instant();
        queue.wake(Key::new("n", "late"), now + Duration::from_hours(1));
        queue.wake(Key::new("n", "late"), now);
        queue.wake(Key::new("n", "late"), now + Duration::from_mins(1));
        assert_eq!(queue.next().await.0.name, "late");
    }
}
