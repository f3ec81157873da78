//! Which pod is restarted next (hosted.md 8.1, H-23 to H-25; H-12).
//!
//! Both StatefulSets use `OnDelete`: nothing restarts unless it is decided here.

use jiff::{SignedDuration, Timestamp};

use super::facts::{PodFact, Seen, SetFact};

/// The next pod after the former has been Ready for this long (H-23): an API that dies at once is noticed.
const SETTLED: SignedDuration = SignedDuration::from_secs(5);
/// H-12: k0s issues its leaf certificates for a year at each start.
const RESTART_DUE: SignedDuration = SignedDuration::from_hours(305 * 24);
/// H-12: so long before, people are told.
const TOLD_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// H-12: from here on a quorum of etcd is enough.
pub const RESTART_AT_LATEST: SignedDuration = SignedDuration::from_hours(350 * 24);

/// What a restart of one set is decided on.
pub struct View<'a> {
    /// The set.
    pub set: &'a Seen<SetFact>,
    /// Its pods.
    pub pods: &'a [&'a Seen<PodFact>],
    /// Pods that are wanted.
    pub replicas: i32,
    /// Pods are restarted before their certificates end.
    pub expires: bool,
    /// This pod last, because it leads etcd.
    pub last: Option<&'a str>,
    /// Seconds after which a pod that does not get Ready stops the rollout.
    pub deadline: SignedDuration,
    /// The time.
    pub now: Timestamp,
}

/// The next restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// All run the wanted revision.
    Nothing,
    /// Delete this pod, for this reason.
    Pod {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
        /// Why.
        why: &'static str,
        /// It serves nobody: no other pod need be well for it (H-24).
        repair: bool,
    },
    /// Not yet: what for, and when to look again, if that cannot be watched.
    Wait(String, Option<Timestamp>),
    /// A pod of the wanted revision does not get Ready (H-25).
    Stalled(String),
}

