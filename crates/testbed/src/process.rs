//! Programs that are started here and stopped here, by process id.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a started program lives when nobody stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The kernel kills it when this process ends, however it ends.
    WithUs,
    /// It stays (in a session of its own) until somebody stops it by its pid file.
    OnItsOwn,
}

/// A program to start.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Command,
    life: Life,
}

impl Program {
    /// A program; `name` names its log and pid file.
    pub fn new(name: &str, path: &Path, life: Life) -> Self {
        // setpriv asks for the death signal and then becomes the program: the same pid. Rust itself can only do
        // that between fork and exec, in unsafe code.
        let command = match life {
            Life::WithUs => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "--"]).arg(path);
                command
            }
            Life::OnItsOwn => {
                let mut command = Command::new("setsid");
                command.arg("--").arg(path);
                command
            }
        };
        Self { name: name.to_owned(), command, life }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it; output goes to `<dir>/logs/<name>.log`, its identity to `<dir>/pids/<name>`.
    pub fn start(self, dir: &Path) -> Result<Process> {
        let Self { name, mut command, life } = self;
        for sub in ["logs", "pids"] {
            fs::create_dir_all(dir.join(sub)).with_context(|| format!("{}/{sub}", dir.display()))?;
        }
        let log = dir.join("logs").join(format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = spawn(command).with_context(|| format!("start {name} ({life:?})"))?;
        let mut process = Process::of_child(&name, child, log)?;
        let pid_file = dir.join("pids").join(&name);
        fs::write(&pid_file, format!("{} {}\n", process.identity.pid, process.identity.started))?;
        process.pid_file = Some(pid_file);
        Ok(process)
    }
}

/// Spawns on one thread that lives as long as this process: the kernel sends the parent's death signal when the
/// *thread* that forked ends, and test threads and blocking-pool threads end early.
fn spawn(mut command: Command) -> Result<Child> {
    type Job = Box<dyn FnOnce() + Send>;
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::spawn(move || {
            while let Ok(job) = jobs.recv() {
                job();
            }
        });
        Mutex::new(sender)
    });
    let (answer, answers) = channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(Box::new(move || {
            let _ = answer.send(command.spawn());
        }))
        .map_err(|_| anyhow!("the spawning thread is gone"))?;
    Ok(answers.recv().context("the spawning thread is gone")??)
}

/// Which process a pid meant when it was written down: pids are used again, the pair with the start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process id.
    pub pid: i32,
    /// Its start, in clock ticks since boot.
    pub started: u64,
}

impl Identity {
    /// The identity of a running process; none if there is no such process or it is a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name is in parentheses and may contain anything, so fields count from the last one.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        match fields.first() {
            Some(&"Z" | &"X") | None => None,
            Some(_) => Some(Self { pid, started: fields.get(19)?.parse().ok()? }),
        }
    }

    fn read(pid_file: &Path) -> Option<Self> {
        let text = fs::read_to_string(pid_file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// Whether that very process still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// A started program.
#[derive(Debug)]
pub struct Process {
    name: String,
    identity: Identity,
    child: Option<Child>,
    log: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

impl Process {
    fn of_child(name: &str, child: Child, log: PathBuf) -> Result<Self> {
        let pid = i32::try_from(child.id())?;
        let Some(identity) = Identity::of(pid) else {
            bail!("{name} ended at once; its log: {}", log.display())
        };
        Ok(Self { name: name.to_owned(), identity, child: Some(child), log: Some(log), pid_file: None })
    }

    /// Every program whose pid file is in this directory and which still runs; pid files of ended ones are removed.
    pub fn found_in(dir: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(dir.join("pids")) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            match Identity::read(&path) {
                Some(identity) if identity.is_alive() => found.push(Self {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    identity,
                    child: None,
                    log: None,
                    pid_file: Some(path),
                }),
                _ => {
                    let _ = fs::remove_file(&path);
                }
            }
        }
        found
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.identity.is_alive()
    }

    /// An error with the end of its log if it has ended.
    pub fn check(&self) -> Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        let log = self.log.as_deref().and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
        bail!("{} ended; the end of its log:\n{end}", self.name)
    }

    /// Asks it to end, and kills it when it has not after `patience`.
    pub fn stop(&mut self, patience: Duration) {
        if !patience.is_zero() {
            self.signal(Signal::SIGTERM);
            self.wait(patience);
        }
        self.signal(Signal::SIGKILL);
        // After SIGKILL only a process stuck in the kernel is left, and waiting longer would not help it.
        self.wait(Duration::from_secs(10));
        if let Some(pid_file) = &self.pid_file {
            let _ = fs::remove_file(pid_file);
        }
    }

    fn signal(&self, signal: Signal) {
        if self.identity.is_alive() {
            let _ = kill(Pid::from_raw(self.identity.pid), signal);
        }
    }

    fn wait(&mut self, patience: Duration) {
        let start = Instant::now();
        while !self.has_ended() && start.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A child has ended when it is reaped: its first thread may be a zombie while others still hold its port.
    fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => !self.identity.is_alive(),
        }
    }
}
