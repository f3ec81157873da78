//! Hosts that k0s is in place on.

use std::path::Path;

use anyhow::Result;
use testbed::machine::fleet::{self, FleetMachine};
use testbed::machine::{Machine, MachineOptions, Mount};

use crate::k0s::K0s;

/// Where a host has k0s.
pub const K0S: &str = "/usr/local/bin/k0s";

/// A host with k0s, a containerd and a pod network of its own.
pub fn options(k0s: &K0s) -> MachineOptions {
    MachineOptions {
        mounts: vec![Mount { source: k0s.binary.clone(), target: K0S.into(), read_only: true }],
        worker: true,
        ..MachineOptions::default()
    }
}

/// So many hosts that outlive this process, with the images that pods of the demo use.
pub async fn up(count: usize, state: &Path, k0s: &K0s) -> Result<Vec<FleetMachine>> {
    let fleet = fleet::up(count, state, k0s.genuine(), &options(k0s)).await?;
    for member in &fleet {
        let machine = Machine::attach(&member.network, &member.name)?;
        for image in [testbed::image::pause()?, testbed::image::busybox()?] {
            machine.import_image(&image).await?;
        }
    }
    Ok(fleet)
}