impl View<'_> {
    /// A pod runs the wanted revision.
    pub fn is_current(&self, pod: &Seen<PodFact>) -> bool {
        pod.fact.revision == self.set.fact.update_revision
    }

    /// The next restart. The rules, in order:
    ///
    /// 1. the StatefulSet's controller has not seen the newest template: wait;
    /// 2. a pod goes: wait for its successor;
    /// 3. a pod of an unwanted revision that is not Ready goes at once (H-24);
    /// 4. nothing else is outdated or due: nothing;
    /// 5. a pod of the wanted revision is not Ready within the deadline: stalled (H-25);
    /// 6. a pod is missing or not Ready, or Ready for less than five seconds: wait (H-23);
    /// 7. the highest ordinal of an unwanted revision goes, the leader last;
    /// 8. the pod that has run for 305 days goes (H-12).
    pub fn next(&self) -> Restart {
        if !self.set.fact.current {
            return Restart::Wait(
                "the StatefulSet controller has not seen the new template yet".to_owned(),
                None,
            );
        }
        if let Some(going) = self.pods.iter().find(|pod| pod.deleting) {
            return Restart::Wait(format!("{} is being replaced", going.name), None);
        }
        let mut outdated: Vec<_> = self.pods.iter().filter(|pod| !self.is_current(pod)).collect();
        outdated.sort_by_key(|pod| (Some(&*pod.name) != self.last, pod.ordinal()));
        let restart = |pod: &Seen<PodFact>, why, repair| Restart::Pod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            why,
            repair,
        };
        if let Some(broken) = outdated.iter().rev().find(|pod| pod.fact.ready_since.is_none()) {
            return restart(broken, "it is not Ready on a revision that is no longer wanted", true);
        }
        let due = self
            .pods
            .iter()
            .filter(|pod| self.due(pod, RESTART_DUE))
            .min_by_key(|pod| pod.fact.running_since);
        if outdated.is_empty() && due.is_none() {
            return Restart::Nothing;
        }
        if let Some(stalled) = self.stalled() {
            return Restart::Stalled(stalled);
        }
        let present = i32::try_from(self.pods.len()).unwrap_or(i32::MAX);
        if present < self.replicas {
            return Restart::Wait(format!("{present} of {} pods exist", self.replicas), None);
        }
        if let Some(pod) = self.pods.iter().find(|pod| pod.fact.ready_since.is_none()) {
            return Restart::Wait(format!("{} is not Ready", pod.name), self.deadline_of(pod));
        }
        let newest =
            self.pods.iter().filter(|pod| self.is_current(pod)).filter_map(|pod| pod.fact.ready_since).max();
        if let Some(until) =
            newest.and_then(|since| since.checked_add(SETTLED).ok()).filter(|until| *until > self.now)
        {
            return Restart::Wait(
                "the last restarted pod has been Ready for less than 5 s".to_owned(),
                Some(until),
            );
        }
        match (outdated.last(), due) {
            (Some(pod), _) => restart(pod, "a new revision is rolled out", false),
            (None, Some(pod)) => restart(pod, "its certificates end within 60 days", false),
            (None, None) => Restart::Nothing,
        }
    }

    /// Why the rollout stopped: a pod of the wanted revision that is not Ready within its deadline, or whose image
    /// cannot be had, which no patience cures.
    pub fn stalled(&self) -> Option<String> {
        let mut unready =
            self.pods.iter().filter(|pod| self.is_current(pod) && pod.fact.ready_since.is_none());
        let late = |pod: &&&Seen<PodFact>| self.deadline_of(pod).is_some_and(|until| until <= self.now);
        if let Some(pod) = unready.clone().find(|pod| without_image(pod)) {
            return Some(format!("{} cannot start: {}", pod.name, pod.fact.trouble.as_deref()?));
        }
        let pod = unready.find(late)?;
        let why = pod
            .fact
            .trouble
            .clone()
            .unwrap_or_else(|| "it runs and does not answer its readiness probe".to_owned());
        Some(format!("{} is not Ready {} s after its start: {why}", pod.name, self.deadline.as_secs()))
    }

    fn deadline_of(&self, pod: &Seen<PodFact>) -> Option<Timestamp> {
        pod.created?.checked_add(self.deadline).ok()
    }

    /// A pod has run for so long that its certificates are due.
    pub fn due(&self, pod: &Seen<PodFact>, after: SignedDuration) -> bool {
        self.expires && due_at(pod, after).is_some_and(|at| at <= self.now)
    }

    /// The pod that restarts next because its certificates end, in words, fourteen days before.
    pub fn due_soon(&self) -> Option<String> {
        let soon = |pod: &&&Seen<PodFact>| self.due(pod, RESTART_DUE - TOLD_BEFORE);
        let pod = self.pods.iter().filter(soon).min_by_key(|pod| pod.fact.running_since)?;
        let at = due_at(pod, RESTART_DUE)?;
        Some(format!("{} restarts on {}, before its certificates end", pod.name, at.strftime("%F")))
    }

    /// The next moment at which a timer must look: a pod's certificates are due or people must be told, or its
    /// patience ends.
    pub fn timer(&self) -> Option<Timestamp> {
        let told = |pod: &&Seen<PodFact>| due_at(pod, RESTART_DUE - TOLD_BEFORE).filter(|at| *at > self.now);
        let due = self
            .pods
            .iter()
            .filter(|_| self.expires)
            .filter_map(|pod| told(pod).or_else(|| due_at(pod, RESTART_DUE)));
        let waiting = self.pods.iter().filter(|pod| pod.fact.ready_since.is_none());
        let late = waiting.filter_map(|pod| self.deadline_of(pod)).filter(|at| *at > self.now);
        due.chain(late).min()
    }
}

/// The kubelet's reasons for a container without an image; between two tries it tells the second.
fn without_image(pod: &Seen<PodFact>) -> bool {
    const REASONS: [&str; 4] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];
    let told = pod.fact.trouble.as_deref().unwrap_or_default();
    REASONS.iter().any(|reason| told.starts_with(reason))
}

fn due_at(pod: &Seen<PodFact>, after: SignedDuration) -> Option<Timestamp> {
    pod.fact.running_since?.checked_add(after).ok()
}
