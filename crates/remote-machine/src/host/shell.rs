//! A shell on the host with the privileges that are wanted (5.2).
//!
//! The login shell of the user, whatever it is, sees one fixed line without anything of ours in it; script and data
//! follow on standard input. `dd` with blocks of one byte takes exactly the script's bytes and leaves the rest.

use std::time::Duration;

use super::script::Script;
use crate::failure::{Failure, Reason};
use crate::ssh::{Connection, Live, Output};

/// For the small scripts: they take milliseconds, and a host under load some seconds.
pub(super) const SHORT: Duration = Duration::from_mins(1);

/// A connection with the way to privileges.
pub(super) struct Shell<'a> {
    connection: &'a Connection,
    prefix: &'static str,
}

impl<'a> Shell<'a> {
    /// Finds the way: none is needed, `sudo` or `doas`.
    pub(super) async fn open(connection: &'a Connection, privileged: bool) -> Result<Self, Failure> {
        let plain = Shell { connection, prefix: "" };
        if !privileged {
            return Ok(plain);
        }
        let mut said = Vec::new();
        for prefix in ["", "sudo -n ", "doas -n "] {
            let tried = Shell { connection, prefix };
            let output = tried.run(&Script::verbatim("[ \"$(id -u)\" = 0 ]"), &[], SHORT).await?;
            if output.code == Some(0) {
                return Ok(tried);
            }
            if let Some(line) = output.err.lines().last().filter(|_| !prefix.is_empty()) {
                said.push(format!("{}: {line}", prefix.trim_end()));
            }
        }
        Err(Failure::new(
            Reason::PrivilegeDenied,
            format!(
                "spec.useSudo is set, but the user is not root and neither \"sudo -n\" nor \"doas -n\" works without a password ({})",
                super::redact(&said.join("; "), &[])
            ),
        ))
    }

    /// Runs a script; its standard input is `data`.
    pub(super) async fn run(&self, script: &Script, data: &[u8], limit: Duration) -> Result<Output, Failure> {
        let mut input = script.text().as_bytes().to_vec();
        input.extend_from_slice(data);
        self.connection.run(&self.line(script), &input, limit).await
    }

    /// Starts a script whose standard input stays open.
    pub(super) async fn start(&self, script: &Script) -> Result<Live, Failure> {
        self.connection.start(&self.line(script), script.text().as_bytes()).await
    }

    /// Runs one of our scripts that says `ok`, or `failed` and why.
    pub(super) async fn order(
        &self,
        script: &Script,
        data: &[u8],
        limit: Duration,
        reason: Reason,
        doing: &str,
    ) -> Result<String, Failure> {
        let output = self.run(script, data, limit).await?;
        if let Some(ok) = output.out.lines().rev().find(|line| *line == "ok" || line.starts_with("ok ")) {
            return Ok(ok.trim_start_matches("ok").trim().to_owned());
        }
        let why = output.out.lines().find_map(|line| line.strip_prefix("failed "));
        let why = why.or_else(|| output.err.lines().last()).unwrap_or("it said nothing");
        Err(Failure::new(reason, format!("{doing}: {}", super::redact(why, &[]))))
    }

    fn line(&self, script: &Script) -> String {
        format!("{}sh -c 'eval \"$(dd bs=1 count={} 2>/dev/null)\"'", self.prefix, script.text().len())
    }
}
