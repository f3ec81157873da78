//! Removing networks, and what an interrupted run left.

use super::registry::{self, NetworkRecord};
use super::{container, firewall, mounts, packages, paths, shell, sysctls};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Removes every network whose process is gone and that was not detached, and everything in the kernel that carries
/// the mark of a network which nobody knows any more. Networks of living processes are left alone.
pub async fn sweep() -> Result<()> {
    tokio::task::spawn_blocking(|| {
        packages::ensure()?;
        sweep_blocking()
    })
    .await?
}

pub(super) fn sweep_blocking() -> Result<()> {
    let mut known = BTreeSet::new();
    for record in registry::all()? {
        known.insert(record.tag());
        if record.detached {
            continue;
        }
        let owner = {
            let _lock = paths::box_lock()?;
            // It may have been removed by its owner, or detached, since the listing.
            match registry::find(&record.name)? {
                Some(now) if !now.detached => registry::own(&record.name)?,
                _ => None,
            }
        };
        if let Some(owner) = owner {
            eprintln!("testbed: removing machine network {}, left by an interrupted run", record.name);
            remove_network(&record)?;
            drop(owner);
        }
    }
    // A network that is being made is in the registry before anything carries its tag: list the tags first.
    let tags = tags_in_kernel()?;
    let living: BTreeSet<String> = registry::all()?.iter().map(NetworkRecord::tag).chain(known).collect();
    for tag in tags.difference(&living) {
        eprintln!("testbed: removing what was left of an unknown machine network {tag}");
        report(&clear(tag))?;
    }
    Ok(())
}

/// Removes a network, its machines and their disks; goes on after a failure and reports all.
pub(super) fn remove_network(record: &NetworkRecord) -> Result<()> {
    let tag = record.tag();
    let mut problems = clear(&tag);
    problems.extend(mounts::remove(&record.folder).err());
    // What could not be removed keeps its settings and its entry, so that the next run tries again.
    report(&problems)?;
    sysctls::release(&tag)?;
    let _lock = paths::box_lock()?;
    registry::forget(&record.name)
}

fn report(problems: &[anyhow::Error]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = problems.iter().map(|problem| format!("{problem:#}")).collect();
    bail!("{}", words.join("; "))
}

/// Removes containers, namespaces, interfaces, rules and cgroups whose names begin with `tag`; returns what failed.
fn clear(tag: &str) -> Vec<anyhow::Error> {
    let mut problems = Vec::new();
    let mut each = |names: Result<Vec<String>>, remove: &dyn Fn(&str) -> Result<()>| match names {
        Ok(names) => {
            problems.extend(
                names.iter().filter(|name| name.starts_with(tag)).filter_map(|name| remove(name).err()),
            );
        }
        Err(error) => problems.push(error),
    };
    each(container::all(), &container::kill);
    each(paths::names(Path::new("/sys/class/net")), &|name| {
        shell::run("ip", &["link", "delete", name]).map(drop)
    });
    each(paths::names(Path::new("/run/netns")), &|name| {
        shell::run("ip", &["netns", "delete", name]).map(drop)
    });
    problems.extend(firewall::close(tag).err());
    problems.extend(remove_cgroups(tag).err());
    problems
}

fn remove_cgroups(tag: &str) -> Result<()> {
    for cgroup in cgroups()?.iter().filter(|path| path.file_name().is_some_and(|name| name == tag)) {
        remove_cgroup(cgroup)?;
    }
    Ok(())
}

/// Every tag that something in the kernel carries.
fn tags_in_kernel() -> Result<BTreeSet<String>> {
    let cgroups = cgroups()?.into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    Ok(container::all()?
        .into_iter()
        .chain(paths::names(Path::new("/sys/class/net"))?)
        .chain(paths::names(Path::new("/run/netns"))?)
        .chain(cgroups)
        .filter_map(|name| registry::tag_of(&name).map(str::to_owned))
        .collect())
}

/// Our cgroups, in every hierarchy: at the top of each with version 1, at the top of the only one with version 2.
fn cgroups() -> Result<Vec<PathBuf>> {
    let top = Path::new("/sys/fs/cgroup");
    let mut found = Vec::new();
    let mut hierarchies = vec![top.to_owned()];
    hierarchies.extend(
        paths::names(Path::new("/sys/fs/cgroup"))?
            .iter()
            .map(|name| top.join(name))
            .filter(|path| path.is_dir()),
    );
    for hierarchy in hierarchies {
        for entry in
            std::fs::read_dir(&hierarchy).with_context(|| format!("reading {}", hierarchy.display()))?
        {
            let entry = entry?;
            if registry::tag_of(&entry.file_name().to_string_lossy()).is_some() && entry.path().is_dir() {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Removes a cgroup and those below it, deepest first; the files in it cannot and need not be removed.
fn remove_cgroup(cgroup: &Path) -> Result<()> {
    for entry in std::fs::read_dir(cgroup).with_context(|| format!("reading {}", cgroup.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            remove_cgroup(&path)?;
        }
    }
    std::fs::remove_dir(cgroup).with_context(|| format!("removing cgroup {}", cgroup.display()))
}
