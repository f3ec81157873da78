//! What keeps a former leader from writing (P-7: no write is sent after the renew deadline has passed).
//!
//! A process that was stopped beyond its deadline (a frozen machine, SIGSTOP) runs on where it stood, before any of
//! its timers has noticed. So each writing request looks at the deadline itself, at the last moment.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use crate::clock;

/// Whether writes may pass; clones share it. A new one is open, for a process without leader election.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<RwLock<Until>>);

#[derive(Clone, Copy, Debug, Default)]
enum Until {
    #[default]
    Ever,
    Then(Instant),
    Closed,
}

impl Fence {
    /// Open until then.
    pub(crate) fn until(&self, deadline: Option<Instant>) {
        self.set(deadline.map_or(Until::Closed, Until::Then));
    }

    /// Closed for good.
    pub(crate) fn close(&self) {
        self.set(Until::Closed);
    }

    pub(crate) fn is_open(&self) -> bool {
        match *self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Until::Ever => true,
            Until::Then(deadline) => clock::instant() < deadline,
            Until::Closed => false,
        }
    }

    fn set(&self, until: Until) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_7_nothing_passes_after_the_deadline() {
        let fence = Fence::default();
        assert!(fence.is_open(), "without an election nothing is held back");
        fence.until(Some(clock::instant() + std::time::Duration::from_mins(1)));
        assert!(fence.is_open());
        fence.until(Some(clock::instant()));
        assert!(!fence.is_open());
    }
}
