//! A directory that one running test owns: its files, its children's pids, its ports. What an interrupted run left
//! is recognised by a lock that nobody holds any more.

use std::fs::{self, File, TryLockError};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Process;

/// Below the range from which the kernel gives ports to outgoing connections (32768 up) and below NodePorts (30000
/// up), so that a port found free stays free until the program listens.
const PORTS: std::ops::Range<u16> = 20_000..29_000;

/// Numbers the directories of this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// An owned directory; removed, with the processes noted in it, when dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes a new one, after removing what interrupted runs left.
    pub fn new(kind: &str) -> Result<Self> {
        let base = base()?;
        let guard = File::create(base.join("lock"))?;
        guard.lock()?;
        remove_debris(&base);
        let path =
            base.join(format!("{kind}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        let lock = File::create(path.join("owner"))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn base() -> Result<PathBuf> {
    // One per user: in a shared temporary directory another user's cannot be written.
    let path = std::env::temp_dir().join(format!("k0smotron-testbed-{}", nix::unistd::getuid()));
    fs::create_dir_all(path.join("ports")).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn remove_debris(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(owner) = File::open(path.join("owner")) else { continue };
        if owner.try_lock().is_ok() {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    for mut process in Process::found_in(path) {
        process.stop(Duration::ZERO);
    }
    let _ = fs::remove_dir_all(path);
}

/// A TCP port of this machine that nobody else of the test bed takes while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Finds one on which nothing listens.
    pub fn reserve() -> Result<Self> {
        let ports = base()?.join("ports");
        // Processes start at different places, so that they seldom try the same one.
        let span = u32::from(PORTS.end - PORTS.start);
        let first = std::process::id().wrapping_mul(61) % span;
        for offset in 0..span {
            let number = PORTS.start + u16::try_from((first + offset) % span)?;
            let lock = File::create(ports.join(number.to_string()))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error).context("lock a port"),
            }
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port in {PORTS:?}")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Life, Program};

    #[test]
    fn what_a_dead_owner_left_is_removed_and_a_living_owners_is_not() -> Result<()> {
        let living = RunDir::new("living")?;
        let dead = base()?.join(format!("dead-{}", std::process::id()));
        fs::create_dir_all(&dead)?;
        // Nobody holds the lock: its owner was killed, and its child outlived it.
        File::create(dead.join("owner"))?;
        let mut child =
            Program::new("child", Path::new("sleep"), Life::OnItsOwn).args(["600"]).start(&dead)?;

        let next = RunDir::new("next")?;
        assert!(!dead.exists());
        child.stop(Duration::ZERO);
        assert!(!child.is_alive());
        assert!(living.path().exists() && next.path().exists());
        Ok(())
    }

    #[test]
    fn no_port_is_given_twice() -> Result<()> {
        let ports: Vec<Port> = (0..20).map(|_| Port::reserve()).collect::<Result<_>>()?;
        let numbers: std::collections::BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        Ok(())
    }
}
