//! EtcdMember, and how a controller leaves (k0s.md 11).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Feature, Version};

/// `etcd.k0sproject.io/v1beta1` EtcdMember, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EtcdMember {
    /// Asked to leave. Each start of k0s sets it back.
    pub spec: EtcdMemberSpec,
    /// What k0s reports.
    pub status: EtcdMemberStatus,
}

/// What can be asked of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EtcdMemberSpec {
    /// Leave the cluster.
    pub leave: bool,
}

/// What k0s reports of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EtcdMemberStatus {
    /// An IP address.
    pub peer_address: String,
    /// Hexadecimal.
    #[serde(rename = "memberID")]
    pub member_id: String,
    /// `Success`, `Failed` or empty.
    pub reconcile_status: String,
    /// In k0s's words (k0s.md 11.1).
    pub message: String,
    /// Only `Joined` is known.
    pub conditions: Vec<EtcdMemberCondition>,
}

/// A condition of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EtcdMemberCondition {
    /// `Joined`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
    /// In k0s's words.
    pub message: String,
    /// When it changed.
    pub last_transition_time: Option<Timestamp>,
}

impl EtcdMember {
    /// Of condition `Joined`: `None` while it is not reported.
    pub fn joined(&self) -> Option<bool> {
        let joined = self.status.conditions.iter().find(|condition| condition.kind == "Joined")?;
        match joined.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        }
    }
}

/// How a k0s leaves etcd (k0s.md 11.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaveLevel {
    /// No EtcdMember to rely upon.
    L0,
    /// The leader removes the member at once.
    L1,
    /// The target stops its etcd while still a member, then the leader removes it.
    L2,
    /// The target removes itself.
    L3,
}

impl LeaveLevel {
    /// By table; an unknown newer minor is level 3 (K0S-14).
    pub fn of(version: &Version) -> Self {
        let levels = [
            (Feature::LeaveRemovesItself, Self::L3),
            (Feature::LeaveStopsTarget, Self::L2),
            (Feature::EtcdMemberReliable, Self::L1),
        ];
        levels
            .into_iter()
            .find(|(feature, _)| feature.in_version(version))
            .map_or(Self::L0, |(_, level)| level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K0S-14.
    #[test]
    fn k0s14_the_level_follows_the_version() {
        let table = [
            (LeaveLevel::L0, &["1.31.5", "1.30.0"][..]),
            (LeaveLevel::L1, &["1.31.6", "1.33.13", "1.34.3", "1.35.0"]),
            (LeaveLevel::L2, &["1.34.4", "1.34.10", "1.35.1", "1.35.4"]),
            (LeaveLevel::L3, &["1.35.5", "1.36.1", "1.37.0-alpha.1"]),
        ];
        for (level, versions) in table {
            for version in versions {
                assert_eq!(LeaveLevel::of(&version.parse().unwrap()), level, "{version}");
            }
        }
    }

    #[test]
    fn an_object_of_k0s_is_read() {
        let member: EtcdMember = serde_json::from_value(serde_json::json!({
            "apiVersion": "etcd.k0sproject.io/v1beta1", "kind": "EtcdMember", "metadata": { "name": "c1" },
            "spec": { "leave": true },
            "status": {
                "peerAddress": "10.0.0.1", "memberID": "a1b2", "reconcileStatus": "Success",
                "message": "Member removed from cluster",
                "conditions": [{ "type": "Joined", "status": "False", "lastTransitionTime": "2026-03-01T12:00:00Z" }]
            }
        }))
        .unwrap();
        assert!(member.spec.leave);
        assert_eq!(member.joined(), Some(false));
        assert_eq!(member.status.member_id, "a1b2");
        assert_eq!(EtcdMember::default().joined(), None);
    }
}
