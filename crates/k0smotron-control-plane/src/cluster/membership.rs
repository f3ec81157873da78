//! Changes of etcd's membership: one at a time, decided on a live list of members (hosted.md 9.2 to 9.5).
//!
//! V is the number of voters, H of those that are healthy, q(V) = V/2 + 1 the quorum. No act leaves H < q(V).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::names::ordinal;
use super::record::{Joining, Phase, Record, Recorded};

/// A learner that has not caught up by then is taken out and tried again (section 20).
const CATCH_UP: SignedDuration = SignedDuration::from_mins(10);

/// A member as etcd itself lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Member {
    /// The name of its pod, which its peer URL tells even before it has started.
    pub name: String,
    /// Its id in hexadecimal digits.
    pub id: String,
    /// It receives the data and has no vote yet.
    pub learner: bool,
    /// It has started at least once.
    pub started: bool,
    /// It is the leader.
    pub leader: bool,
}

/// What etcd said when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Live {
    /// The id of the cluster in hexadecimal digits.
    pub cluster: String,
    /// Its members.
    pub members: Vec<Member>,
}

/// A pod of etcd, as far as membership is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// It is Ready.
    pub ready: bool,
    /// It runs the wanted revision.
    pub current: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// It is being deleted.
    pub deleting: bool,
}

/// A claim of etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claim {
    /// The name of the pod that it belongs to.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// Its volume is gone for good.
    pub lost: bool,
    /// It is being deleted.
    pub deleting: bool,
}

/// Everything that a change of membership is decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct View {
    /// Name of the StatefulSet, which begins the name of each member.
    pub set: String,
    /// Members that are wanted.
    pub wanted: i32,
    /// A smaller number has been wanted long enough (9.2).
    pub may_shrink: bool,
    /// The record, if it can be read.
    pub record: Option<Record>,
    /// Replicas of the StatefulSet; `None`: it does not exist.
    pub replicas: Option<i32>,
    /// What etcd says; `None`: it was not asked, or did not answer.
    pub live: Option<Live>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Its claims.
    pub claims: Vec<Claim>,
    /// The member that a person wants replaced.
    pub replace: Option<String>,
    /// The time.
    pub now: Timestamp,
}

/// What is done next about membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing: it is as it should be.
    Nothing,
    /// Write the record; the StatefulSet follows it.
    Record(Record),
    /// Give the StatefulSet this many replicas.
    Resize(i32),
    /// Ask etcd to take this pod as a learner.
    AddLearner(String),
    /// Ask etcd to make the learner of this id a voter.
    Promote(Member),
    /// Ask etcd to hand leadership on from this member.
    MoveLeader(Member),
    /// Ask etcd to forget this member.
    Remove(Member, &'static str),
    /// Delete the claim of this pod: etcd never accepts that data again.
    DeleteClaim(String),
    /// Delete this pod, which serves nobody: its claim is lost, or it waits for a line of the record.
    DeletePod(String),
    /// Wait for what is watched.
    Wait(String),
    /// Wait for etcd itself, which cannot be watched.
    Ask(String),
    /// Too few members are healthy: nothing is done until they are back or a backup is restored.
    QuorumLost(String),
    /// There is data, and nobody says to which members it belongs.
    Unknown(String),
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing to do"),
            Self::Record(_) => f.write_str("the record of members is written"),
            Self::Resize(replicas) => write!(f, "the StatefulSet gets {replicas} replicas"),
            Self::AddLearner(pod) => write!(f, "{pod} joins as a learner"),
            Self::Promote(member) => write!(f, "{} becomes a voter when it has caught up", member.name),
            Self::MoveLeader(member) => write!(f, "leadership moves off {}", member.name),
            Self::Remove(member, why) => write!(f, "{} is removed: {why}", member.name),
            Self::DeleteClaim(pod) => write!(f, "the old volume of {pod} goes"),
            Self::DeletePod(pod) => write!(f, "{pod} is made anew"),
            Self::Wait(words) | Self::Ask(words) | Self::QuorumLost(words) | Self::Unknown(words) => {
                f.write_str(words)
            }
        }
    }
}

