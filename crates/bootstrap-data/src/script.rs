//! The bootstrap script: all commands in one file, run in one shell, in phases (section 10).

use pki::SecretBytes;

use crate::{Command, File, NodeSetup, Permissions, RenderFault, jinja, posix, quote_posix};

/// Tells Cluster API that the host is done; the last command of every setup. Fixed text: nothing is composed.
pub const SENTINEL: &str = "mkdir -p /run/cluster-api && touch /run/cluster-api/bootstrap-success.complete";

/// Where the script stands unless a working directory is given.
const DIR: &str = "/etc/k0s";
const NAME: &str = "k0smotron-bootstrap.sh";

/// What a command is for; printed where a host says how far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The user's, before anything of ours.
    Pre,
    /// Fetching the binary.
    Download,
    /// The leave unit of old versions.
    Unit,
    /// What workers behind an ingress need.
    Ingress,
    /// Making the service.
    Install,
    /// Starting it.
    Start,
    /// The user's, after that.
    Post,
    /// Saying that it is done.
    Sentinel,
}

impl Phase {
    /// One lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Download => "download",
            Self::Unit => "unit",
            Self::Ingress => "ingress",
            Self::Install => "install",
            Self::Start => "start",
            Self::Post => "post",
            Self::Sentinel => "sentinel",
        }
    }

    /// What k0s says when a run before this one had come as far: no failure of a later run.
    fn done_before(self) -> Option<&'static str> {
        match self {
            Self::Install => Some("already exists"),
            Self::Start => Some("already running"),
            _ => None,
        }
    }

    /// The user's commands may fail without ending the script.
    fn is_users(self) -> bool {
        matches!(self, Self::Pre | Self::Post)
    }
}

/// A command with its phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is for.
    pub phase: Phase,
    /// What is run.
    pub command: Command,
}

/// How the script is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptOptions<'a> {
    /// `workingDir`; unset: `/etc/k0s`.
    pub working_dir: Option<&'a str>,
    /// `failOnCommandError`: a failing command of the user ends the script.
    pub fail_on_command_error: bool,
}

/// The setup whose one command runs the script, which is its last file.
pub fn with_bootstrap_script(
    mut files: Vec<File>,
    steps: &[Step],
    options: ScriptOptions<'_>,
) -> Result<NodeSetup, RenderFault> {
    let dir = options.working_dir.filter(|dir| !dir.is_empty()).unwrap_or(DIR).trim_end_matches('/');
    let path = format!("{dir}/{NAME}");
    let text = script(steps, options.fail_on_command_error)?;
    files.push(File::new(path.clone(), Permissions::PRIVATE_PROGRAM, text));
    Ok(NodeSetup { files, commands: vec![Command::run(["/bin/sh", &path])], custom: None })
}

/// The user's commands keep `cd`, `export` and the like, since all run in this shell, each on lines of its own.
fn script(steps: &[Step], fail_on_command_error: bool) -> Result<SecretBytes, RenderFault> {
    let mut text = String::from(BEGINNING);
    text.push_str(if fail_on_command_error { USERS_END } else { USERS_WARN });
    let templated = steps.iter().any(|step| jinja::uses_instance_data(&posix::text(&step.command)));
    for (index, Step { phase, command }) in steps.iter().enumerate() {
        let mut command = posix::text(command);
        if command.contains('\0') {
            return Err(RenderFault::Nul { index });
        }
        if templated && jinja::has_delimiters(&command) && !jinja::uses_instance_data(&command) {
            command = jinja::raw_lines(&command).ok_or(RenderFault::Template { index })?;
        }
        let mut lines = vec![String::new(), format!("k0smotron_phase={}", phase.name())];
        match phase.done_before() {
            Some(words) => {
                lines.extend(["k0smotron_output=$( {".to_owned(), command, "} 2>&1 )".to_owned()]);
                lines.push(format!("k0smotron_unless_done_before $? {}", quote_posix(words)));
            }
            None if phase.is_users() => lines.extend([command, "k0smotron_users $?".to_owned()]),
            None => lines.extend([command, "k0smotron_ours $?".to_owned()]),
        }
        text.extend(lines.into_iter().flat_map(|line| [line, "\n".to_owned()]));
    }
    text.push_str(END);
    Ok(text.into())
}

const BEGINNING: &str = r#"#!/bin/sh
# Turns this host into a node. Safe to run again: a run that was complete is not repeated.
k0smotron_state=/var/lib/k0smotron
k0smotron_log=/var/log/k0smotron-bootstrap.log
[ -e "$k0smotron_state/bootstrap.done" ] && exit 0
mkdir -p "$k0smotron_state" "${k0smotron_log%/*}"
rm -f "$k0smotron_state/bootstrap.failed"
( umask 077; : >>"$k0smotron_log" )
exec 3>&2 >>"$k0smotron_log" 2>&1

k0smotron_phase=begin
k0smotron_failed() {
  k0smotron_code=$?
  # A command that ends this shell with 0 has still kept the others from running.
  [ "$k0smotron_code" -eq 0 ] && k0smotron_code=1
  echo "phase $k0smotron_phase failed with exit code $k0smotron_code"
  echo "$k0smotron_phase $k0smotron_code" >"$k0smotron_state/bootstrap.failed"
  tail -n 5 "$k0smotron_log" >&3
  trap - EXIT
  exit "$k0smotron_code"
}
trap k0smotron_failed EXIT

k0smotron_ours() {
  [ "$1" -eq 0 ] || exit "$1"
}
k0smotron_unless_done_before() {
  printf '%s\n' "$k0smotron_output"
  case "$k0smotron_output" in
    *"$2"*) return 0 ;;
  esac
  k0smotron_ours "$1"
}
"#;

const USERS_END: &str = "k0smotron_users() {
  k0smotron_ours \"$1\"
}
";

const USERS_WARN: &str = r#"k0smotron_users() {
  [ "$1" -eq 0 ] && return 0
  echo "a command of phase $k0smotron_phase failed with exit code $1; going on"
  echo "$k0smotron_phase $1" >>"$k0smotron_state/bootstrap.warnings"
}
"#;

const END: &str = r#"
trap - EXIT
: >"$k0smotron_state/bootstrap.done"
exit 0
"#;
