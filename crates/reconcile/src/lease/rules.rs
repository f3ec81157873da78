//! When a process may lead, take over, and must stop: pure.
//!
//! All times are of this process's own clock that never jumps. What another host wrote from its wall clock is only
//! compared with what it wrote before: two hosts whose clocks differ by an hour never lead at once.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::LeaseOptions;

/// Three tries of renewing fit into the deadline even if nobody answers the first two.
const RENEWALS_PER_DEADLINE: u32 = 3;

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write the lease with our name: to take it, or to keep it.
    Write,
    /// Look again then, or when the lease changes.
    WaitUntil(Instant),
    /// Another process may lead from now on.
    Lost(String),
}

/// One process that leads or wants to.
#[derive(Debug)]
pub(super) struct Candidate {
    options: LeaseOptions,
    /// The lease as last seen; none if there is none.
    pub(super) lease: Option<Lease>,
    /// When its holder or its renewal last changed before our eyes.
    since: Instant,
    held: Option<Held>,
    /// Nothing is written before, because the last try failed.
    not_before: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    /// When the request began that renewed it last.
    renewed: Instant,
    next: Instant,
}

impl Candidate {
    pub(super) fn new(options: LeaseOptions, lease: Option<Lease>, now: Instant) -> Self {
        Self { options, lease, since: now, held: None, not_before: now }
    }

    pub(super) fn leads(&self) -> bool {
        self.held.is_some()
    }

    /// Until when this process may write, if it leads.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.map(|held| held.renewed + self.options.renew_deadline)
    }

    /// The first rule that applies.
    ///
    /// A leader: 1. not renewed within the deadline, or another holder: lost; 2. time to renew: write; 3. wait.
    /// A candidate: 4. after a failed try, wait; 5. no lease, no holder, or ourselves (a write whose answer was
    /// lost): write; 6. a holder that was not seen renewing for the duration it asked for: write; 7. wait.
    pub(super) fn step(&self, now: Instant) -> Step {
        let holder = holder(self.lease.as_ref());
        if let (Some(held), Some(deadline)) = (self.held, self.deadline()) {
            if now >= deadline {
                return Step::Lost(format!("it could not be renewed for {:?}", self.options.renew_deadline));
            }
            if !holder.is_empty() && holder != self.options.identity {
                return Step::Lost(format!("{holder} holds it"));
            }
            let next = held.next.max(self.not_before);
            return if now >= next { Step::Write } else { Step::WaitUntil(next.min(deadline)) };
        }
        if now < self.not_before {
            return Step::WaitUntil(self.not_before);
        }
        let free_at = self.since + asked_for(self.lease.as_ref());
        if holder.is_empty() || holder == self.options.identity || now >= free_at {
            return Step::Write;
        }
        Step::WaitUntil(free_at)
    }

    /// The lease as the API server told it; what is older than what we know says nothing.
    pub(super) fn saw(&mut self, lease: Option<Lease>, now: Instant) {
        if let (Some(new), Some(known)) = (&lease, &self.lease)
            && version(new) < version(known)
        {
            return;
        }
        let beat = |lease: Option<&Lease>| {
            let spec = lease.and_then(|lease| lease.spec.clone()).unwrap_or_default();
            (spec.holder_identity, spec.renew_time, spec.lease_transitions)
        };
        if beat(lease.as_ref()) != beat(self.lease.as_ref()) {
            self.since = now;
        }
        self.lease = lease;
    }

    /// Our name is in the lease by a request that began then.
    pub(super) fn wrote(&mut self, lease: Lease, began: Instant, now: Instant) {
        self.saw(Some(lease), now);
        self.held =
            Some(Held { renewed: began, next: began + self.options.renew_deadline / RENEWALS_PER_DEADLINE });
    }

    /// A try failed for no reason of the lease's.
    pub(super) fn failed(&mut self, now: Instant) {
        self.not_before = now + self.options.retry_period;
    }

    /// The lease with our name in it, from now.
    pub(super) fn wanted(&self, now: MicroTime) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_default();
        lease.metadata.name = Some(self.options.name.clone());
        lease.metadata.namespace = Some(self.options.namespace.clone());
        let ours = holder(Some(&lease)) == self.options.identity;
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if !ours {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.holder_identity = Some(self.options.identity.clone());
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = i32::try_from(self.options.duration.as_secs().max(1)).ok();
        lease
    }

    /// The lease without a holder, as the Go manager leaves it: whoever reads it may take it.
    pub(super) fn given_up(&self, now: MicroTime) -> Option<Lease> {
        let mut lease = self.lease.clone()?;
        let spec = lease
            .spec
            .as_mut()
            .filter(|spec| spec.holder_identity.as_ref() == Some(&self.options.identity))?;
        spec.holder_identity = Some(String::new());
        spec.acquire_time = Some(now.clone());
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = Some(1);
        Some(lease)
    }
}

