//! Hosts that k0s is in place on.

use std::path::Path;

use anyhow::Result;
use testbed::machine::fleet::{self, FleetMachine};
use testbed::machine::{Machine, MachineOptions, Mount};

use crate::k0s::K0s;

/// Where a host has k0s.
pub const K0S: &str = "/usr/local/bin/k0s";

/// The build after the one that the tests begin with.
const NEXT_VERSION: &str = "v1.36.3+k0s.1";

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

/// The version to update to: `K0S_BINARY_NEXT`, or the stand-in's next build; none if only one genuine k0s was given.
pub fn next_version(k0s: &K0s) -> Result<Option<K0s>> {
    if let Some(path) = std::env::var_os("K0S_BINARY_NEXT").filter(|path| !path.is_empty()) {
        return K0s::given(path.into()).map(Some);
    }
    if k0s.genuine() {
        eprintln!("skipped: a version change needs K0S_BINARY_NEXT when k0s is genuine");
        return Ok(None);
    }
    K0s::stand_in(NEXT_VERSION).map(Some)
}