impl View {
    /// Whether etcd must be asked: only while something changes, or to learn who the members are (9.4). A member
    /// that is not Ready may be one no more: its removal is followed by the record, and a kill can come between.
    pub fn needs_live(&self) -> bool {
        let Some(record) = &self.record else { return !self.claims.is_empty() };
        let size = i32::try_from(record.members.len()).unwrap_or_default();
        match record.phase {
            Phase::Bootstrapping => self.pods.iter().filter(|pod| pod.ready).count() >= record.members.len(),
            Phase::Running => {
                record.joining.is_some()
                    || size < self.wanted
                    || (size > self.wanted && self.may_shrink)
                    || self.replicas.is_some_and(|replicas| replicas != record.pods())
                    // A pod without a member between others.
                    || record.pods() != size
                    || record.members.iter().any(|member| self.lost(record, &member.name))
                    || record.members.iter().any(|member| member.claim.is_empty() || !self.ready(&member.name))
                    || self.claims.iter().any(|claim| record.retired.contains(&claim.uid))
                    || self.replace.is_none() && record.replaced.is_some()
            }
        }
    }

    /// Whether all of these started so lately that their readiness probes lag behind.
    pub fn is_about_to_be_ready(&self, names: &[&str]) -> bool {
        names.iter().all(|name| {
            let until = self.pod(name).and_then(|pod| pod.created?.checked_add(PROBED).ok());
            until.is_some_and(|until| until > self.now)
        })
    }

    /// When the first pod that is not Ready has had the time for its probe.
    pub fn probed(&self) -> Option<Timestamp> {
        let waiting = self.pods.iter().filter(|pod| !pod.ready);
        waiting.filter_map(|pod| pod.created?.checked_add(PROBED).ok()).filter(|at| *at > self.now).min()
    }

    /// A member whose data is gone: its claim is, or is another than it was, or a person says so. A pod that is
    /// merely not Ready is not lost.
    fn lost(&self, record: &Record, name: &str) -> bool {
        let Some(member) = record.members.iter().find(|member| member.name == name) else { return false };
        let claim = self.claims.iter().find(|claim| claim.pod == name);
        claim.is_none_or(|claim| claim.lost || (!member.claim.is_empty() && claim.uid != member.claim))
            || self.asked_for(record) == Some(name)
    }

    /// The member that a person wants replaced, and that was not yet.
    fn asked_for(&self, record: &Record) -> Option<&str> {
        self.replace.as_deref().filter(|name| record.replaced.as_deref() != Some(name))
    }

    fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    fn ready(&self, name: &str) -> bool {
        self.pod(name).is_some_and(|pod| pod.ready && !pod.deleting)
    }

    /// The next act. The rules, in order:
    ///
    /// 1. no record and no data: a cluster is born (H-30);
    /// 2. no record, but data: the record is rebuilt from live members, else nothing is done;
    /// 3. at birth: once all are there, the record says `Running`;
    /// 4. a learner: write it down, give it a pod, promote it, or take it out after ten minutes;
    /// 5. the record follows the live list;
    /// 6. pods and claims of nobody go;
    /// 7. a lost member is replaced, if the others have a quorum (9.5);
    /// 8. more members are wanted: add a learner, when all are healthy (9.4);
    /// 9. fewer members are wanted: hand on leadership, remove the highest.
    pub fn next(&self) -> Act {
        let Some(record) = &self.record else { return self.without_record() };
        let Some(live) = &self.live else {
            return self.unasked(record);
        };
        if record.phase == Phase::Bootstrapping {
            return self.birth(record, live);
        }
        if let Some(learner) = live.members.iter().find(|member| member.learner) {
            return self.learner(record, live, learner);
        }
        let recorded = self.recorded(live, Some(record), None);
        if recorded != *record {
            return Act::Record(recorded);
        }
        if let Some(act) = self.leftovers(record) {
            return act;
        }
        let voters: Vec<&Member> = live.members.iter().collect();
        let healthy = voters.iter().filter(|member| self.ready(&member.name)).count();
        let lost: Vec<&&Member> = voters.iter().filter(|member| self.lost(record, &member.name)).collect();
        if let Some(act) = self.replacement(&voters, &lost, healthy) {
            return act;
        }
        self.resize(&voters, healthy)
    }

    fn without_record(&self) -> Act {
        if self.claims.is_empty() {
            return Act::Record(Record::of_birth(&self.set, self.wanted));
        }
        match &self.live {
            Some(live) if !live.members.is_empty() => Act::Record(self.recorded(live, None, None)),
            _ => Act::Unknown(
                "there is data of etcd and no record of its members, and no member answers".to_owned(),
            ),
        }
    }

    /// What can be said without etcd.
    fn unasked(&self, record: &Record) -> Act {
        if record.phase == Phase::Bootstrapping {
            let words = "the first members start".to_owned();
            return if self.needs_live() { Act::Ask(words) } else { Act::Wait(words) };
        }
        let healthy = record.members.iter().filter(|member| self.ready(&member.name)).count();
        if healthy < quorum(record.members.len()) {
            // Asking is of no use, and no act is allowed.
            return Act::QuorumLost(words_of_loss(healthy, record.members.len()));
        }
        if self.needs_live() { Act::Ask("no member of etcd answers".to_owned()) } else { Act::Nothing }
    }

