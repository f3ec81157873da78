//! Starting and stopping a machine's container and its cable.

use super::record::{MachineRecord, runc};
use super::registry::NetworkRecord;
use super::{disk, mounts, network, oci, paths, shell};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Killed processes of a machine need a moment, longer on a busy box; more than this means that one hangs in the kernel.
const TO_DIE: Duration = Duration::from_secs(30);

/// What runc says about a container.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub status: String,
    pub pid: u32,
}

/// The container's state, `None` if there is none.
pub(super) fn state(id: &str) -> Result<Option<State>> {
    match runc(&["state", id]) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).context("parsing runc's state")?)),
        Err(error) if format!("{error:#}").contains("does not exist") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Boots the machine from its disk, with a fresh network namespace as after any reboot.
pub(super) fn boot(machine: &MachineRecord, network: &NetworkRecord) -> Result<()> {
    let id = machine.id(network);
    match state(&id)? {
        Some(state) if state.status == "stopped" => drop(runc(&["delete", &id])?),
        Some(state) => {
            bail!("machine {} is {}: kill it before starting it again", machine.name, state.status)
        }
        None => {}
    }
    let folder = machine.folder(network);
    disk::mount(machine, &folder)?;
    oci::write(machine, network, &folder)?;
    unwire(&id, &machine.cable(network))?;
    wire(machine, network)?;
    let console =
        File::create(folder.join("bundle/console.log")).context("creating the machine's console.log")?;
    let status = Command::new("runc")
        .args(["--root", paths::RUNC, "run", "--detach", "--bundle"])
        .arg(folder.join("bundle"))
        .arg(&id)
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .status()
        .context("starting runc")?;
    if !status.success() {
        let said = std::fs::read_to_string(folder.join("bundle/console.log")).unwrap_or_default();
        bail!("runc could not start machine {}: {}", machine.name, said.trim());
    }
    Ok(())
}

fn wire(machine: &MachineRecord, network: &NetworkRecord) -> Result<()> {
    let (id, cable, bridge) = (machine.id(network), machine.cable(network), network.bridge());
    let (address, prefix, gateway) = (machine.address, network.prefix, network.gateway);
    let mac = network::mac(address);
    shell::run("ip", &["netns", "add", &id])?;
    // eth0: k0s' address detection skips veth*.
    let mut outside = format!(
        "link add {cable} type veth peer name eth0 address {mac} netns {id}\n\
         link set {cable} master {bridge} up\n"
    );
    if let Some(subnet) = &machine.pod_subnet {
        // Pods of one machine reach those of another over the box.
        let _ = writeln!(outside, "route replace {subnet} via {address} dev {bridge}");
    }
    shell::feed("ip", &["-batch", "-"], &outside)?;
    let inside = format!(
        "link set lo up\naddr add {address}/{prefix} dev eth0\nlink set eth0 up\nroute add default via {gateway}\n"
    );
    shell::feed("ip", &["-netns", &id, "-batch", "-"], &inside).map(drop)
}

/// Removes cable and network namespace, if they are there.
pub(super) fn unwire(id: &str, cable: &str) -> Result<()> {
    if Path::new("/sys/class/net").join(cable).exists() {
        shell::run("ip", &["link", "delete", cable])?;
    }
    if Path::new("/run/netns").join(id).exists() {
        shell::run("ip", &["netns", "delete", id])?;
    }
    Ok(())
}

/// Pulls the machine's cable.
pub(super) fn unplug(machine: &MachineRecord, network: &NetworkRecord) -> Result<()> {
    shell::run("ip", &["link", "set", &machine.cable(network), "down"]).map(drop)
}

/// Puts the cable back; packets flow when this returns.
pub(super) fn plug(machine: &MachineRecord, network: &NetworkRecord) -> Result<()> {
    let (cable, bridge, address) = (machine.cable(network), network.bridge(), machine.address.to_string());
    shell::run("ip", &["link", "set", &cable, "up"])?;
    let state = Path::new("/sys/class/net").join(&cable).join("operstate");
    let start = Instant::now();
    while std::fs::read_to_string(&state).context("reading the cable's state")?.trim() != "up" {
        // The kernel notices a carrier within a second.
        if start.elapsed() > Duration::from_secs(10) {
            bail!("the cable of machine {} is plugged in but does not come up", machine.name);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // What tried to reach it meanwhile left a failed neighbour entry, which would refuse connections for seconds more.
    shell::run("ip", &["neigh", "flush", "to", &address, "dev", &bridge])?;
    if let Some(subnet) = &machine.pod_subnet {
        shell::run("ip", &["route", "replace", subnet, "via", &address, "dev", &bridge])?;
    }
    Ok(())
}

/// Power loss: every process is gone when this returns.
pub(super) fn kill(id: &str) -> Result<()> {
    let start = Instant::now();
    while let Some(now) = state(id)? {
        if now.status == "stopped" {
            return runc(&["delete", id]).map(drop);
        }
        // It may end between the look and the blow, so that a refusal counts only if it goes on living.
        let mut outcome = runc(&["kill", id, "KILL"]);
        if now.status == "paused" {
            // A frozen process dies only when it is thawed.
            outcome = outcome.and(runc(&["resume", id]));
        }
        if start.elapsed() > TO_DIE {
            outcome?;
            bail!("container {id} has not ended {} s after it was killed", TO_DIE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until the container's first process is gone.
pub(super) fn await_end(id: &str, patience: Duration) -> Result<()> {
    let start = Instant::now();
    while state(id)?.is_some_and(|state| state.status != "stopped") {
        if start.elapsed() > patience {
            bail!("container {id} has not ended {} s after it was told to", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Removes the machine and its disk.
pub(super) fn remove(machine: &MachineRecord, network: &NetworkRecord) -> Result<()> {
    let id = machine.id(network);
    kill(&id)?;
    unwire(&id, &machine.cable(network))?;
    mounts::remove(&machine.folder(network))
}

/// Containers of the test bed, by name. `runc list` fails when one disappears while it looks; its folder does not.
pub(super) fn all() -> Result<Vec<String>> {
    paths::names(Path::new(paths::RUNC))
}
