//! The run of the bootstrap commands on a host (5.4): probe, lock, files, commands, sentinel.
//!
//! A failure of any kind ends the attempt. The next attempt finds on the host what was done and goes on there; a run
//! that has been started goes on without us.

use std::time::Duration;

use bootstrap_data::File;
use cluster_api::names::BOOTSTRAP_SENTINEL;
use sha2::{Digest as _, Sha256};

use super::clean_up::{self, Undo};
use super::inspection::{HostFacts, Inspection, Verdict, judge};
use super::lock::{self, Asked};
use super::redact;
use super::script::{BEGIN, FINISH, FOLLOW, INSPECT, RUNNER, START, STOP, Script, TAIL, UPLOAD};
use super::shell::{SHORT, Shell};
use crate::data::Payload;
use crate::failure::{Failure, Reason};
use crate::ssh::{Connection, Target, Trust, UserKey};

/// A file of the largest Secret, over a slow line.
const UPLOAD_LIMIT: Duration = Duration::from_mins(5);
/// The runner tells every five seconds or so where it is; a host under load gets more.
const SILENCE: Duration = Duration::from_mins(1);
/// Name of the script of `commandsAsScript`, in the working directory (1.5).
const SCRIPT_NAME: &str = "k0s_install.sh";

/// How a host is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where and as whom.
    pub target: Target,
    /// Which host keys are accepted.
    pub trust: Trust,
    /// With which key.
    pub key: UserKey,
    /// Whether root's privileges are needed.
    pub privileged: bool,
}

/// A bootstrap to be done.
#[derive(Clone, Debug)]
pub struct Job {
    /// The uid of the RemoteMachine.
    pub owner: String,
    /// The id of the run.
    pub run: String,
    /// Where the state of runs is kept.
    pub working_dir: String,
    /// What is to be done.
    pub payload: Payload,
    /// All commands as one script.
    pub as_script: bool,
    /// For one command.
    pub command_limit: Duration,
    /// For all of it.
    pub total_limit: Duration,
    /// Begin although the host is not clean.
    pub force: bool,
}

/// Where a bootstrap is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Logged in; the host's key has this fingerprint.
    Connected(String),
    /// Files are being written.
    Uploading,
    /// A step is running.
    Step(usize),
}

/// A bootstrap that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the host is.
    pub host: HostFacts,
}

/// Does it, or goes on with it.
pub async fn provision(
    access: &Access,
    job: &Job,
    tell: &(dyn Fn(&Progress) + Send + Sync),
) -> Result<Done, Failure> {
    let connection = Connection::open(&access.target, &access.trust, &access.key).await?;
    tell(&Progress::Connected(connection.fingerprint.clone()));
    let shell = Shell::open(&connection, access.privileged).await?;
    let run = Run { shell, job, tell };
    let host = run.all().await?;
    connection.close().await;
    Ok(Done { host })
}

struct Run<'a> {
    shell: Shell<'a>,
    job: &'a Job,
    tell: &'a (dyn Fn(&Progress) + Send + Sync),
}

