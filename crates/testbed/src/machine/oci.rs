//! The container that is the machine: systemd as its first process, nothing hidden from it, its own cgroups.

use super::disk::{self, SOLID};
use super::record::MachineRecord;
use super::registry::NetworkRecord;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;

/// All but CAP_SYS_RESOURCE, which the box itself may lack; a machine is the same everywhere.
const CAPABILITIES: [&str; 40] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Writes the bundle's `config.json`.
pub(super) fn write(record: &MachineRecord, network: &NetworkRecord, folder: &Path) -> Result<()> {
    let file = folder.join("bundle/config.json");
    let text = serde_json::to_vec_pretty(&spec(record, network, folder))?;
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
}

fn spec(record: &MachineRecord, network: &NetworkRecord, folder: &Path) -> Value {
    let id = record.id(network);
    let capabilities: Vec<String> = CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    let namespace = |kind: &str| json!({ "type": kind });
    json!({
        "ociVersion": "1.0.2",
        "hostname": record.name,
        "root": { "path": disk::root(folder), "readonly": false },
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "cwd": "/",
            // As on a real host, everything mounted is shared: kubelet and pods see each other's mounts. runc's own
            // setting does not reach the root file system when that is private on the box, which it must be.
            "args": ["/bin/sh", "-c", "mount --make-rshared / && exec /sbin/init"],
            "env": [
                "container=runc",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ],
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            // etcd and containerd want more than the usual 1024; raising the hard limit is what the box may not do.
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 20000, "hard": 20000 }],
        },
        "mounts": mounts(record, folder),
        "linux": {
            "namespaces": [
                namespace("pid"), namespace("ipc"), namespace("uts"), namespace("mount"), namespace("cgroup"),
                { "type": "network", "path": format!("/run/netns/{id}") },
            ],
            "cgroupsPath": format!("/{}/{}", network.tag(), record.name),
            "resources": { "devices": [{ "allow": true, "access": "rwm" }] },
            // The kubelet reads kernel messages and refuses to start without them.
            "devices": [{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600, "uid": 0, "gid": 0 }],
            "sysctl": { "net.ipv4.ip_forward": "1" },
            "maskedPaths": [],
            "readonlyPaths": [],
        },
    })
}

fn mounts(record: &MachineRecord, folder: &Path) -> Vec<Value> {
    let tmpfs = |target: &str, mode: &str| json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", format!("mode={mode}")] });
    let mut all = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] }),
        tmpfs("/dev/shm", "1777"),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "rw"] }),
        tmpfs("/run", "755"),
        tmpfs("/run/lock", "1777"),
        tmpfs("/tmp", "1777"),
    ];
    // What a pod mounts below these must be visible to the kubelet and the runtime alike.
    let bind = |source: &Path, target: &Path, spread: &str, access: &str| json!({ "destination": target, "type": "bind", "source": source, "options": ["rbind", spread, access] });
    all.extend(
        SOLID.iter().map(|(part, target)| bind(&folder.join(part), Path::new(target), "rshared", "rw")),
    );
    // What is lent from the box must not carry mounts back to it.
    all.extend(record.mounts.iter().map(|mount| {
        bind(&mount.source, &mount.target, "rprivate", if mount.read_only { "ro" } else { "rw" })
    }));
    let modules = Path::new("/lib/modules");
    if modules.is_dir() {
        all.push(bind(modules, modules, "rprivate", "ro"));
    }
    all
}
