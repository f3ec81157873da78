//! A small model of etcd, its pods and volumes, in which acts of [`crate::cluster::membership`] are done in random
//! worlds: no act leaves fewer healthy voters than a quorum, nothing is born twice, and peace brings the wanted size
//! (hosted.md 9.4, H-30, H-31).

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::world::noon;
use crate::cluster::membership::{Act, Claim, Live, Member, Pod, View, quorum};
use crate::cluster::record::{Phase, Record};

const SET: &str = "e";

/// What happens to the world between two passes.
#[derive(Clone, Debug)]
enum Chance {
    /// Nothing.
    Peace,
    /// The pod of this ordinal is away for a while.
    Down(i32),
    /// It is back.
    Up(i32),
    /// Volume and pod of this ordinal are gone.
    Lose(i32),
    /// Somebody wants this many replicas.
    Want(i32),
    /// The record is deleted.
    Forget,
    /// The StatefulSet is deleted with its pods.
    DeleteSet,
    /// The manager is killed between the two writes of its next act.
    Kill,
}

#[derive(Clone, Debug, Default)]
struct Volume {
    uid: u32,
    /// The id of the member whose data it holds.
    data: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct World {
    now: Timestamp,
    wanted: i32,
    next: u64,
    record: Option<Record>,
    replicas: Option<i32>,
    /// Volumes and pods by ordinal.
    volumes: Vec<Option<Volume>>,
    away: Vec<i32>,
    born: Vec<Timestamp>,
    /// Members by id: ordinal and whether it is a learner.
    members: Vec<(u64, i32, bool)>,
    births: u32,
    leader: u64,
}

impl World {
    fn new() -> Self {
        Self { now: noon(), wanted: 1, volumes: vec![None; 8], born: vec![noon(); 8], ..Self::default() }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn name(ordinal: i32) -> String {
        format!("{SET}-{ordinal}")
    }

    fn exists(&self, ordinal: i32) -> bool {
        self.replicas.is_some_and(|replicas| ordinal < replicas)
    }

    /// The member of this pod runs on data of its own.
    fn runs(&self, ordinal: i32) -> bool {
        let data = self.volumes[usize::try_from(ordinal).unwrap()].as_ref().and_then(|volume| volume.data);
        self.exists(ordinal)
            && !self.away.contains(&ordinal)
            && data.is_some_and(|id| self.members.iter().any(|m| m.0 == id))
    }

    fn voters(&self) -> usize {
        self.members.iter().filter(|member| !member.2).count()
    }

    fn healthy(&self) -> usize {
        self.members.iter().filter(|member| !member.2 && self.runs(member.1)).count()
    }

    /// What pods do by themselves: volumes are made, members start as the record tells them.
    fn turn(&mut self) {
        let record = self.record.clone();
        for ordinal in 0..self.replicas.unwrap_or_default() {
            let at = usize::try_from(ordinal).unwrap();
            if self.volumes[at].is_none() {
                let uid = u32::try_from(self.fresh()).unwrap();
                self.volumes[at] = Some(Volume { uid, data: None });
                self.born[at] = self.now;
            }
            if self.away.contains(&ordinal)
                || self.volumes[at].as_ref().is_some_and(|volume| volume.data.is_some())
            {
                continue;
            }
            let Some(record) = &record else { continue };
            let line = record.files("p").get(&Self::name(ordinal)).cloned();
            match line.as_deref().map(|line| line.starts_with("new")) {
                Some(true) => {
                    // All start together with the same list; etcd derives the same ids on each.
                    if self.members.is_empty() {
                        self.births += 1;
                        let size = i32::try_from(record.members.len()).unwrap();
                        self.members = (0..size)
                            .map(|ordinal| (u64::try_from(1000 + ordinal).unwrap(), ordinal, false))
                            .collect();
                        self.leader = 1000;
                    }
                    let id = u64::try_from(1000 + ordinal).unwrap();
                    self.volumes[at].as_mut().unwrap().data = Some(id);
                }
                Some(false) => {
                    let since = record.joining.as_ref().map(|joining| joining.since);
                    let member = self.members.iter().find(|member| member.1 == ordinal && member.2).copied();
                    // The line reaches pods that were made after it.
                    if let Some((id, ..)) =
                        member.filter(|_| since.is_some_and(|since| since <= self.born[at]))
                    {
                        self.volumes[at].as_mut().unwrap().data = Some(id);
                    }
                }
                None => {}
            }
        }
        if !self.members.iter().any(|member| member.0 == self.leader && self.runs(member.1))
            && let Some(next) = self.members.iter().find(|member| !member.2 && self.runs(member.1))
        {
            self.leader = next.0;
        }
        self.now = self.now.checked_add(SignedDuration::from_secs(5)).unwrap();
    }

    fn view(&self) -> View {
        let ordinals = || 0..self.replicas.unwrap_or_default();
        let voter = |ordinal: i32| self.members.iter().any(|member| member.1 == ordinal && !member.2);
        let mut view = View {
            set: SET.into(),
            wanted: self.wanted,
            may_shrink: true,
            record: self.record.clone(),
            replicas: self.replicas,
            live: None,
            pods: ordinals()
                .map(|ordinal| Pod {
                    name: Self::name(ordinal),
                    ready: self.runs(ordinal) && voter(ordinal) && self.healthy() >= quorum(self.voters()),
                    current: true,
                    created: Some(self.born[usize::try_from(ordinal).unwrap()]),
                    deleting: false,
                })
                .collect(),
            claims: (0..8)
                .filter_map(|ordinal: i32| {
                    let volume = self.volumes[usize::try_from(ordinal).unwrap()].as_ref()?;
                    Some(Claim {
                        pod: Self::name(ordinal),
                        uid: volume.uid.to_string(),
                        lost: false,
                        deleting: false,
                    })
                })
                .collect(),
            replace: None,
            now: self.now,
        };
        if view.needs_live() && self.voters() > 0 && self.healthy() >= quorum(self.voters()) {
            let members = self.members.iter().map(|(id, ordinal, learner)| Member {
                name: Self::name(*ordinal),
                id: format!("{id:x}"),
                learner: *learner,
                started: !learner || self.runs(*ordinal),
                leader: *id == self.leader,
            });
            view.live = Some(Live { cluster: "c".into(), members: members.collect() });
        }
        view
    }

    /// Does an act as the plan does it. `killed`: only its first write.
    fn act(&mut self, act: &Act, killed: bool) {
        let id = |member: &Member| u64::from_str_radix(&member.id, 16).unwrap();
        let ordinal = |pod: &str| crate::cluster::names::ordinal(pod).unwrap();
        match act {
            Act::Record(record) => {
                self.record = Some(record.clone());
                if self.replicas.is_none() && !killed {
                    self.replicas = Some(record.pods());
                }
            }
            Act::Resize(replicas) => self.replicas = Some(*replicas),
            Act::AddLearner(pod) => {
                assert!(self.members.iter().all(|member| !member.2), "two learners");
                let id = 2000 + self.fresh();
                self.members.push((id, ordinal(pod), true));
            }
            Act::Promote(member) => {
                let id = id(member);
                if let Some(found) = self.members.iter_mut().find(|found| found.0 == id) {
                    found.2 = false;
                }
            }
            Act::MoveLeader(member) => {
                let next =
                    self.members.iter().find(|other| other.0 != id(member) && !other.2 && self.runs(other.1));
                self.leader = next.map_or(self.leader, |next| next.0);
            }
            Act::Remove(member, _) => {
                let gone = id(member);
                assert!(!(self.leader == gone && self.runs(ordinal(&member.name))), "the leader was removed");
                self.members.retain(|member| member.0 != gone);
            }
            Act::DeleteClaim(pod) => {
                let at = ordinal(pod);
                let data = self.volumes[usize::try_from(at).unwrap()].as_ref().and_then(|volume| volume.data);
                assert!(
                    !data.is_some_and(|id| self.members.iter().any(|member| member.0 == id)),
                    "data of a member was deleted"
                );
                // The pod goes with it in the model.
                self.volumes[usize::try_from(at).unwrap()] = None;
            }
            Act::DeletePod(pod) => self.born[usize::try_from(ordinal(pod)).unwrap()] = self.now,
            Act::Nothing | Act::Wait(_) | Act::Ask(_) | Act::QuorumLost(_) | Act::Unknown(_) => {}
        }
        // A StatefulSet that is missing is declared again in every pass.
        if self.replicas.is_none() && !killed {
            let claims =
                (0..8).rev().find(|ordinal: &i32| self.volumes[usize::try_from(*ordinal).unwrap()].is_some());
            self.replicas = self.record.as_ref().map(Record::pods).or(claims.map(|ordinal| ordinal + 1));
        }
    }

    fn happens(&mut self, chance: &Chance) {
        match chance {
            Chance::Down(ordinal) if self.exists(*ordinal) => self.away.push(*ordinal),
            Chance::Up(ordinal) => self.away.retain(|away| away != ordinal),
            // A cluster that loses its quorum for good is a restore's business.
            Chance::Lose(ordinal)
                if self.record.as_ref().is_some_and(|record| record.phase == Phase::Running) =>
            {
                let others =
                    self.members.iter().filter(|m| !m.2 && m.1 != *ordinal && self.runs(m.1)).count();
                if others >= quorum(self.voters()) && self.record.is_some() {
                    self.volumes[usize::try_from(*ordinal).unwrap()] = None;
                }
            }
            Chance::Want(wanted) => self.wanted = *wanted,
            // A volume that is lost together with the record is told by a person (9.5).
            Chance::Forget
                if self.record.as_ref().is_some_and(|record| record.phase == Phase::Running)
                    && self.healthy() == self.voters() =>
            {
                self.record = None;
            }
            Chance::DeleteSet => self.replicas = None,
            Chance::Peace | Chance::Kill | Chance::Down(_) | Chance::Lose(_) | Chance::Forget => {}
        }
    }

    fn pass(&mut self, killed: bool) {
        let view = self.view();
        let act = view.next();
        let (before, quorate) =
            (self.healthy(), self.voters() > 0 && self.healthy() >= quorum(self.voters()));
        self.act(&act, killed);
        if quorate {
            assert!(
                self.healthy() >= quorum(self.voters()),
                "{act:?} left {} of {} voters (before: {before} healthy)",
                self.healthy(),
                self.voters()
            );
        }
        assert!(self.births <= 1, "a second cluster was born");
    }
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        6 => Just(Chance::Peace),
        1 => (0..4).prop_map(Chance::Down),
        3 => (0..4).prop_map(Chance::Up),
        1 => (0..4).prop_map(Chance::Lose),
        2 => prop_oneof![Just(1), Just(3), Just(5)].prop_map(Chance::Want),
        1 => Just(Chance::Forget),
        1 => Just(Chance::DeleteSet),
        2 => Just(Chance::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// H-30, H-31, 9.5.
    #[test]
    fn no_act_costs_the_quorum_and_peace_brings_the_wanted_size(chances in proptest::collection::vec(chance(), 0..60)) {
        let mut world = World::new();
        for chance in &chances {
            world.happens(chance);
            world.pass(matches!(chance, Chance::Kill));
            world.turn();
        }
        world.away.clear();
        for _ in 0..200 {
            world.pass(false);
            world.turn();
        }
        prop_assert_eq!(world.voters(), usize::try_from(world.wanted).unwrap(), "{:?}, next {:?}", &world, world.view().next());
        prop_assert_eq!(world.healthy(), world.voters(), "{:?}, next {:?}", &world, world.view().next());
        prop_assert_eq!(world.replicas, Some(world.wanted));
        prop_assert_eq!(world.view().next(), Act::Nothing);
    }
}
