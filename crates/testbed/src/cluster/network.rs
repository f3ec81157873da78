//! The cluster's addresses, bridge and packet rules.
//!
//! 10.210.0.0/24 pods, 10.210.0.1 the node (the bridge's own address), 10.211.0.0/16 Services, 10.212.0.0/24 load
//! balancers; machines have 10.213.0.0/16. They differ from k0s' defaults (10.244.0.0/16, 10.96.0.0/12), which child
//! clusters use.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::run;

/// The node's address: API server, kubelet, DNS and NodePorts answer here.
pub const NODE_IP: &str = "10.210.0.1";
/// Pods' addresses.
pub const POD_SUBNET: &str = "10.210.0.0/24";
/// Services' addresses.
pub const SERVICE_SUBNET: &str = "10.211.0.0/16";
/// The `kubernetes` Service.
pub const KUBERNETES_SERVICE_IP: &str = "10.211.0.1";
/// Load balancers' addresses.
pub const LOAD_BALANCER_SUBNET: &str = "10.212.0.0/24";
/// The bridge that pods are on.
pub const BRIDGE: &str = "k0stestbed0";
/// The nftables table with the bed's own rules.
pub const TABLE: &str = "k0smotron-testbed";
/// The API server's port.
pub const API_PORT: u16 = 6443;

/// The API server's URL.
pub fn api_server() -> String {
    format!("https://{NODE_IP}:{API_PORT}")
}

/// What lets pods' packets through where another program (Docker) drops forwarded ones.
const LET_THROUGH: [[&str; 4]; 2] = [["-i", BRIDGE, "-j", "ACCEPT"], ["-o", BRIDGE, "-j", "ACCEPT"]];

/// The machine's own rules for forwarded packets, asked in a way that makes none; empty if it has none.
fn forwarding() -> String {
    run("nft", &["list", "chain", "ip", "filter", "FORWARD"]).unwrap_or_default()
}

/// Makes bridge, addresses, routes and rules.
pub fn up() -> Result<()> {
    let bridge = ["link", "add", BRIDGE, "address", "02:6b:30:73:00:01", "type", "bridge"];
    run("ip", &bridge)?;
    // Here before the first pod: the API server listens on it.
    run("ip", &["address", "add", &format!("{NODE_IP}/24"), "dev", BRIDGE])?;
    run("ip", &["link", "set", BRIDGE, "up"])?;
    // The box takes packets for load balancers as its own; kube-proxy sends them on to the pods.
    run("ip", &["route", "add", "local", LOAD_BALANCER_SUBNET, "dev", "lo"])?;
    if forwarding().contains("policy drop") {
        for rule in LET_THROUGH {
            run("iptables", &[&["-w", "-I", "FORWARD"][..], &rule].concat())?;
        }
    }
    // Pods reach the outside in the box's name; among the bed's networks (10.210.0.0 to 10.213.255.255) addresses
    // stay as they are.
    nft(&format!(
        "table ip {TABLE} {{\n  chain outside {{\n    type nat hook postrouting priority srcnat;\n    \
         ip saddr {POD_SUBNET} ip daddr != 10.210.0.0/14 masquerade\n  }}\n}}\n"
    ))
}

/// Removes them; what is not there is fine.
pub fn down() {
    let _ = run("ip", &["link", "delete", BRIDGE]);
    let _ = run("ip", &["route", "delete", "local", LOAD_BALANCER_SUBNET, "dev", "lo"]);
    if forwarding().contains(BRIDGE) {
        for rule in LET_THROUGH {
            let _ = run("iptables", &[&["-w", "-D", "FORWARD"][..], &rule].concat());
        }
    }
    for table in [TABLE, "kube-proxy"] {
        for family in ["ip", "ip6"] {
            let _ = run("nft", &["delete", "table", family, table]);
        }
    }
}

/// What of it is there.
pub fn left() -> Vec<String> {
    let mut left = Vec::new();
    if Path::new("/sys/class/net").join(BRIDGE).exists() {
        left.push(format!("bridge {BRIDGE}"));
    }
    let tables = run("nft", &["list", "tables"]).unwrap_or_default();
    left.extend(
        tables
            .lines()
            .filter(|line| line.ends_with(TABLE) || line.ends_with(" kube-proxy"))
            .map(str::to_owned),
    );
    let routes = run("ip", &["route", "show", "table", "local", LOAD_BALANCER_SUBNET]).unwrap_or_default();
    left.extend(routes.lines().map(|line| format!("route {line}")));
    left.extend(
        forwarding().lines().filter(|line| line.contains(BRIDGE)).map(|line| format!("rule {}", line.trim())),
    );
    left
}

fn nft(rules: &str) -> Result<()> {
    use std::io::Write as _;
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().context("run nft")?;
    child.stdin.take().context("nft's input")?.write_all(rules.as_bytes())?;
    if !child.wait()?.success() {
        bail!("nft refused:\n{rules}");
    }
    Ok(())
}
