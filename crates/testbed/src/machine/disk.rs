//! A machine's disk: the shared root file system with a layer of its own, and folders that are no overlay.

use super::record::MachineRecord;
use super::registry::NetworkRecord;
use super::{MachineOptions, keys, mounts, paths, shell};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Folders of the machine that are plain folders of the box: containerd's overlayfs cannot sit on an overlay.
pub(super) const SOLID: [(&str, &str); 2] = [("k0s", "/var/lib/k0s"), ("containerd", "/var/lib/containerd")];

/// Where the mounted root is.
pub(super) fn root(folder: &Path) -> PathBuf {
    folder.join("root")
}

/// Mounts the disk; the first time this makes it.
pub(super) fn mount(record: &MachineRecord, folder: &Path) -> Result<()> {
    if !mounts::below(folder)?.is_empty() {
        return Ok(());
    }
    for part in ["upper", "work", "root", "bundle"].into_iter().chain(SOLID.map(|(part, _)| part)) {
        paths::create(&folder.join(part))?;
    }
    mounts::isolate(folder)?;
    mounts::overlay(&record.rootfs, &folder.join("upper"), &folder.join("work"), &root(folder))
}

/// Writes what makes this machine this machine, before its first boot.
pub(super) fn furnish(
    record: &MachineRecord,
    network: &NetworkRecord,
    folder: &Path,
    options: &MachineOptions,
) -> Result<()> {
    let name = &record.name;
    let disk = Disk { root: root(folder) };
    disk.write("/etc/hostname", &format!("{name}\n"), 0o644)?;
    disk.write("/etc/hosts", &hosts(record), 0o644)?;
    disk.write("/etc/machine-id", "", 0o444)?;
    disk.write("/etc/resolv.conf", &resolver(network)?, 0o644)?;
    if !options.authorized_keys.is_empty() {
        let lines = options.authorized_keys.join("\n") + "\n";
        disk.write("/root/.ssh/authorized_keys", &lines, 0o600)?;
        for user in ["ubuntu", "strict", "guest"] {
            let file = format!("/home/{user}/.ssh/authorized_keys");
            disk.write(&file, &lines, 0o644)?;
        }
    }
    for kind in keys::TYPES {
        let comment = format!("root@{name}");
        keys::generate(&disk.path(&format!("/etc/ssh/ssh_host_{kind}_key"))?, kind, &comment)?;
    }
    let seed = "/var/lib/cloud/seed/nocloud";
    let meta = json!({ "instance-id": record.id(network), "local-hostname": name });
    disk.write(&format!("{seed}/meta-data"), &format!("{meta}\n"), 0o600)?;
    let user_data = options.user_data.as_deref().unwrap_or("#cloud-config\n{}\n");
    disk.write(&format!("{seed}/user-data"), user_data, 0o600)?;
    if options.worker {
        worker(&disk, folder, options)?;
    }
    for file in &options.files {
        disk.write(&file.path, &file.content, file.mode)?;
    }
    Ok(())
}

fn hosts(record: &MachineRecord) -> String {
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{} {}\n", record.address, record.name)
}

/// A machine without internet asks the box and is refused at once, instead of waiting for nobody.
fn resolver(network: &NetworkRecord) -> Result<String> {
    if network.internet {
        let own = std::fs::read_to_string("/etc/resolv.conf").context("reading the box's resolv.conf")?;
        if !own.contains("nameserver 127.") {
            return Ok(own);
        }
    }
    Ok(format!("nameserver {}\noptions timeout:1 attempts:1\n", network.gateway))
}

