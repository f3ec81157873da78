//! The record of etcd's membership (hosted.md 9.3): ConfigMap `<...>-etcd-members`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::ordinal;

/// Where an etcd cluster is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Its first members start together.
    #[default]
    Bootstrapping,
    /// It was born. Nothing ever starts as `new` again (H-30).
    Running,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// Its name, which is its pod's.
    pub name: String,
    /// Its id in hexadecimal digits; empty before its birth.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The uid of the claim with its data: under another one it is lost, whatever stands there now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim: String,
}

/// A member that joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joining {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// When it was written down.
    pub since: Timestamp,
    /// The uid of the claim with its data, once it has started.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim: String,
}

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Where the cluster is in its life.
    pub phase: Phase,
    /// Its id in hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// The voters, by ordinal.
    pub members: Vec<Recorded>,
    /// The learner, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<Joining>,
    /// Claims of former members: etcd never accepts their data again, so they go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<String>,
    /// The member that was replaced because a person asked for it: asked once, done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}

impl Record {
    /// The record of a cluster that is to be born with these members.
    pub fn of_birth(set: &str, replicas: i32) -> Self {
        let member = |ordinal| Recorded { name: format!("{set}-{ordinal}"), ..Recorded::default() };
        Self { members: (0..replicas).map(member).collect(), ..Self::default() }
    }

    /// Reads a record; `None` if it says nothing that we understand, which is as good as lost.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of key `members.json`.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Pods that the membership needs: no StatefulSet is made smaller (9.2).
    pub fn pods(&self) -> i32 {
        let names = self
            .members
            .iter()
            .map(|member| &member.name)
            .chain(self.joining.iter().map(|joining| &joining.name));
        names.filter_map(|name| ordinal(name)).map(|ordinal| ordinal + 1).max().unwrap_or_default()
    }

    /// How members without data start: one key per pod. All together at their birth, afterwards the learner alone.
    pub fn files(&self, peers: &str) -> BTreeMap<String, String> {
        let url = |name: &str| format!("{name}=https://{name}.{peers}:2380");
        let voters = || self.members.iter().map(|member| url(&member.name));
        match (self.phase, &self.joining) {
            (Phase::Bootstrapping, _) => {
                let all = voters().collect::<Vec<_>>().join(",");
                self.members.iter().map(|member| (member.name.clone(), format!("new\n{all}\n"))).collect()
            }
            (Phase::Running, Some(joining)) => {
                let all = voters().chain([url(&joining.name)]).collect::<Vec<_>>().join(",");
                [(joining.name.clone(), format!("existing\n{all}\n"))].into()
            }
            (Phase::Running, None) => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_members_start_together_as_new() {
        let files = Record::of_birth("kmc-a-etcd", 2).files("kmc-a-etcd");
        let all = "kmc-a-etcd-0=https://kmc-a-etcd-0.kmc-a-etcd:2380,kmc-a-etcd-1=https://kmc-a-etcd-1.kmc-a-etcd:2380";
        assert_eq!(files["kmc-a-etcd-1"], format!("new\n{all}\n"));
        assert_eq!(files.len(), 2);
    }

    /// H-30.
    #[test]
    fn once_running_nothing_starts_as_new() {
        let running = Record { phase: Phase::Running, ..Record::of_birth("e", 3) };
        assert!(running.files("p").is_empty());
        let joining = Joining {
            name: "e-3".into(),
            id: "1".into(),
            since: Timestamp::UNIX_EPOCH,
            claim: String::new(),
        };
        let grown = Record { joining: Some(joining), ..running };
        assert_eq!(grown.files("p").keys().collect::<Vec<_>>(), ["e-3"]);
        assert!(grown.files("p")["e-3"].starts_with("existing\n"));
        assert_eq!(grown.pods(), 4);
        assert_eq!(Record::parse(&grown.text()), Some(grown));
    }
}
