//! The flags of a control plane in a pod (hosted.md 6.3).

use crate::{Flag, WordsFault, flags, is_workerish, names, split_words};

const DISABLE: &str = "--disable-components";
const DYNAMIC: &str = "--enable-dynamic-config";

/// Why the flags of a user cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagFault {
    /// One item is no list of words.
    #[error("controlPlaneFlags[{index}] {item:?}: {why}")]
    Words {
        /// Place in the list.
        index: usize,
        /// What stands there.
        item: String,
        /// What is wrong with it.
        why: WordsFault,
    },
    /// A pod cannot be a node.
    #[error("controlPlaneFlags: {flag} makes the control plane a node, which a pod cannot be; remove it")]
    Worker {
        /// The flag.
        flag: String,
    },
}

/// The arguments of `k0s controller`: the user's, then ours unless given in either form. `disable` are components
/// that we switch off ourselves; they join the user's own list.
pub fn controller_flags<S: AsRef<str>>(items: &[S], disable: &[&str]) -> Result<Vec<String>, FlagFault> {
    let mut arguments = Vec::new();
    for (index, item) in items.iter().map(AsRef::as_ref).enumerate() {
        let words = split_words(item);
        arguments.extend(words.map_err(|why| FlagFault::Words { index, item: item.to_owned(), why })?);
    }
    if is_workerish(&arguments) {
        let given = flags(&arguments)
            .into_iter()
            .find(|flag| (flag.name == "--enable-worker" || flag.name == "--single") && flag.is_true());
        return Err(FlagFault::Worker { flag: given.map_or("--enable-worker", |flag| flag.name).to_owned() });
    }
    let given = |names: &[&str]| flags(&arguments).iter().any(|flag| names.contains(&flag.name));
    let config = (!given(&["--config", "-c"])).then(|| format!("--config={}", names::CONFIG_PATH));
    let dynamic = (!given(&[DYNAMIC])).then(|| DYNAMIC.to_owned());
    disable_components(&mut arguments, disable);
    arguments.extend(config);
    arguments.extend(dynamic);
    Ok(arguments)
}

/// Whether the child's own ClusterConfig counts (hosted.md 5.2).
pub fn dynamic_config_enabled<S: AsRef<str>>(arguments: &[S]) -> bool {
    flags(arguments).iter().rfind(|flag| flag.name == DYNAMIC).is_some_and(Flag::is_true)
}

/// Adds to the user's last list, or begins one.
fn disable_components(arguments: &mut Vec<String>, wanted: &[&str]) {
    let listed: Vec<String> = flags(arguments)
        .iter()
        .filter(|flag| flag.name == DISABLE)
        .flat_map(|flag| flag.value.unwrap_or_default().split(','))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> =
        wanted.iter().copied().filter(|name| !listed.iter().any(|listed| listed == name)).collect();
    if missing.is_empty() {
        return;
    }
    let missing = missing.join(",");
    let joined = format!("{DISABLE}=");
    if let Some(own) = arguments.iter_mut().rfind(|argument| argument.starts_with(&joined)) {
        own.push(',');
        own.push_str(&missing);
    } else {
        // The two-argument form needs no merging: k0s adds repeated lists up.
        arguments.push(joined + &missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(items: &[&str], disable: &[&str]) -> Vec<String> {
        controller_flags(items, disable).unwrap()
    }

    #[test]
    fn ours_follow_the_users_unless_given_in_either_form() {
        assert_eq!(ok(&[], &[]), ["--config=/etc/k0s/k0s.yaml", "--enable-dynamic-config"]);
        assert_eq!(
            ok(&["--debug --config /x", "--enable-dynamic-config=false"], &[]),
            ["--debug", "--config", "/x", "--enable-dynamic-config=false"]
        );
        assert_eq!(ok(&["-c=/x"], &[]), ["-c=/x", "--enable-dynamic-config"]);
    }

    #[test]
    fn components_join_the_users_list_once() {
        let ours = ["endpoint-reconciler"];
        let first = |items: &[&str]| ok(items, &ours)[0].clone();
        assert_eq!(first(&[]), "--disable-components=endpoint-reconciler");
        assert_eq!(
            first(&["--disable-components=coredns"]),
            "--disable-components=coredns,endpoint-reconciler"
        );
        assert_eq!(
            first(&["--disable-components=endpoint-reconciler,coredns"]),
            "--disable-components=endpoint-reconciler,coredns"
        );
        assert!(
            ok(&["--disable-components coredns"], &ours)
                .contains(&"--disable-components=endpoint-reconciler".to_owned())
        );
    }

    #[test]
    fn a_node_in_a_pod_and_shell_text_are_refused_by_place() {
        let refusal = controller_flags(&["--debug", "--enable-worker"], &[]).unwrap_err();
        assert_eq!(refusal, FlagFault::Worker { flag: "--enable-worker".into() });
        let refusal = controller_flags(&["--debug", "--labels=$(id)"], &[]).unwrap_err();
        assert!(
            refusal.to_string().starts_with("controlPlaneFlags[1] \"--labels=$(id)\": unquoted '$'"),
            "{refusal}"
        );
        assert!(controller_flags(&["--enable-worker=false"], &[]).is_ok());
    }

    #[test]
    fn dynamic_configuration_follows_the_last_flag() {
        assert!(dynamic_config_enabled(&["--enable-dynamic-config"]));
        assert!(!dynamic_config_enabled(&["--enable-dynamic-config=false"]));
        assert!(!dynamic_config_enabled::<&str>(&[]));
    }
}