/// What a worker with the container runtime of its distribution has besides.
fn worker(disk: &Disk, folder: &Path, options: &MachineOptions) -> Result<()> {
    disk.write("/etc/containerd/config.toml", &containerd(&options.sandbox_image), 0o644)?;
    disk.link(
        "/lib/systemd/system/containerd.service",
        "/etc/systemd/system/multi-user.target.wants/containerd.service",
    )?;
    if let Some(subnet) = &options.pod_subnet {
        disk.write("/etc/cni/net.d/10-bridge.conflist", &conflist(subnet), 0o644)?;
    }
    // A k0s without embedded programs looks for these in its own folder.
    let bin = folder.join("k0s/bin");
    paths::create(&bin)?;
    for program in ["xtables-legacy-multi", "xtables-nft-multi"] {
        symlink(Path::new("/usr/sbin").join(program), bin.join(program))?;
    }
    Ok(())
}

fn containerd(sandbox_image: &str) -> String {
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE runc refuses every pod that asks for less than it has.
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{sandbox_image}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
"#
    )
}

fn conflist(subnet: &str) -> String {
    let list = json!({
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [
            { "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
              "ipam": { "type": "host-local", "ranges": [[{ "subnet": subnet }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    format!("{list:#}\n")
}

/// The root of a machine that does not run, seen from the box.
pub(super) struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The box's path of the machine's `path`, its folder made. A link that leads out of the machine is refused:
    /// writing through it would write to the box.
    fn path(&self, path: &str) -> Result<PathBuf> {
        let inside =
            path.strip_prefix('/').with_context(|| format!("path {path:?} in a machine must be absolute"))?;
        if inside.split('/').any(|part| part == "..") {
            bail!("path {path:?} in a machine must not contain `..`");
        }
        let file = self.root.join(inside);
        let folder = file.parent().context("a path below the root has a parent")?;
        paths::create(folder)?;
        if !folder.canonicalize()?.starts_with(self.root.canonicalize()?) {
            bail!("path {path:?} leads out of the machine's disk through a symbolic link");
        }
        Ok(file)
    }

    fn write(&self, path: &str, content: &str, mode: u32) -> Result<()> {
        let file = self.path(path)?;
        Self::clear(&file)?;
        let mut handle = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&file)
            .with_context(|| format!("writing {path} of a machine"))?;
        handle.write_all(content.as_bytes())?;
        handle.set_permissions(Permissions::from_mode(mode))?;
        Ok(())
    }

    fn link(&self, to: &str, path: &str) -> Result<()> {
        let file = self.path(path)?;
        Self::clear(&file)?;
        symlink(to, &file).with_context(|| format!("linking {path} of a machine"))
    }

    fn clear(file: &Path) -> Result<()> {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("replacing {}", file.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The public host keys, one line each, as a `known_hosts` file has them behind the address.
pub(super) fn host_keys(folder: &Path) -> Result<Vec<String>> {
    let disk = Disk { root: root(folder) };
    keys::TYPES
        .iter()
        .map(|kind| {
            let file = disk.path(&format!("/etc/ssh/ssh_host_{kind}_key.pub"))?;
            let line =
                std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            Ok(line.trim().to_owned())
        })
        .collect()
}

/// Makes new pairs in `folder` of the box, to be carried into a running machine.
pub(super) fn new_host_keys(folder: &Path, name: &str) -> Result<Vec<(String, String)>> {
    let scratch = folder.join("bundle/keys");
    paths::create(&scratch)?;
    let mut files = Vec::new();
    for kind in keys::TYPES {
        let file = scratch.join(format!("ssh_host_{kind}_key"));
        keys::generate(&file, kind, &format!("root@{name}"))?;
        for path in [file.clone(), file.with_extension("pub")] {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((format!("/etc/ssh/{name}"), text));
        }
    }
    std::fs::remove_dir_all(&scratch)?;
    Ok(files)
}

/// Copies a file of the box into the machine's folder and returns the path inside the machine.
pub(super) fn lend(folder: &Path, file: &Path, name: &str) -> Result<String> {
    let target = folder.join("containerd").join(name);
    shell::run("cp", &["--", &file.to_string_lossy(), &target.to_string_lossy()])?;
    Ok(format!("/var/lib/containerd/{name}"))
}
