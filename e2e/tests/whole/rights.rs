//! H-59, P-14: the rights of the bundles suffice, and none is there that nobody uses.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::bed::NAMESPACE;
use serde_json::Value;
use testbed::control_plane::AuditEntry;

use crate::support::{Day, kubectl};

/// Rights that this day does not use: mode (`*`: any), verb, group and resource, and what needs it.
const NOT_WALKED: [(&str, &str, &str, &str); 10] = [
    ("*", "create", "authentication.k8s.io/tokenreviews", "who reads metrics: the manager's process tests"),
    (
        "*",
        "create",
        "authorization.k8s.io/subjectaccessreviews",
        "who reads metrics: the manager's process tests",
    ),
    ("*", "patch", "events.k8s.io/events", "an event that is told again within minutes"),
    ("bootstrap", "get", "/configmaps", "files with contentFrom of a ConfigMap"),
    (
        "*",
        "patch",
        "cluster.x-k8s.io/machines/status",
        "a node that cannot be linked: the stories of the node link",
    ),
    (
        "infrastructure",
        "patch",
        "cluster.x-k8s.io/machines",
        "labels of a host, R-21: the plans of RemoteMachine",
    ),
    (
        "control-plane",
        "delete",
        "/services",
        "another type of Service, ten minutes later: the plans of pruning",
    ),
    (
        "control-plane",
        "delete",
        "/configmaps",
        "admission plugin OwnerReferencesPermissionEnforcement, when a removed owner is put back (H-8)",
    ),
    (
        "control-plane",
        "delete",
        "k0smotron.io/jointokenrequests",
        "requests of a deleted cluster, H-56: the plans in told.rs",
    ),
    (
        "control-plane",
        "update",
        "k0smotron.io/clusters/finalizers",
        "admission plugin OwnerReferencesPermissionEnforcement asks for it without a request",
    ),
];

/// One verb on one resource (`pods`, `clusters/status`) of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    resource: String,
    verb: String,
}

impl Right {
    fn what(&self) -> String {
        format!("{}/{}", self.group, self.resource)
    }
}

/// To be asked at the end of the day.
pub async fn no_manager_lacks_a_right_and_none_has_one_that_it_never_uses(day: &Day) -> Result<()> {
    let all = day.bed.cluster.audit()?;
    let mut idle = Vec::new();
    for mode in ["bootstrap", "control-plane", "infrastructure"] {
        let user = format!("system:serviceaccount:{NAMESPACE}:k0smotron-controller-manager-{mode}");
        let requests: Vec<_> = all.iter().filter(|entry| entry.user == user).collect();
        ensure!(!requests.is_empty(), "{user} has asked nothing");
        let refused: Vec<_> = requests.iter().filter(|entry| entry.code == 403).collect();
        ensure!(refused.is_empty(), "{mode} was refused: {refused:#?}");
        let exercised: BTreeSet<Right> = requests.iter().flat_map(|entry| needed(entry)).collect();
        let granted = granted(day, mode).await?;
        day.say(&format!("{mode} has {} rights", granted.len()));
        for right in granted {
            let any = right.resource == "*";
            let walked = exercised.iter().any(|one| {
                one.group == right.group && one.verb == right.verb && (any || one.resource == right.resource)
            });
            let known = NOT_WALKED.iter().any(|(of, verb, what, _)| {
                (*of == mode || *of == "*") && *verb == right.verb && *what == right.what()
            });
            if !walked && !known {
                idle.push(format!("{mode}: {} {}", right.verb, right.what()));
            }
        }
    }
    ensure!(idle.is_empty(), "rights that nobody used, and that have no reason:\n{}", idle.join("\n"));
    day.say("no manager was refused a right, and each right was used or has its reason");
    Ok(())
}

/// What a request needed. An apply that made the object needed the right to create it, too.
fn needed(entry: &AuditEntry) -> Vec<Right> {
    let resource = match entry.subresource.as_str() {
        "" => entry.resource.clone(),
        subresource => format!("{}/{subresource}", entry.resource),
    };
    let right =
        |verb: &str| Right { group: entry.group.clone(), resource: resource.clone(), verb: verb.to_owned() };
    let mut all = vec![right(&entry.verb)];
    if entry.verb == "patch" && entry.code == 201 {
        all.push(right("create"));
    }
    all
}

/// What the roles of a manager's account say.
async fn granted(day: &Day, mode: &str) -> Result<BTreeSet<Right>> {
    let names = [
        ("clusterrole", format!("k0smotron-manager-role-{mode}")),
        ("role", format!("k0smotron-leader-election-role-{mode}")),
    ];
    let mut all = BTreeSet::new();
    for (kind, name) in names {
        let text = kubectl(&day.kubeconfig(), &["get", "-n", NAMESPACE, kind, &name, "-o", "json"]).await?;
        let role: Value = serde_json::from_str(&text)?;
        for rule in role["rules"].as_array().context("a role without rules")? {
            let list = |key: &str| -> Vec<String> {
                let items = rule[key].as_array().into_iter().flatten();
                items.filter_map(|item| item.as_str().map(ToOwned::to_owned)).collect()
            };
            for group in list("apiGroups") {
                for resource in list("resources") {
                    all.extend(list("verbs").into_iter().map(|verb| Right {
                        group: group.clone(),
                        resource: resource.clone(),
                        verb,
                    }));
                }
            }
        }
    }
    Ok(all)
}