fn holder(lease: Option<&Lease>) -> &str {
    lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref()).unwrap_or_default()
}

/// How long its holder wants to be believed after a renewal.
fn asked_for(lease: Option<&Lease>) -> Duration {
    let seconds = lease.and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn version(lease: &Lease) -> u64 {
    lease.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn options(identity: &str) -> LeaseOptions {
        LeaseOptions {
            name: "l".into(),
            namespace: "n".into(),
            identity: identity.into(),
            duration: 15 * SECOND,
            renew_deadline: 10 * SECOND,
            retry_period: 2 * SECOND,
        }
    }

    fn lease(holder: &str, version: u64, renewed: i64) -> Lease {
        let mut lease = Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.into()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(jiff::Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        lease.metadata.resource_version = Some(version.to_string());
        lease
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        let now = crate::clock::instant();
        for free in [None, Some(lease("", 1, 0)), Some(Lease::default())] {
            assert_eq!(Candidate::new(options("me"), free, now).step(now), Step::Write);
        }
    }

    #[test]
    fn p_7_another_ones_lease_is_free_when_it_was_not_seen_renewed_for_its_duration_whatever_its_clock_says()
    {
        let start = crate::clock::instant();
        // Renewed in 1970, by the clock of its host.
        let mut me = Candidate::new(options("me"), Some(lease("other", 1, 0)), start);
        assert_eq!(me.step(start), Step::WaitUntil(start + 15 * SECOND));
        me.saw(Some(lease("other", 2, 1)), start + 14 * SECOND);
        assert_eq!(me.step(start + 15 * SECOND), Step::WaitUntil(start + 29 * SECOND));
        assert_eq!(me.step(start + 29 * SECOND), Step::Write);
    }

    #[test]
    fn p_7_a_leader_that_cannot_renew_stops_before_another_one_can_begin() {
        let start = crate::clock::instant();
        let mut me = Candidate::new(options("me"), None, start);
        me.wrote(lease("me", 1, 0), start, start + SECOND);
        let mut other = Candidate::new(options("other"), Some(lease("me", 1, 0)), start);
        assert_eq!(me.step(start + 4 * SECOND), Step::Write);
        me.failed(start + 9 * SECOND);
        assert_eq!(me.step(start + 9 * SECOND), Step::WaitUntil(start + 10 * SECOND));
        assert!(matches!(me.step(start + 10 * SECOND), Step::Lost(_)));
        other.saw(Some(lease("me", 1, 0)), start + 9 * SECOND);
        assert!(matches!(other.step(start + 14 * SECOND), Step::WaitUntil(_)));
    }

    #[test]
    fn a_leader_that_sees_another_holder_has_lost() {
        let now = crate::clock::instant();
        let mut me = Candidate::new(options("me"), None, now);
        me.wrote(lease("me", 5, 0), now, now);
        me.saw(Some(lease("", 4, 0)), now);
        assert!(matches!(me.step(now), Step::WaitUntil(_)), "what is older than our own write says nothing");
        me.saw(Some(lease("other", 6, 0)), now);
        assert!(matches!(me.step(now), Step::Lost(_)));
    }

    #[test]
    fn a_lease_that_was_given_up_is_free_for_us_and_for_the_go_manager() {
        let now = crate::clock::instant();
        let mut me = Candidate::new(options("me"), None, now);
        me.wrote(lease("me", 5, 0), now, now);
        let given = me.given_up(MicroTime(jiff::Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(Candidate::new(options("other"), Some(given.clone()), now).step(now), Step::Write);
        assert_eq!(given.spec.unwrap().lease_duration_seconds, Some(1));
        me.saw(Some(lease("other", 6, 0)), now);
        assert!(me.given_up(MicroTime(jiff::Timestamp::UNIX_EPOCH)).is_none(), "another one's is left alone");
    }
}
