//! What a clean-up needs to know, kept in an annotation of the RemoteMachine so that neither Secret nor Machine is
//! needed for it (6.1, section 12).

use bootstrap_data::{Command, NodeSetup};
use serde::{Deserialize, Serialize};

/// The value of annotation `k0smotron.io/clean-up`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CleanUpFacts {
    /// What the host is to k0s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The k0s program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k0s: Option<String>,
    /// Arguments that `k0s reset` needs to find everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reset_args: Vec<String>,
    /// Files that were brought.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// What a host is to k0s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It runs a control plane.
    Controller,
    /// It runs pods.
    Worker,
}

impl Role {
    /// The role that the kind of a Machine's bootstrap config gives.
    pub fn of_config(kind: &str) -> Option<Self> {
        match kind {
            "K0sControllerConfig" => Some(Self::Controller),
            "K0sWorkerConfig" => Some(Self::Worker),
            _ => None,
        }
    }

    /// The word in scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Worker => "worker",
        }
    }
}

/// Options of `k0s install` that `k0s reset` must be given too.
const KEPT_OPTIONS: [&str; 3] = ["--kubelet-root-dir", "--data-dir", "--cri-socket"];
/// Where k0s keeps its data.
const DATA_DIR: &str = "/var/lib/k0s";

impl CleanUpFacts {
    /// The facts of a setup; the Machine's bootstrap config tells the role, else the commands do.
    pub fn of(setup: &NodeSetup, config_role: Option<Role>) -> Self {
        let install = setup.commands.iter().find_map(install_words);
        let words = install.as_deref().unwrap_or_default();
        let role = words.get(2).and_then(|word| match word.as_str() {
            "controller" => Some(Role::Controller),
            "worker" => Some(Role::Worker),
            _ => None,
        });
        Self {
            role: config_role.or(role),
            k0s: words.first().filter(|path| path.starts_with('/')).cloned(),
            reset_args: reset_args(words),
            // What was appended to cannot be told apart from what was there: it stays.
            files: setup.files.iter().filter(|file| !file.append).map(|file| file.path.clone()).collect(),
        }
    }

    /// The facts of an annotation.
    pub fn read(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }

    /// The text of the annotation.
    pub fn text(&self) -> String {
        // Strings and lists only: there is nothing that JSON could not say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// k0s' data directory.
    pub fn data_dir(&self) -> &str {
        let at = self.reset_args.iter().position(|word| word == "--data-dir");
        at.and_then(|at| self.reset_args.get(at + 1)).map_or(DATA_DIR, String::as_str)
    }
}

/// The words of `k0s install ...`, if a command is or holds that: program first.
fn install_words(command: &Command) -> Option<Vec<String>> {
    let found = |words: &[String]| {
        let at = words.windows(2).position(|pair| {
            pair[1] == "install" && pair[0].rsplit('/').next().is_some_and(|name| name == "k0s")
        })?;
        Some(words[at..].to_vec())
    };
    match command {
        Command::Run(argv) => found(&argv.words),
        Command::Pipe(stages) => stages.iter().find_map(|argv| found(&argv.words)),
        // A line that a shell would expand is not ours; its facts stay unknown, and k0s is searched in PATH.
        Command::Script(text) => {
            text.lines().filter_map(|line| k0s::split_words(line.trim()).ok()).find_map(|words| found(&words))
        }
    }
}

/// Both forms of each kept option, as argument vector.
fn reset_args(words: &[String]) -> Vec<String> {
    let mut args = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        for option in KEPT_OPTIONS {
            let value = match word.strip_prefix(option) {
                Some("") => words.as_slice().first().cloned(),
                Some(rest) => rest.strip_prefix('=').map(ToOwned::to_owned),
                None => None,
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                args.extend([option.to_owned(), value]);
            }
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use bootstrap_data::{File, Permissions};

    use super::*;

    fn facts(command: Command) -> CleanUpFacts {
        CleanUpFacts::of(&NodeSetup { commands: vec![command], ..NodeSetup::default() }, None)
    }

    #[test]
    fn program_role_and_directories_come_from_the_install_command() {
        let facts = facts(Command::run([
            "/opt/k0s/k0s",
            "install",
            "worker",
            "--token-file",
            "/etc/k0s.token",
            "--data-dir=/d 1",
            "--kubelet-root-dir",
            "/k.l/'x'",
        ]));
        assert_eq!(facts.role, Some(Role::Worker));
        assert_eq!(facts.k0s.as_deref(), Some("/opt/k0s/k0s"));
        assert_eq!(facts.reset_args, ["--data-dir", "/d 1", "--kubelet-root-dir", "/k.l/'x'"]);
        assert_eq!(facts.data_dir(), "/d 1");
    }

    #[test]
    fn a_line_of_shell_is_read_as_words() {
        let facts = facts(Command::Script(
            "set -e\n/usr/local/bin/k0s install worker '--kubelet-root-dir=/a b'\n".into(),
        ));
        assert_eq!(facts.reset_args, ["--kubelet-root-dir", "/a b"]);
    }

    #[test]
    fn the_bootstrap_config_decides_the_role_and_appended_files_are_not_ours_to_remove() {
        let mut setup = NodeSetup::default();
        setup.files.push(File::new("/etc/k0s.token", Permissions::PRIVATE, b"x".to_vec()));
        setup
            .files
            .push(File { append: true, ..File::new("/etc/hosts", Permissions::PUBLIC, b"x".to_vec()) });
        let facts = CleanUpFacts::of(&setup, Role::of_config("K0sWorkerConfig"));
        assert_eq!(facts.role, Some(Role::Worker));
        assert_eq!(facts.files, ["/etc/k0s.token"]);
        assert_eq!(CleanUpFacts::read(&facts.text()), Some(facts));
    }
}