    fn birth(&self, record: &Record, live: &Live) -> Act {
        let all = record
            .members
            .iter()
            .all(|member| live.members.iter().any(|m| m.name == member.name && m.started));
        if all {
            Act::Record(self.recorded(live, Some(record), None))
        } else {
            Act::Ask("the first members find each other".to_owned())
        }
    }

    fn learner(&self, record: &Record, live: &Live, learner: &Member) -> Act {
        let name = &learner.name;
        let known = record.joining.as_ref().filter(|joining| joining.id == learner.id);
        let now =
            self.claims.iter().find(|claim| claim.pod == *name && !claim.lost).map(|claim| claim.uid.clone());
        // Written down before it may vote: from then on another claim means that its data is lost.
        let claim = match known.map(|known| &known.claim) {
            Some(claim) if !claim.is_empty() => claim.clone(),
            _ => now.clone().filter(|_| learner.started).unwrap_or_default(),
        };
        let joining = Joining {
            name: name.clone(),
            id: learner.id.clone(),
            since: known.map_or(self.now, |known| known.since),
            claim,
        };
        let written = self.recorded(live, Some(record), Some(joining.clone()));
        let voters: Vec<&Member> = live.members.iter().filter(|member| !member.learner).collect();
        let healthy = voters.iter().filter(|member| self.ready(&member.name)).count();
        if written != *record {
            return Act::Record(written);
        }
        if healthy < quorum(voters.len()) {
            return Act::QuorumLost(words_of_loss(healthy, voters.len()));
        }
        if joining.since.checked_add(CATCH_UP).is_ok_and(|until| until <= self.now) {
            return Act::Remove(learner.clone(), "it did not catch up within ten minutes");
        }
        if !joining.claim.is_empty() && now.as_ref() != Some(&joining.claim) {
            return Act::Remove(learner.clone(), DATA_LOST);
        }
        let needed = written.pods();
        if self.replicas.is_some_and(|replicas| replicas < needed) {
            return Act::Resize(needed);
        }
        if learner.started {
            return Act::Promote(learner.clone());
        }
        match self.pod(name) {
            // Its directory of the record is older than its line: a new pod sees it at once, the old one in a minute.
            Some(pod) if !pod.deleting && pod.created.is_some_and(|created| created < joining.since) => {
                Act::DeletePod(name.clone())
            }
            _ => Act::Ask(format!("{name} starts and catches up")),
        }
    }

    /// Pods beyond the membership, then their claims.
    fn leftovers(&self, record: &Record) -> Option<Act> {
        let needed = record.pods();
        if self.replicas.is_some_and(|replicas| replicas > needed) {
            return Some(Act::Resize(needed));
        }
        if self.replicas.is_some_and(|replicas| replicas < needed) {
            return Some(Act::Resize(needed));
        }
        let beyond = |name: &str| ordinal(name).is_some_and(|ordinal| ordinal >= needed);
        if let Some(pod) = self.pods.iter().find(|pod| beyond(&pod.name)) {
            return Some(Act::Wait(format!("{} ends", pod.name)));
        }
        let claim =
            self.claims.iter().find(|claim| beyond(&claim.pod) || record.retired.contains(&claim.uid))?;
        if !claim.deleting {
            return Some(Act::DeleteClaim(claim.pod.clone()));
        }
        // A claim in use stays; the pod of a removed member serves nobody.
        Some(match self.pod(&claim.pod) {
            Some(pod) if !pod.deleting => Act::DeletePod(claim.pod.clone()),
            _ => Act::Wait(format!("the old data of {} goes", claim.pod)),
        })
    }

    /// Dead members are removed first: they hold up everything else. Then pods whose member was removed join
    /// again, one at a time. A member that lives and shall be replaced comes last.
    fn replacement(&self, voters: &[&Member], lost: &[&&Member], healthy: usize) -> Option<Act> {
        let (alive, dead): (Vec<&Member>, Vec<&Member>) =
            lost.iter().copied().copied().partition(|member| self.ready(&member.name));
        if let Some(member) = dead.first() {
            if voters.len() == 1 || healthy < quorum(voters.len()) {
                return Some(Act::QuorumLost(words_of_loss(healthy, voters.len())));
            }
            return Some(Act::Remove((*member).clone(), DATA_LOST));
        }
        let orphan = (0..self.replicas.unwrap_or_default())
            .map(|ordinal| format!("{}-{ordinal}", self.set))
            .find(|name| voters.iter().all(|member| member.name != *name));
        if let Some(name) = orphan {
            return Some(if healthy < voters.len() {
                Act::Wait(format!("all members must be healthy before {name} joins again"))
            } else {
                Act::AddLearner(name)
            });
        }
        let member = *alive.first()?;
        if voters.len() == 1 || healthy - 1 < quorum(voters.len()) {
            return Some(Act::Wait(format!(
                "{} of {} members are healthy; too few to replace {}",
                healthy,
                voters.len(),
                member.name
            )));
        }
        Some(if member.leader {
            Act::MoveLeader(member.clone())
        } else {
            Act::Remove(member.clone(), "a person asked for it")
        })
    }

