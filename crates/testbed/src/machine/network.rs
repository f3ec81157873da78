//! A bridge on the box, on which machines reach each other and every address of the box.

use super::record::{self, MachineRecord};
use super::registry::{self, NetworkRecord};
use super::{firewall, mounts, packages, paths, shell, sweep, sysctls};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// What a network may be told.
#[derive(Clone, Debug, Default)]
pub struct NetworkOptions {
    /// Unique on this box: letters, digits and dashes.
    pub name: String,
    /// For example `10.213.7.0/24`; unset, a free /24 of 10.213.0.0/16 is taken.
    pub subnet: Option<String>,
    /// Where the machines' disks are; unset, `machines/<name>` in the cache folder. Deleted with the network.
    pub folder: Option<PathBuf>,
    /// Whether machines may leave the box (masqueraded). Otherwise they get "unreachable" at once.
    pub internet: bool,
}

/// A network and, unless it was [detached](Network::detach), the life of all machines in it.
#[derive(Debug)]
pub struct Network {
    pub(super) record: NetworkRecord,
    /// Held while this process owns the network; dropping the value then removes it.
    owner: Option<File>,
}

impl Network {
    /// Makes the network, after sweeping away what dead processes left.
    pub async fn create(options: NetworkOptions) -> Result<Self> {
        tokio::task::spawn_blocking(move || create(options)).await?
    }

    /// A network with a name and a subnet that nobody else has, for one test.
    pub async fn scratch() -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("scratch-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self::create(NetworkOptions { name, ..NetworkOptions::default() }).await
    }

    /// Finds a detached network by name. The value does not own it: dropping it removes nothing.
    pub fn attach(name: &str) -> Result<Self> {
        let record = registry::find(name)?
            .with_context(|| format!("there is no machine network {name:?}: `testbed up` makes one"))?;
        Ok(Self { record, owner: None })
    }

    /// Lets the network and its machines outlive this process.
    pub fn detach(&mut self) -> Result<()> {
        let _lock = paths::box_lock()?;
        self.record.detached = true;
        registry::save(&self.record)?;
        self.owner = None;
        Ok(())
    }

