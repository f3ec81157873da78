//! The box's packet filter: machines are let through to whatever is on the box, and no further.

use super::registry::NetworkRecord;
use super::shell;
use anyhow::Result;
use std::net::Ipv4Addr;

/// Lets the machines' traffic through even where the box's policy drops forwarded packets, and keeps it on the box.
pub(super) fn open(record: &NetworkRecord) -> Result<()> {
    let (tag, bridge) = (record.tag(), record.bridge());
    let rule = |rest: &[&str]| {
        let comment = ["-m", "comment", "--comment", tag.as_str()];
        let arguments: Vec<&str> = ["-w"].into_iter().chain(rest.iter().copied()).chain(comment).collect();
        shell::run("iptables", &arguments).map(drop)
    };
    rule(&["-I", "FORWARD", "-i", &bridge, "-j", "ACCEPT"])?;
    rule(&["-I", "FORWARD", "-o", &bridge, "-j", "ACCEPT"])?;
    let subnet = format!("{}/{}", Ipv4Addr::from(record.base()), record.prefix);
    for device in default_devices()? {
        if record.internet {
            rule(&["-t", "nat", "-A", "POSTROUTING", "-s", &subnet, "-o", &device, "-j", "MASQUERADE"])?;
        } else {
            rule(&["-I", "FORWARD", "-i", &bridge, "-o", &device, "-j", "REJECT"])?;
        }
    }
    Ok(())
}

/// Removes every rule that carries the network's tag.
pub(super) fn close(tag: &str) -> Result<()> {
    for (table, chain) in [("filter", "FORWARD"), ("nat", "POSTROUTING")] {
        let rules = shell::run("iptables", &["-w", "-t", table, "-S", chain])?;
        for rule in rules.lines().filter(|rule| rule.contains(tag)) {
            let words: Vec<&str> = rule.split_whitespace().map(|word| word.trim_matches('"')).collect();
            if let ["-A", rest @ ..] = words.as_slice() {
                let arguments: Vec<&str> =
                    ["-w", "-t", table, "-D"].into_iter().chain(rest.iter().copied()).collect();
                shell::run("iptables", &arguments)?;
            }
        }
    }
    Ok(())
}

fn default_devices() -> Result<Vec<String>> {
    let routes = shell::run("ip", &["-4", "route", "show", "default"])?;
    let mut devices: Vec<String> = routes
        .lines()
        .filter_map(|line| line.split_once(" dev ")?.1.split(' ').next().map(str::to_owned))
        .collect();
    devices.sort();
    devices.dedup();
    Ok(devices)
}
