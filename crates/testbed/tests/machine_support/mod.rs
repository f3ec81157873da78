//! What the tests of machines share: a key pair, an ssh client, an image, a search for leftovers.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use testbed::machine::{Machine, MachineOptions};

static KEYS: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path(&folder.path().join("key"))]);
    folder
});

/// The tests' public key.
pub fn key() -> String {
    std::fs::read_to_string(KEYS.path().join("key.pub")).unwrap().trim().to_owned()
}

/// A machine that lets the tests in.
pub fn options(name: &str) -> MachineOptions {
    MachineOptions { name: name.to_owned(), authorized_keys: vec![key()], ..MachineOptions::default() }
}

/// Runs `command` over SSH, the host key being checked, and returns stdout, or stderr if it failed.
pub fn ssh(machine: &Machine, user: &str, command: &str) -> Result<String, String> {
    let scratch = tempfile::tempdir().unwrap();
    let known = scratch.path().join("known_hosts");
    let lines: Vec<String> =
        machine.host_keys().unwrap().iter().map(|key| format!("{} {key}\n", machine.address())).collect();
    std::fs::write(&known, lines.concat()).unwrap();
    let output = Command::new("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "ConnectTimeout=2",
        ])
        .args(["-o", &format!("UserKnownHostsFile={}", known.display())])
        .arg("-i")
        .arg(KEYS.path().join("key"))
        .arg(format!("{user}@{}", machine.address()))
        .arg(command)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Makes an image of one layer, a static busybox, as an OCI layout tar.
pub fn busybox_image(scratch: &Path, name: &str) -> PathBuf {
    let layout = scratch.join("layout");
    let blobs = layout.join("blobs/sha256");
    let files = scratch.join("files");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::create_dir_all(files.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", files.join("bin/busybox")).expect("the package busybox-static is needed");
    let layer = scratch.join("layer.tar");
    run("tar", &["-C", path(&files), "-cf", path(&layer), "bin"]);
    let put = |bytes: &[u8]| {
        use sha2::Digest;
        let digest = hex::encode(sha2::Sha256::digest(bytes));
        std::fs::write(blobs.join(&digest), bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    let (layer, layer_size) = put(&std::fs::read(layer).unwrap());
    let (config, config_size) = put(serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    })
    .to_string()
    .as_bytes());
    let (manifest, manifest_size) = put(
        serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size }],
        })
        .to_string()
        .as_bytes(),
    );
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size,
            "annotations": { "io.containerd.image.name": name },
        }],
    });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let tar = scratch.join("image.tar");
    run("tar", &["-C", path(&layout), "-cf", path(&tar), "."]);
    tar
}

/// Everything on the box that carries the network's tag or is in its folder.
pub fn left_behind(tag: &str, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |what: &str, list: String, word: &str| {
        found.extend(list.lines().filter(|line| line.contains(word)).map(|line| format!("{what}: {line}")));
    };
    look("mount", std::fs::read_to_string("/proc/self/mountinfo").unwrap(), path(folder));
    look("mount", std::fs::read_to_string("/proc/self/mountinfo").unwrap(), tag);
    look("interface", run("ip", &["-o", "link"]), tag);
    look("namespace", run("ip", &["netns", "list"]), tag);
    look("container", run("ls", &["/run/k0smotron-testbed/runc"]), tag);
    look("rule", run("iptables", &["-w", "-S"]), tag);
    look("rule", run("iptables", &["-w", "-t", "nat", "-S"]), tag);
    look("registry", run("ls", &["/run/k0smotron-testbed/networks"]), tag);
    let cgroups =
        Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "2", "-name", tag]).output().unwrap();
    look("cgroup", String::from_utf8_lossy(&cgroups.stdout).into_owned(), tag);
    if folder.exists() {
        found.push(format!("folder: {}", folder.display()));
    }
    found
}

/// Waits for the child's line `started <tag> <folder>`.
pub fn announced(child: &mut Child) -> (String, PathBuf) {
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((tag, folder)) = line.strip_prefix("started ").and_then(|rest| rest.split_once(' ')) {
            return (tag.to_owned(), folder.into());
        }
    }
    panic!("the child ended without starting a machine");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
