//! Giving a host back as it was (6): stop, reset, remove what we brought, prove it.

use std::time::Duration;

use cluster_api::names::BOOTSTRAP_SENTINEL;

use super::lock::{self, Asked};
use super::provision::Access;
use super::redact;
use super::script::{CLEAN, PROVE, STOP, SWEEP, Script, quote};
use super::shell::{SHORT, Shell};
use crate::facts::CleanUpFacts;
use crate::failure::{Failure, Reason};
use crate::ssh::Connection;

/// A clean-up to be done.
#[derive(Clone, Debug)]
pub struct CleanUp {
    /// The uid of the RemoteMachine.
    pub owner: String,
    /// Where the state of runs is kept.
    pub working_dir: String,
    /// What is known of the bootstrap.
    pub facts: CleanUpFacts,
    /// The user's own commands instead of the built-in clean-up.
    pub commands: Option<Vec<String>>,
    /// Leave the etcd cluster first.
    pub leave_etcd: bool,
    /// For all of it.
    pub limit: Duration,
}

/// The same without what only the whole needs.
#[derive(Clone, Copy, Debug)]
pub struct Undo<'a> {
    /// The uid of the RemoteMachine.
    pub owner: &'a str,
    /// Where the state of runs is kept.
    pub working_dir: &'a str,
    /// For one step.
    pub limit: Duration,
}

/// Does it. The result holds remarks about what did not work but does not matter.
pub async fn clean_up(access: &Access, job: &CleanUp) -> Result<Vec<String>, Failure> {
    let whole = async {
        let connection = Connection::open(&access.target, &access.trust, &access.key).await?;
        let shell = Shell::open(&connection, access.privileged).await?;
        let undo = Undo { owner: &job.owner, working_dir: &job.working_dir, limit: job.limit };
        stop(&shell, &undo).await?;
        let asked = lock::ask(&shell, &undo.variables(&[]), &job.owner).await?;
        let result = match &job.commands {
            Some(commands) => custom(&shell, &undo, commands).await,
            None => built_in(&shell, &undo, &job.facts, job.leave_etcd).await,
        };
        if let Asked::Locked(lock) = asked {
            lock.release().await;
        }
        let remarks = result?;
        connection.close().await;
        Ok(remarks)
    };
    match tokio::time::timeout(job.limit, whole).await {
        Ok(done) => done,
        Err(_) => Err(Failure::new(
            Reason::Timeout,
            format!("the clean-up took longer than {} s (spec.timeouts.cleanUpSeconds)", job.limit.as_secs()),
        )),
    }
}

/// The built-in clean-up (6.1).
pub(super) async fn built_in(
    shell: &Shell<'_>,
    undo: &Undo<'_>,
    facts: &CleanUpFacts,
    leave_etcd: bool,
) -> Result<Vec<String>, Failure> {
    let role = facts.role.map_or("none", crate::facts::Role::word);
    let reset: Vec<String> = facts.reset_args.iter().map(|word| quote(word)).collect();
    let reset = reset.join(" ");
    let variables = [
        ("ROLE", role),
        ("K0S", facts.k0s.as_deref().unwrap_or_default()),
        ("LEAVE", if leave_etcd { "yes" } else { "no" }),
        ("RESET_ARGS", reset.as_str()),
        ("DATA_DIR", facts.data_dir()),
    ];
    let script = undo.script(&variables, CLEAN);
    let output = shell.run(&script, &[], undo.limit).await?;
    let remarks: Vec<String> = output
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("remark "))
        .map(|line| redact(line, &[]))
        .collect();
    if !output.out.lines().any(|line| line == "ok") {
        let why = output.out.lines().find_map(|line| line.strip_prefix("failed "));
        let why = why.or_else(|| output.err.lines().last()).unwrap_or("it said nothing");
        return Err(Failure::new(Reason::CleanUpFailed, redact(why, &[])));
    }
    let files = facts.files.join("\n") + "\n";
    sweep(shell, undo, &variables, &files).await?;
    let output = shell.run(&undo.script(&variables, PROVE), &[], SHORT).await?;
    let left: Vec<&str> = output.out.lines().filter_map(|line| line.strip_prefix("left ")).collect();
    if !output.out.lines().any(|line| line == "end") {
        return Err(Failure::new(Reason::CleanUpFailed, "the host did not answer whether it is clean"));
    }
    if left.is_empty() {
        Ok(remarks)
    } else {
        Err(Failure::new(Reason::CleanUpFailed, format!("still on the host: {}", left.join(", "))))
    }
}

/// The user's own commands (6.2): all are run, failures collected.
async fn custom(shell: &Shell<'_>, undo: &Undo<'_>, commands: &[String]) -> Result<Vec<String>, Failure> {
    let mut failures = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        let output = shell.run(&Script::verbatim(command), &[], undo.limit).await?;
        if output.code != Some(0) {
            let last = output.err.lines().chain(output.out.lines()).next_back().unwrap_or_default();
            let code = output.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
            failures.push(format!("spec.cleanUpCommands[{index}] ended with {code} ({})", redact(last, &[])));
        }
    }
    sweep(shell, undo, &[], "").await?;
    if failures.is_empty() {
        Ok(Vec::new())
    } else {
        Err(Failure::new(Reason::CleanUpFailed, failures.join("; ")))
    }
}

async fn sweep(
    shell: &Shell<'_>,
    undo: &Undo<'_>,
    variables: &[(&str, &str)],
    files: &str,
) -> Result<(), Failure> {
    let script = undo.script(variables, SWEEP);
    shell.order(&script, files.as_bytes(), SHORT, Reason::CleanUpFailed, "removing our files").await?;
    Ok(())
}

async fn stop(shell: &Shell<'_>, undo: &Undo<'_>) -> Result<(), Failure> {
    shell
        .order(&undo.script(&[], STOP), &[], SHORT, Reason::CleanUpFailed, "stopping the bootstrap commands")
        .await?;
    Ok(())
}

impl Undo<'_> {
    fn variables<'b>(&'b self, more: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let mut all = vec![
            ("W", self.working_dir),
            // A clean-up is about all runs of the machine; this is the name of none.
            ("RUN", "none"),
            ("OWNER", self.owner),
            ("SENTINEL", BOOTSTRAP_SENTINEL),
        ];
        all.extend_from_slice(more);
        all
    }

    fn script(&self, more: &[(&str, &str)], body: &str) -> Script {
        Script::new(&self.variables(more), body)
    }
}
