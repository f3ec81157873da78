//! Command lines that install and start k0s on a host (control-plane chapter 6.3, 6.4, 7).

use crate::{is_workerish, names};

const KUBELET: &str = "--kubelet-extra-args";

/// Starts the service of a worker under whatever service manager there is. Fixed text: nothing is composed.
pub const START_WORKER: &str = "(command -v systemctl > /dev/null 2>&1 && systemctl start k0sworker) || \
(command -v rc-service > /dev/null 2>&1 && rc-service k0sworker start) || \
(command -v service > /dev/null 2>&1 && service k0sworker start) || \
(echo \"unsupported init system: none of systemctl, rc-service, service found\"; exit 1)";

/// What the arguments of both roles are made of.
#[derive(Clone, Copy, Debug)]
pub struct NodeArgs<'a> {
    /// Name of the Machine; becomes a label and, unless the host's own name is wanted, the node's name. `None` for
    /// hosts of a MachinePool.
    pub machine: Option<&'a str>,
    /// The node keeps the name of its host.
    pub use_system_hostname: bool,
    /// The user's own, verbatim.
    pub user: &'a [String],
}

/// `k0s install worker`, one word per item; no word is quoted here.
pub fn install_worker(install_dir: &str, token_path: &str, args: &NodeArgs<'_>) -> Vec<String> {
    let mut words = vec![names::binary(install_dir)];
    words.extend(["install", "worker", "--token-file", token_path].map(str::to_owned));
    words.extend(node_words(args, args.user, true));
    words
}

/// `k0s install controller`. `config_path` is the file that we render, if we do; `token_path` is given to those who
/// join and to nobody else (K0S-12).
pub fn install_controller(
    install_dir: &str,
    config_path: Option<&str>,
    token_path: Option<&str>,
    control_node: &str,
    args: &NodeArgs<'_>,
) -> Vec<String> {
    let mut words = vec![names::binary(install_dir)];
    let fixed = ["install", "controller", "--force", "--enable-dynamic-config", "--env"];
    words.extend(fixed.map(str::to_owned));
    words.push(format!("AUTOPILOT_HOSTNAME={control_node}"));
    let mut given = args.user.to_vec();
    let has_config = given.iter().any(|word| {
        ["--config", "-c"].contains(&word.as_str())
            || word.starts_with("--config=")
            || word.starts_with("-c=")
    });
    if let Some(path) = config_path.filter(|_| !has_config) {
        given.extend(["--config".to_owned(), path.to_owned()]);
    }
    words.extend(node_words(args, &given, is_workerish(args.user)));
    if let Some(path) = token_path {
        words.extend(["--token-file".to_owned(), path.to_owned()]);
    }
    words
}

/// Label first, then the user's words in order, then one `--kubelet-extra-args` with everybody's values.
fn node_words(args: &NodeArgs<'_>, given: &[String], node: bool) -> Vec<String> {
    let machine = args.machine.filter(|_| node);
    let mut words: Vec<String> =
        machine.iter().map(|name| format!("--labels=k0smotron.io/machine-name={name}")).collect();
    let mut kubelet: Vec<String> = machine
        .filter(|_| !args.use_system_hostname)
        .iter()
        .map(|name| format!("--hostname-override={name}"))
        .collect();
    let mut given = given.iter();
    while let Some(word) = given.next() {
        let value = if word == KUBELET {
            given.next().map(String::as_str)
        } else {
            word.strip_prefix(KUBELET).and_then(|rest| rest.strip_prefix('='))
        };
        match value {
            Some(value) => kubelet.extend(Some(unquoted(value).to_owned()).filter(|text| !text.is_empty())),
            None if word == KUBELET => {}
            None => words.push(word.clone()),
        }
    }
    if !kubelet.is_empty() {
        words.push(format!("{KUBELET}={}", kubelet.join(" ")));
    }
    words
}

/// Users wrote quotes around the value while a shell still read it; one pair of them goes.
fn unquoted(value: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn controller(dir: &str, config: Option<&str>, token: Option<&str>, user: &[&str]) -> String {
        let user = words(user);
        let args = NodeArgs { machine: Some("m1"), use_system_hostname: false, user: &user };
        install_controller(dir, config, token, "m1", &args).join(" ")
    }

    fn worker(use_system_hostname: bool, user: &[&str]) -> Vec<String> {
        let user = words(user);
        let args = NodeArgs { machine: Some("m1"), use_system_hostname, user: &user };
        install_worker("/usr/local/bin", "/etc/k0s.token", &args)
    }

    #[test]
    fn g1_to_g3_and_g7_controllers() {
        let start = "install controller --force --enable-dynamic-config --env AUTOPILOT_HOSTNAME=m1";
        assert_eq!(controller("", None, None, &[]), format!("k0s {start}"));
        let label = "--labels=k0smotron.io/machine-name=m1";
        let name = "--kubelet-extra-args=--hostname-override=m1";
        let g2 = ["--enable-worker", "--labels=a=b"];
        assert_eq!(
            controller("/usr/local/bin", Some("/etc/k0s.yaml"), None, &g2),
            format!(
                "/usr/local/bin/k0s {start} {label} --enable-worker --labels=a=b --config /etc/k0s.yaml {name}"
            )
        );
        assert_eq!(
            controller("/usr/local/bin", Some("/opt/k/k0s.yaml"), Some("/opt/k/k0s.token"), &g2),
            format!(
                "/usr/local/bin/k0s {start} {label} --enable-worker --labels=a=b --config /opt/k/k0s.yaml {name} \
                 --token-file /opt/k/k0s.token"
            )
        );
        assert_eq!(
            controller("/usr/local/bin", Some("/etc/k0s.yaml"), None, &["--single"]),
            format!("/usr/local/bin/k0s {start} {label} --single --config /etc/k0s.yaml {name}")
        );
        assert!(!controller("", Some("/etc/k0s.yaml"), None, &["--config=/my"]).contains("/etc/k0s.yaml"));
    }

    #[test]
    fn g4_to_g6_and_g8_workers() {
        let start = words(&["/usr/local/bin/k0s", "install", "worker", "--token-file", "/etc/k0s.token"]);
        let with = |more: &[&str]| [start.clone(), words(more)].concat();
        let label = "--labels=k0smotron.io/machine-name=m1";
        let given = ["--debug", "--kubelet-extra-args=\"--v=2\""];
        let g4 = with(&[label, "--debug", "--kubelet-extra-args=--hostname-override=m1 --v=2"]);
        assert_eq!(worker(false, &given), g4);
        assert_eq!(worker(false, &["--debug", "--kubelet-extra-args", "--v=2"]), g4);
        assert_eq!(worker(true, &given), with(&[label, "--debug", "--kubelet-extra-args=--v=2"]));
        assert_eq!(worker(true, &[]), with(&[label]));
        assert_eq!(
            worker(false, &["--taints=a=b c:NoSchedule"]),
            with(&[label, "--taints=a=b c:NoSchedule", "--kubelet-extra-args=--hostname-override=m1"])
        );
    }

    #[test]
    fn hosts_of_a_pool_keep_their_names() {
        let args = NodeArgs { machine: None, use_system_hostname: true, user: &[] };
        assert_eq!(install_worker("", "/t", &args).join(" "), "k0s install worker --token-file /t");
    }
}