impl Run<'_> {
    async fn all(&self) -> Result<HostFacts, Failure> {
        let asked = lock::ask(&self.shell, &self.variables(&[]), &self.job.owner).await?;
        let result = self.locked().await;
        if let Asked::Locked(lock) = asked {
            lock.release().await;
        }
        result
    }

    async fn locked(&self) -> Result<HostFacts, Failure> {
        let found = self.inspect().await?;
        let job = self.job;
        let verdict = judge(&found, &job.owner, !job.payload.files.is_empty(), job.force)?;
        match verdict {
            Verdict::Done => {
                self.finish().await?;
                return Ok(found.host);
            }
            Verdict::Follow => {}
            Verdict::Resume => self.start().await?,
            Verdict::Begin { stale_sentinel } => self.begin(stale_sentinel).await?,
            Verdict::Redo => {
                let undo =
                    Undo { owner: &job.owner, working_dir: &job.working_dir, limit: job.command_limit };
                clean_up::built_in(&self.shell, &undo, &job.payload.facts, false).await?;
                self.begin(true).await?;
            }
        }
        self.follow().await?;
        self.finish().await?;
        Ok(found.host)
    }

    async fn inspect(&self) -> Result<Inspection, Failure> {
        let mut files = String::new();
        for file in &self.job.payload.files {
            files.push_str(&hex::encode(Sha256::digest(file.content.expose())));
            files.push(' ');
            files.push_str(&file.path);
            files.push('\n');
        }
        let output = self.shell.run(&self.script(&[], INSPECT), files.as_bytes(), SHORT).await?;
        let found = Inspection::parse(&output.out).ok_or_else(|| {
            let why = output.err.lines().last().unwrap_or("no answer");
            Failure::new(Reason::UploadFailed, format!("the host cannot be inspected: {}", redact(why, &[])))
        })?;
        if found.host.operating_system == "linux" {
            Ok(found)
        } else {
            Err(Failure::new(
                Reason::UnsupportedBootstrapFormat,
                format!("the host runs {:?}; only Linux hosts are supported", found.host.operating_system),
            ))
        }
    }

    /// Files first, then the steps' own scripts, so that a run that was started has everything.
    async fn begin(&self, stale_sentinel: bool) -> Result<(), Failure> {
        (self.tell)(&Progress::Uploading);
        let stale = if stale_sentinel { "yes" } else { "no" };
        let making = format!("preparing {}", self.job.working_dir);
        self.shell
            .order(&self.script(&[("STALE", stale)], BEGIN), &[], SHORT, Reason::UploadFailed, &making)
            .await?;
        for (index, file) in self.job.payload.files.iter().enumerate() {
            self.upload(index, file).await?;
        }
        for (index, step) in self.steps().iter().enumerate() {
            self.private(&format!("{}/run/{}/{}.sh", self.job.working_dir, self.job.run, index + 1), step)
                .await?;
        }
        if self.job.as_script {
            let script = format!("#!/bin/sh\nset -e\n{}", self.job.payload.steps.concat());
            let path = self.script_path();
            self.write(&path, script.as_bytes(), "0700", None, None).await?;
        }
        self.start().await
    }

    async fn upload(&self, index: usize, file: &File) -> Result<(), Failure> {
        let mode = file.permissions.to_string();
        let append = file.append.then_some(index);
        self.write(&file.path, file.content.expose(), &mode, file.owner.as_deref(), append).await
    }

    async fn private(&self, path: &str, text: &str) -> Result<(), Failure> {
        self.write(path, text.as_bytes(), "0600", None, None).await
    }

    async fn write(
        &self,
        path: &str,
        content: &[u8],
        mode: &str,
        owner: Option<&str>,
        append: Option<usize>,
    ) -> Result<(), Failure> {
        // A file for few eyes stands in a directory for few eyes.
        let private = u32::from_str_radix(mode, 8).is_ok_and(crate::data::is_private);
        let (sum, size) = (hex::encode(Sha256::digest(content)), content.len().to_string());
        let number = append.unwrap_or_default().to_string();
        let variables = [
            ("T", path),
            ("MODE", mode),
            ("DMODE", if private { "0700" } else { "0755" }),
            ("FOR", owner.unwrap_or_default()),
            ("SUM", &sum),
            ("SIZE", &size),
            ("APPEND", if append.is_some() { "yes" } else { "no" }),
            ("N", &number),
        ];
        let doing = format!("writing {path}");
        let script = self.script(&variables, UPLOAD);
        self.shell.order(&script, content, UPLOAD_LIMIT, Reason::UploadFailed, &doing).await?;
        Ok(())
    }

    async fn start(&self) -> Result<(), Failure> {
        (self.tell)(&Progress::Step(1));
        let steps = self.steps().len().to_string();
        let script = self.script(&[("STEPS", &steps)], START);
        self.shell
            .order(&script, RUNNER.as_bytes(), SHORT, Reason::UploadFailed, "starting the commands")
            .await?;
        Ok(())
    }

    async fn follow(&self) -> Result<(), Failure> {
        let steps = self.steps().len();
        let mut live = self.shell.start(&self.script(&[("STEPS", &steps.to_string())], FOLLOW)).await?;
        loop {
            let answer = tokio::time::timeout(SILENCE, live.line()).await.map_err(|_| {
                Failure::new(Reason::ConnectFailed, "the host has stopped answering while the commands run")
            })??;
            let Some(told) = answer else {
                return Err(Failure::new(
                    Reason::ConnectFailed,
                    "the connection ended while the commands run",
                ));
            };
            let mut words = told.split_whitespace();
            let what = words.next().unwrap_or_default();
            let numbers: Vec<u64> = words.clone().filter_map(|word| word.parse().ok()).collect();
            let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
            let step = usize::try_from(number(0)).unwrap_or_default();
            match what {
                "at" => {
                    (self.tell)(&Progress::Step(step));
                    self.in_time(step, number(1), number(2)).await?;
                }
                "ran" if words.next() == Some("sentinel") => return Ok(()),
                "ran" => {
                    return Err(Failure::new(
                        Reason::SentinelMissing,
                        format!(
                            "all {steps} commands succeeded, but none of them wrote {BOOTSTRAP_SENTINEL}; the bootstrap data must end with that"
                        ),
                    ));
                }
                "ended" => return Err(self.failed(step, number(1), number(2)).await),
                _ => {
                    return Err(Failure::new(
                        Reason::CommandFailed,
                        format!(
                            "command {step} of {steps} was interrupted (reboot or kill); it is run again"
                        ),
                    ));
                }
            }
        }
    }

    async fn in_time(&self, step: usize, of_step: u64, of_all: u64) -> Result<(), Failure> {
        let (command, total) = (self.job.command_limit, self.job.total_limit);
        let over = if Duration::from_secs(of_step) > command {
            Some(("spec.timeouts.commandSeconds", command))
        } else if Duration::from_secs(of_all) > total {
            Some(("spec.timeouts.totalSeconds", total))
        } else {
            None
        };
        let Some((field, limit)) = over else { return Ok(()) };
        self.shell
            .order(&self.script(&[], STOP), &[], SHORT, Reason::Timeout, "stopping the commands")
            .await?;
        Err(Failure::new(
            Reason::Timeout,
            format!(
                "command {step} of {} was stopped: {} s are over ({field})",
                self.steps().len(),
                limit.as_secs()
            ),
        ))
    }

    async fn failed(&self, step: usize, code: u64, seconds: u64) -> Failure {
        let number = step.to_string();
        let tail = self.shell.run(&self.script(&[("N", &number)], TAIL), &[], SHORT).await;
        let last =
            tail.map(|output| redact(&output.out, &self.job.payload.secret_words())).unwrap_or_default();
        let last =
            if last.is_empty() { "it printed nothing".to_owned() } else { format!("its last line: {last}") };
        Failure::new(
            Reason::CommandFailed,
            format!(
                "command {step} of {} ended with exit code {code} after {seconds} s; {last} (all of it: {}/run/{}/{step}.out on the host)",
                self.steps().len(),
                self.job.working_dir,
                self.job.run,
            ),
        )
    }

    async fn finish(&self) -> Result<(), Failure> {
        self.shell
            .order(&self.script(&[], FINISH), &[], SHORT, Reason::InternalError, "marking the run as done")
            .await?;
        Ok(())
    }

    fn steps(&self) -> Vec<String> {
        if self.job.as_script {
            vec![format!("exec /bin/sh {}\n", super::script::quote(&self.script_path()))]
        } else {
            self.job.payload.steps.clone()
        }
    }

    fn script_path(&self) -> String {
        format!("{}/{SCRIPT_NAME}", self.job.working_dir)
    }

    fn variables<'b>(&'b self, more: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let mut all = vec![
            ("W", self.job.working_dir.as_str()),
            ("RUN", self.job.run.as_str()),
            ("OWNER", self.job.owner.as_str()),
            ("SENTINEL", BOOTSTRAP_SENTINEL),
        ];
        all.extend_from_slice(more);
        all
    }

    fn script(&self, more: &[(&str, &str)], body: &str) -> Script {
        Script::new(&self.variables(more), body)
    }
}
