//! Which version may follow which (hosted.md 8.2; k0s.md 1.2, skew).

use crate::Version;

/// A kubelet may be this many minors older than the API.
const KUBELET_SKEW: u32 = 3;

/// A node that must still be served after an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubelet {
    /// Name of the node.
    pub node: String,
    /// `kubeletVersion` as it reports it.
    pub version: Version,
}

/// What the decision rests upon.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeFacts<'a> {
    /// Versions of the pods that run, or the one in the status while none does; empty for a new cluster.
    pub running: &'a [Version],
    /// Of those, the minors that had a Ready pod: their data may be in storage, so there is no way back from them.
    pub served: &'a [Version],
    /// Where the user wants to go.
    pub target: &'a Version,
    /// Value of `k0smotron.io/allow-downgrade`, if it can be read.
    pub allow_downgrade: Option<&'a Version>,
    /// The nodes of the child; empty when it cannot be reached (the upgrade may be the repair).
    pub kubelets: &'a [Kubelet],
}

/// Why an upgrade does not begin: condition reason `UpgradeBlocked`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeBlocked {
    /// More than one minor, or another major.
    #[error("version skip: from {from} to {to} is more than one minor; go one minor at a time")]
    VersionSkip {
        /// What runs.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// Back by a minor that has served.
    #[error(
        "downgrade from {from} to {to} is not supported by Kubernetes; to do it all the same, annotate k0smotron.io/allow-downgrade: {to}"
    )]
    Downgrade {
        /// What runs.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// Nodes that the new API would not serve.
    #[error("kubelets more than {KUBELET_SKEW} minors below {to}: {}; update these nodes first", .nodes.join(", "))]
    OldKubelets {
        /// What is wanted.
        to: Version,
        /// Their names with their versions.
        nodes: Vec<String>,
    },
}

/// Whether the target may be rolled out. The rules, in order:
///
/// 1. nothing runs: anything may begin;
/// 2. another major, or more than one minor from any running pod, either way: version skip;
/// 3. a minor below one that has served: downgrade, unless allowed for exactly this target;
/// 4. a minor above a running one, while nodes are too old for it: held;
/// 5. all else (patches and `k0s.N` either way, one minor up, back before the new minor has served): allowed.
pub fn judge_upgrade(facts: &UpgradeFacts<'_>) -> Result<(), UpgradeBlocked> {
    let UpgradeFacts { running, served, target, allow_downgrade, kubelets } = *facts;
    let far = |from: &&Version| from.major() != target.major() || from.minor().abs_diff(target.minor()) > 1;
    if let Some(from) = running.iter().find(far) {
        return Err(UpgradeBlocked::VersionSkip { from: from.clone(), to: target.clone() });
    }
    let minor = |version: &Version| (version.major(), version.minor());
    let allowed = allow_downgrade.is_some_and(|version| version.completed() == target.completed());
    let above = served.iter().filter(|version| minor(version) > minor(target)).max();
    if let Some(from) = above.filter(|_| !allowed) {
        return Err(UpgradeBlocked::Downgrade { from: from.clone(), to: target.clone() });
    }
    let rises = running.iter().any(|version| minor(version) < minor(target));
    let old: Vec<_> = kubelets
        .iter()
        .filter(|kubelet| kubelet.version.minor() + KUBELET_SKEW < target.minor())
        .map(|kubelet| format!("{} ({})", kubelet.node, kubelet.version))
        .collect();
    if rises && !old.is_empty() {
        return Err(UpgradeBlocked::OldKubelets { to: target.clone(), nodes: old });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn judge(
        running: &[&str],
        served: &[&str],
        target: &str,
        allow: Option<&str>,
    ) -> Result<(), UpgradeBlocked> {
        let parse = |texts: &[&str]| texts.iter().map(|text| version(text)).collect::<Vec<_>>();
        judge_upgrade(&UpgradeFacts {
            running: &parse(running),
            served: &parse(served),
            target: &version(target),
            allow_downgrade: allow.map(version).as_ref(),
            kubelets: &[],
        })
    }

    #[test]
    fn patches_builds_and_one_minor_up_are_allowed() {
        let now = ["v1.35.4+k0s.0"];
        for target in ["v1.35.4+k0s.1", "v1.35.9+k0s.0", "v1.35.1+k0s.0", "v1.36.1+k0s.0", "v1.35.4"] {
            assert_eq!(judge(&now, &now, target, None), Ok(()), "{target}");
        }
        assert_eq!(judge(&[], &[], "v1.31.6", None), Ok(()));
    }

    #[test]
    fn more_than_one_minor_is_a_skip_also_during_a_rollout() {
        let now = ["v1.35.4+k0s.0"];
        for target in ["v1.37.0+k0s.0", "v1.33.0+k0s.0", "v2.0.0"] {
            assert!(
                matches!(judge(&now, &now, target, None), Err(UpgradeBlocked::VersionSkip { .. })),
                "{target}"
            );
        }
        let both = ["v1.36.1+k0s.0", "v1.35.4+k0s.0"];
        assert!(matches!(judge(&both, &both, "v1.37.0", None), Err(UpgradeBlocked::VersionSkip { .. })));
    }

    /// H-27: back is possible until the new minor has served.
    #[test]
    fn h27_back_is_possible_until_the_new_minor_has_served() {
        let running = ["v1.36.1+k0s.0", "v1.35.4+k0s.0"];
        assert_eq!(judge(&running, &["v1.35.4+k0s.0"], "v1.35.4+k0s.0", None), Ok(()));
        let refusal = judge(&running, &running, "v1.35.4+k0s.0", None).unwrap_err();
        assert!(refusal.to_string().contains("k0smotron.io/allow-downgrade: v1.35.4+k0s.0"), "{refusal}");
        assert_eq!(judge(&running, &running, "v1.35.4+k0s.0", Some("v1.35.4-k0s.0")), Ok(()));
        assert!(judge(&running, &running, "v1.35.4+k0s.0", Some("v1.35.3")).is_err());
    }

    #[test]
    fn old_kubelets_hold_a_minor_upgrade_and_nothing_else() {
        let kubelets = [
            Kubelet { node: "old".into(), version: version("v1.32.9+k0s") },
            Kubelet { node: "new".into(), version: version("v1.33.1+k0s") },
        ];
        let running = [version("v1.35.4+k0s.0")];
        let judge = |target: &str| {
            judge_upgrade(&UpgradeFacts {
                running: &running,
                served: &running,
                target: &version(target),
                allow_downgrade: None,
                kubelets: &kubelets,
            })
        };
        let refusal = judge("v1.36.1+k0s.0").unwrap_err();
        assert!(
            matches!(&refusal, UpgradeBlocked::OldKubelets { nodes, .. } if nodes.len() == 1),
            "{refusal}"
        );
        assert!(refusal.to_string().contains("old (v1.32.9+k0s.0)"), "{refusal}");
        assert_eq!(judge("v1.35.5+k0s.0"), Ok(()));
    }
}
