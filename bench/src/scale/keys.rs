//! What the keys of a cluster cost by themselves: H-63 counts them apart.

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::table::as_f64;
use crate::usage::Usage;

/// RSA keys are found by trial: so many times all of them for a mean.
const TIMES: usize = 5;

/// Leaves of etcd: server, peer, the API server's client, ours.
const LEAVES: usize = 4;

/// CPU seconds per cluster.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Cluster and front-proxy authority, service account key.
    pub kine: f64,
    /// And the authority of etcd with its four leaves, whose keys are of the authority's kind.
    pub etcd: f64,
}

/// Measured here, with the code that the manager uses.
pub fn cost() -> Result<Keys> {
    let pid = i32::try_from(std::process::id()).context("a process id")?;
    let now = Timestamp::UNIX_EPOCH;
    let start = Usage::of(pid)?.cpu;
    for _ in 0..TIMES {
        pki::generate_authority(pki::AuthorityKind::Cluster, now)?;
        pki::generate_authority(pki::AuthorityKind::FrontProxy, now)?;
        pki::generate_service_account()?;
    }
    let middle = Usage::of(pid)?.cpu;
    for _ in 0..TIMES {
        let etcd = pki::Authority::from_pair(&pki::generate_authority(pki::AuthorityKind::Etcd, now)?)?;
        for _ in 0..LEAVES {
            etcd.issue(&pki::operator_etcd_client(), now)?;
        }
    }
    let kine = (middle - start) / as_f64(TIMES);
    Ok(Keys { kine, etcd: kine + (Usage::of(pid)?.cpu - middle) / as_f64(TIMES) })
}
