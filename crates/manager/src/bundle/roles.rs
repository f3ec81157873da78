//! Rights: one table per bundle, a right only where a code path uses it (packaging-and-api 5, H-59).
//! No `pods/exec`, no wildcard verb, no Secret in the roles for people.

use serde_json::{Value, json};

use super::{Bundle, NAMESPACE};

const READ: &[&str] = &["get", "list", "watch"];
const GET: &[&str] = &["get"];
const LIST: &[&str] = &["list"];
const PATCH: &[&str] = &["patch"];
const UPDATE: &[&str] = &["update"];
/// Most kinds are read from a watched cache only.
const WATCH: &[&str] = &["list", "watch"];
const WATCH_PATCH: &[&str] = &["list", "watch", "patch"];
/// What we make, keep and remove. Our writes are server-side applies (patch) and creations, never updates.
const OWN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
const CREATE: &[&str] = &["create"];
const TELL: &[&str] = &["create", "patch"];

type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Rights that every manager needs.
const COMMON: &[Rule] = &[
    ("events.k8s.io", &["events"], TELL),
    ("apiextensions.k8s.io", &["customresourcedefinitions"], WATCH),
    // The diagnostics server asks whose token it is and what its owner may read.
    ("authentication.k8s.io", &["tokenreviews"], CREATE),
    ("authorization.k8s.io", &["subjectaccessreviews"], CREATE),
];

const BOOTSTRAP: &[Rule] = &[
    ("", &["secrets"], &["get", "list", "watch", "create", "patch"]),
    ("", &["configmaps"], GET),
    // The way to a hosted control plane is its Service (H-22).
    ("", &["services"], LIST),
    ("cluster.x-k8s.io", &["clusters", "machines", "machinepools"], WATCH),
    // The condition NodeLinked.
    ("cluster.x-k8s.io", &["machines/status"], PATCH),
    ("bootstrap.cluster.x-k8s.io", &["k0sworkerconfigs"], WATCH),
    ("bootstrap.cluster.x-k8s.io", &["k0sworkerconfigs/status"], PATCH),
];

const STANDALONE: &[Rule] = &[
    // ConfigMaps are never deleted; but who puts back an owner may have to be allowed to.
    ("", &["secrets", "configmaps", "services"], OWN),
    ("", &["persistentvolumeclaims"], &["list", "watch", "patch", "delete"]),
    ("", &["nodes"], WATCH),
    ("", &["pods"], &["list", "watch", "delete"]),
    ("apps", &["statefulsets"], OWN),
    ("k0smotron.io", &["clusters"], &["get", "list", "watch", "patch"]),
    ("k0smotron.io", &["jointokenrequests"], &["list", "watch", "patch", "delete"]),
    ("k0smotron.io", &["clusters/status", "jointokenrequests/status"], PATCH),
    // Their objects block their deletion, which an API server may allow only to who could hold them, too.
    ("k0smotron.io", &["clusters/finalizers"], UPDATE),
];

const CONTROL_PLANE: &[Rule] = &[
    ("cluster.x-k8s.io", &["clusters"], WATCH_PATCH),
    ("cluster.x-k8s.io", &["machines", "machinepools"], WATCH),
    ("controlplane.cluster.x-k8s.io", &["k0smotroncontrolplanes"], WATCH_PATCH),
    ("controlplane.cluster.x-k8s.io", &["k0smotroncontrolplanes/status"], PATCH),
    // Its hosted cluster.
    ("k0smotron.io", &["clusters"], &["create", "delete"]),
    // The endpoint goes to the infrastructure object of any provider.
    ("infrastructure.cluster.x-k8s.io", &["*"], WATCH_PATCH),
];

const INFRASTRUCTURE: &[Rule] = &[
    ("", &["secrets"], READ),
    ("", &["services"], LIST),
    ("cluster.x-k8s.io", &["clusters"], WATCH),
    // Labels of a host are copied to its Machine.
    ("cluster.x-k8s.io", &["machines"], WATCH_PATCH),
    ("cluster.x-k8s.io", &["machines/status"], PATCH),
    ("infrastructure.cluster.x-k8s.io", &["remotemachines"], WATCH_PATCH),
    ("infrastructure.cluster.x-k8s.io", &["remoteclusters"], WATCH),
    ("infrastructure.cluster.x-k8s.io", &["remotemachines/status", "remoteclusters/status"], PATCH),
];

/// The rights of a bundle's manager.
pub(super) fn rules(bundle: Bundle) -> Vec<Rule> {
    let own: &[&[Rule]] = match bundle {
        Bundle::Bootstrap => &[BOOTSTRAP],
        Bundle::ControlPlane => &[STANDALONE, CONTROL_PLANE],
        Bundle::Infrastructure => &[INFRASTRUCTURE],
        Bundle::Standalone => &[STANDALONE],
    };
    [&[COMMON], own].concat().concat()
}

/// ServiceAccount, roles and bindings.
pub(super) fn objects(bundle: Bundle) -> Vec<Value> {
    let suffix = bundle.suffix();
    let account = format!("k0smotron-controller-manager{suffix}");
    let manager = format!("k0smotron-manager-role{suffix}");
    let leader = format!("k0smotron-leader-election-role{suffix}");
    let subjects = json!([{ "kind": "ServiceAccount", "name": account, "namespace": NAMESPACE }]);
    let mut all = vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account, "namespace": NAMESPACE } }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": { "name": leader, "namespace": NAMESPACE },
            "rules": [
                rule(&("coordination.k8s.io", &["leases"], &["get", "list", "watch", "create", "update"])),
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": format!("k0smotron-leader-election-rolebinding{suffix}"), "namespace": NAMESPACE },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": leader },
            "subjects": subjects,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": manager },
            "rules": rules(bundle).iter().map(rule).collect::<Vec<_>>(),
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("k0smotron-manager-rolebinding{suffix}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": manager },
            "subjects": subjects,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": format!("k0smotron-metrics-reader{suffix}") },
            "rules": [{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }],
        }),
    ];
    if bundle == Bundle::ControlPlane || bundle == Bundle::Standalone {
        all.extend(for_people());
    }
    all
}

/// Roles that aggregate to `view`, `edit` and `admin`.
fn for_people() -> Vec<Value> {
    const GROUPS: [&str; 4] = [
        "k0smotron.io",
        "bootstrap.cluster.x-k8s.io",
        "controlplane.cluster.x-k8s.io",
        "infrastructure.cluster.x-k8s.io",
    ];
    let write = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    [("view", READ), ("edit", &write[..]), ("admin", &write[..])]
        .into_iter()
        .map(|(name, verbs)| {
            let kinds = api::kinds::KINDS;
            let rules: Vec<Value> = GROUPS
                .iter()
                .map(|group| {
                    let plurals: Vec<_> =
                        kinds.iter().filter(|kind| kind.group == *group).map(|kind| kind.plural).collect();
                    json!({ "apiGroups": [group], "resources": plurals, "verbs": verbs })
                })
                .collect();
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {
                    "name": format!("k0smotron-{name}"),
                    "labels": { (format!("rbac.authorization.k8s.io/aggregate-to-{name}")): "true" },
                },
                "rules": rules,
            })
        })
        .collect()
}

fn rule((group, resources, verbs): &Rule) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h_59_no_bundle_may_exec_into_pods_or_has_a_wildcard_verb() {
        for bundle in Bundle::ALL {
            for (_, resources, verbs) in rules(bundle) {
                assert!(!resources.iter().any(|resource| resource.starts_with("pods/")), "{bundle:?}");
                assert!(!verbs.contains(&"*"), "{bundle:?}");
            }
        }
    }
}
