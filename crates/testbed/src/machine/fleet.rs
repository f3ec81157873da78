//! Machines that outlive the command that started them: `testbed machines up|down|list`.

use super::{Machine, MachineOptions, Network, NetworkOptions, keys, paths, registry};
use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// One machine of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetMachine {
    /// Host name.
    pub name: String,
    /// The network to give to [`Machine::attach`].
    pub network: String,
    /// Address on this box.
    pub address: Ipv4Addr,
    /// Whether it runs now.
    pub running: bool,
    /// Public host keys.
    pub host_keys: Vec<String>,
}

/// The private key that opens every machine of the fleet in `state`.
pub fn ssh_key(state: &Path) -> PathBuf {
    state.join("machines-key")
}

/// The name of the fleet's network: there is one per state folder.
pub fn network_name(state: &Path) -> Result<String> {
    let full = std::path::absolute(state).with_context(|| format!("resolving {}", state.display()))?;
    Ok(format!("fleet-{}", &hex::encode(Sha256::digest(full.as_os_str().as_encoded_bytes()))[..8]))
}

/// Makes the fleet have `count` running machines `machine-1`, `machine-2`..., each like `template`, and waits for ssh.
/// Machines that exist stay (stopped ones are started); a second call adds what is missing.
pub async fn up(
    count: usize,
    state: &Path,
    internet: bool,
    template: &MachineOptions,
) -> Result<Vec<FleetMachine>> {
    paths::create(state)?;
    let key = keys::ensure_pair(&ssh_key(state))?;
    let name = network_name(state)?;
    let known = registry::find(&name)?.is_some_and(|record| record.detached);
    let network = if known {
        Network::attach(&name)?
    } else {
        let folder = Some(std::path::absolute(state)?.join("machines"));
        let mut network = Network::create(NetworkOptions { name, folder, internet, subnet: None }).await?;
        network.detach()?;
        network
    };
    let existing = network.machines()?;
    let starts = (1..=count).map(|number| {
        let mut options = template.clone();
        options.name = format!("machine-{number}");
        options.authorized_keys.push(key.clone());
        let (network, existing) = (&network, &existing);
        async move {
            let mut machine = if existing.contains(&options.name) {
                let machine = Machine::attach(network.name(), &options.name)?;
                if !machine.is_running()? {
                    machine.start_again().await?;
                }
                machine
            } else {
                Machine::start(network, options).await?
            };
            machine.wait_for_ssh().await?;
            machine.detach();
            anyhow::Ok(())
        }
    });
    futures::future::try_join_all(starts).await?;
    list(state)
}

/// Removes the fleet in `state`, if there is one.
pub async fn down(state: &Path) -> Result<()> {
    let name = network_name(state)?;
    if registry::find(&name)?.is_some() {
        Network::attach(&name)?.remove().await?;
    }
    for file in [ssh_key(state), ssh_key(state).with_extension("pub")] {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The machines of the fleet in `state`; none if there is no fleet.
pub fn list(state: &Path) -> Result<Vec<FleetMachine>> {
    let name = network_name(state)?;
    if registry::find(&name)?.is_none() {
        return Ok(Vec::new());
    }
    let network = Network::attach(&name)?;
    network
        .machines()?
        .iter()
        .map(|machine| {
            let machine = Machine::attach(&name, machine)?;
            Ok(FleetMachine {
                name: machine.name().to_owned(),
                network: name.clone(),
                address: machine.address(),
                running: machine.is_running()?,
                host_keys: machine.host_keys()?,
            })
        })
        .collect()
}