    fn resize(&self, voters: &[&Member], healthy: usize) -> Act {
        let size = i32::try_from(voters.len()).unwrap_or(i32::MAX);
        if size < self.wanted {
            if healthy < voters.len() {
                return Act::Wait(format!(
                    "{healthy} of {} members are healthy; all must be before one is added",
                    voters.len()
                ));
            }
            if let Some(old) = self.pods.iter().find(|pod| !pod.current) {
                return Act::Wait(format!(
                    "{} must run the wanted revision before a member is added",
                    old.name
                ));
            }
            return Act::AddLearner(format!("{}-{size}", self.set));
        }
        if size > self.wanted && self.may_shrink {
            let Some(last) = voters.iter().max_by_key(|member| ordinal(&member.name)) else {
                return Act::Nothing;
            };
            let alive = self.ready(&last.name);
            let left = voters.len() - 1;
            let enough = if alive { healthy > quorum(left) } else { healthy >= quorum(voters.len()) };
            if !enough {
                return Act::Wait(format!(
                    "{healthy} of {} members are healthy; too few to spare one",
                    voters.len()
                ));
            }
            return if last.leader {
                Act::MoveLeader((*last).clone())
            } else {
                Act::Remove((*last).clone(), "fewer members are wanted")
            };
        }
        if healthy < quorum(voters.len()) {
            return Act::QuorumLost(words_of_loss(healthy, voters.len()));
        }
        Act::Nothing
    }

    /// The record of what is live. What is known of a member stays: the claim that it began with.
    fn recorded(&self, live: &Live, before: Option<&Record>, joining: Option<Joining>) -> Record {
        let mut voters: Vec<_> = live.members.iter().filter(|member| !member.learner).collect();
        voters.sort_by_key(|member| ordinal(&member.name));
        let known = |member: &Member| {
            let same = before?
                .members
                .iter()
                .find(|known| known.name == member.name && (known.id.is_empty() || known.id == member.id))?;
            (!same.claim.is_empty()).then(|| same.claim.clone())
        };
        let joined = |member: &Member| {
            let joining = before?.joining.as_ref().filter(|joining| joining.id == member.id)?;
            (!joining.claim.is_empty()).then(|| joining.claim.clone())
        };
        // Only a member that runs tells that its data is on the claim of its name.
        let now = |member: &Member| {
            let runs = self.ready(&member.name);
            let claim = self.claims.iter().find(|claim| runs && claim.pod == member.name && !claim.lost);
            claim.map(|claim| claim.uid.clone()).unwrap_or_default()
        };
        let members: Vec<_> = voters
            .iter()
            .map(|m| Recorded {
                name: m.name.clone(),
                id: m.id.clone(),
                claim: known(m).or_else(|| joined(m)).unwrap_or_else(|| now(m)),
            })
            .collect();
        let gone = before
            .into_iter()
            .flat_map(|before| &before.members)
            .filter(|old| !old.id.is_empty() && live.members.iter().all(|member| member.id != old.id));
        let gone: Vec<_> = gone.collect();
        let retired =
            before.into_iter().flat_map(|before| &before.retired).chain(gone.iter().map(|old| &old.claim));
        let mut retired: Vec<_> =
            retired.filter(|uid| self.claims.iter().any(|claim| claim.uid == **uid)).cloned().collect();
        retired.dedup();
        let done = |name: &String| gone.iter().any(|old| old.name == *name);
        let replaced = self
            .replace
            .clone()
            .filter(|name| done(name) || before.is_some_and(|before| before.replaced.as_ref() == Some(name)));
        Record { phase: Phase::Running, cluster: live.cluster.clone(), members, joining, retired, replaced }
    }
}

/// A member votes as soon as it has caught up; its readiness probe sees that some seconds later.
const PROBED: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// Why a member leaves whose volume is gone.
pub const DATA_LOST: &str = "its data is lost";

/// The number of voters that must agree.
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

fn words_of_loss(healthy: usize, voters: usize) -> String {
    format!("{healthy} of {voters} members are healthy, {} are needed; nothing is changed", quorum(voters))
}