    /// Removes all machines, then the network, and says what could not be removed.
    pub async fn remove(mut self) -> Result<()> {
        let owner = self.owner.take();
        let record = self.record.clone();
        tokio::task::spawn_blocking(move || {
            let result = sweep::remove_network(&record);
            drop(owner);
            result
        })
        .await?
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The box's address in this network; servers that bind all addresses answer machines there too.
    pub fn gateway(&self) -> Ipv4Addr {
        self.record.gateway
    }

    /// The bridge's interface name on the box.
    pub fn bridge(&self) -> String {
        self.record.bridge()
    }

    /// Nine characters that begin the names of everything in the kernel that belongs to this network.
    pub fn tag(&self) -> String {
        self.record.tag()
    }

    /// The folder of the machines' disks.
    pub fn folder(&self) -> &std::path::Path {
        &self.record.folder
    }

    /// Names of the machines in this network, sorted.
    pub fn machines(&self) -> Result<Vec<String>> {
        Ok(record::all(&self.record)?.into_iter().map(|machine| machine.name).collect())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(_owner) = self.owner.take() else { return };
        if let Err(error) = sweep::remove_network(&self.record) {
            eprintln!("testbed: removing network {}: {error:#}", self.record.name);
        }
    }
}

fn create(options: NetworkOptions) -> Result<Network> {
    packages::ensure()?;
    record::check_name("network", &options.name)?;
    sweep::sweep_blocking()?;
    let folder = match options.folder {
        Some(folder) => folder,
        None => paths::cache()?.join("machines").join(&options.name),
    };
    let network = {
        let _lock = paths::box_lock()?;
        let known = registry::all()?;
        let used = known.iter().find(|record| record.folder == folder);
        if let Some(record) = used.filter(|record| record.name != options.name) {
            bail!("folder {} is that of machine network {:?}: choose another", folder.display(), record.name);
        }
        if known.iter().any(|record| record.name == options.name) {
            bail!("machine network {:?} exists already: attach to it, or remove it first", options.name);
        }
        let (gateway, prefix) = match &options.subnet {
            Some(text) => parse(text)?,
            None => free(&known)?,
        };
        empty(&folder)?;
        let record = NetworkRecord {
            name: options.name,
            folder,
            gateway,
            prefix,
            internet: options.internet,
            detached: false,
        };
        let owner = registry::own(&record.name)?.context("a network's lock was left without its entry")?;
        registry::save(&record)?;
        Network { record, owner: Some(owner) }
    };
    // From here on dropping `network` undoes whatever part was done.
    sysctls::hold(
        &network.record.tag(),
        // Box and machines forward for each other; systemd, kubelet and containerd of each machine take a dozen
        // inotify instances, and the kernel's default of 128 ends at the third machine.
        &[("net.ipv4.ip_forward", "1"), ("fs.inotify.max_user_instances", "8192")],
    )?;
    // A kubelet or systemd in a machine sets these, and they are the whole box's.
    sysctls::remember(
        &network.record.tag(),
        &[
            "kernel.panic",
            "kernel.panic_on_oops",
            "kernel.pid_max",
            "kernel.keys.root_maxbytes",
            "kernel.keys.root_maxkeys",
            "vm.overcommit_memory",
            "vm.panic_on_oom",
        ],
    )?;
    bridge(&network.record)?;
    firewall::open(&network.record)?;
    Ok(network)
}

/// Makes the folder, or removes disks of machines that died with a reboot of the box. The whole folder is deleted with
/// the network, so it must not hold anything else.
fn empty(folder: &Path) -> Result<()> {
    for name in paths::names(folder)? {
        let disk = folder.join(&name);
        if !disk.join("machine.json").is_file() {
            bail!("folder {} holds {name:?}, which is no machine: choose an empty folder", folder.display());
        }
        mounts::remove(&disk)?;
    }
    paths::create(folder)
}

fn parse(text: &str) -> Result<(Ipv4Addr, u8)> {
    let wrong = || {
        format!(
            "subnet {text:?}: expected something like 10.213.7.0/24, at most 255 and at least 16 addresses"
        )
    };
    let (address, prefix) = text.split_once('/').with_context(wrong)?;
    let address: Ipv4Addr = address.parse().with_context(wrong)?;
    let prefix: u8 = prefix.parse().with_context(wrong)?;
    if !(24..=28).contains(&prefix) {
        bail!(wrong());
    }
    Ok((Ipv4Addr::from((u32::from(address) & registry::mask(prefix)) + 1), prefix))
}

/// The first /24 of 10.213.0.0/16 that neither a network of ours nor a route of the box has.
fn free(known: &[NetworkRecord]) -> Result<(Ipv4Addr, u8)> {
    let routes = shell::run("ip", &["-4", "route", "show", "table", "all"])?;
    let taken = |third: u8| {
        let base = u32::from(Ipv4Addr::new(10, 213, third, 0));
        known.iter().any(|record| record.overlaps(base, 24)) || routes.contains(&format!("10.213.{third}."))
    };
    let third = (0..=255).find(|third| !taken(*third)).context("no free /24 left in 10.213.0.0/16")?;
    Ok((Ipv4Addr::new(10, 213, third, 1), 24))
}

/// A MAC address derived from the IP address: rebuilt with a new one, a machine would be unreachable until the
/// neighbour entries of the box and its peers expire.
pub(super) fn mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:6b:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn bridge(record: &NetworkRecord) -> Result<()> {
    let (name, gateway, prefix) = (record.bridge(), record.gateway, record.prefix);
    // An explicit MAC, because a bridge otherwise takes the lowest of its ports' and changes it as they come and go.
    let script = format!(
        "link add {name} address {mac} type bridge\naddr add {gateway}/{prefix} dev {name}\nlink set {name} up\n",
        mac = mac(gateway)
    );
    shell::feed("ip", &["-batch", "-"], &script).map(drop)
}

/// Gives a machine its address: the wanted one, or the lowest free one from `.10` on.
pub(super) fn choose_address(
    network: &NetworkRecord,
    wanted: Option<Ipv4Addr>,
    others: &[MachineRecord],
) -> Result<Ipv4Addr> {
    let taken =
        |address: Ipv4Addr| address == network.gateway || others.iter().any(|other| other.address == address);
    match wanted {
        Some(address) if !network.contains(address) => {
            bail!(
                "ip {address} is outside of network {} ({}/{})",
                network.name,
                network.gateway,
                network.prefix
            )
        }
        Some(address) if taken(address) => bail!("ip {address} is taken in network {}", network.name),
        Some(address) => Ok(address),
        None => {
            let last = network.base() | !registry::mask(network.prefix);
            (network.base() + 10..last)
                .map(Ipv4Addr::from)
                .find(|address| !taken(*address))
                .with_context(|| format!("network {} has no free address", network.name))
        }
    }
}
