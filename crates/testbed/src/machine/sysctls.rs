//! Kernel settings of the box, changed while somebody holds them and put back when the last holder lets go.
//!
//! Several networks, processes and a management cluster may want the same setting at once; whoever came first would
//! otherwise restore it under the others' feet.

use super::paths::{self, RUNTIME};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Default, Serialize, Deserialize)]
struct Ledger {
    original: BTreeMap<String, String>,
    holders: BTreeMap<String, BTreeSet<String>>,
}

/// Sets each `(name, value)` until `holder` releases it. A number that is already higher stays.
pub fn hold(holder: &str, settings: &[(&str, &str)]) -> Result<()> {
    let _lock = paths::box_lock()?;
    let mut ledger = read()?;
    for (name, value) in settings {
        let current = get(name)?;
        ledger.original.entry((*name).to_owned()).or_insert_with(|| current.clone());
        ledger.holders.entry(holder.to_owned()).or_default().insert((*name).to_owned());
        write(&ledger)?;
        let higher =
            matches!((current.parse::<i64>(), value.parse::<i64>()), (Ok(is), Ok(want)) if is >= want);
        if !higher && current != *value {
            set(name, value)?;
        }
    }
    Ok(())
}

/// Writes down what `names` are now, because something that `holder` starts (a kubelet) will change them by itself.
/// They are put back like held ones.
pub fn remember(holder: &str, names: &[&str]) -> Result<()> {
    let _lock = paths::box_lock()?;
    let mut ledger = read()?;
    for name in names {
        if !file(name).exists() {
            continue;
        }
        let current = get(name)?;
        ledger.original.entry((*name).to_owned()).or_insert(current);
        ledger.holders.entry(holder.to_owned()).or_default().insert((*name).to_owned());
    }
    write(&ledger)
}

/// Ends `holder`'s claim on every setting; a setting nobody holds any more gets its original value back.
pub fn release(holder: &str) -> Result<()> {
    let _lock = paths::box_lock()?;
    let mut ledger = read()?;
    for name in ledger.holders.remove(holder).unwrap_or_default() {
        if ledger.holders.values().any(|held| held.contains(&name)) {
            continue;
        }
        if let Some(value) = ledger.original.remove(&name) {
            set(&name, &value)?;
        }
    }
    write(&ledger)
}

fn ledger_file() -> PathBuf {
    Path::new(RUNTIME).join("sysctls.json")
}

fn read() -> Result<Ledger> {
    match std::fs::read(ledger_file()) {
        Ok(bytes) => serde_json::from_slice(&bytes).context("parsing sysctls.json"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Ledger::default()),
        Err(error) => Err(error).context("reading sysctls.json"),
    }
}

fn write(ledger: &Ledger) -> Result<()> {
    if ledger.holders.is_empty() && ledger.original.is_empty() {
        let _ = std::fs::remove_file(ledger_file());
        return Ok(());
    }
    paths::replace(&ledger_file(), &serde_json::to_vec_pretty(ledger)?)
}

fn file(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

fn get(name: &str) -> Result<String> {
    let value = std::fs::read_to_string(file(name)).with_context(|| format!("reading sysctl {name}"))?;
    Ok(value.trim().to_owned())
}

fn set(name: &str, value: &str) -> Result<()> {
    std::fs::write(file(name), value).with_context(|| format!("setting sysctl {name} to {value}"))
}
