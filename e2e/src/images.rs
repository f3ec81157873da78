//! The images that pods of the bed run, made by hand and imported.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use testbed::Cluster;
use testbed::image::ImageBuilder;
use testbed::tools::{self, Tool};

use crate::k0s::K0s;
use crate::{run, stand_in};

/// The manager's image.
pub const MANAGER: &str = "docker.io/k0s/k0smotron:e2e";
/// The default etcd image of hosted control planes.
const ETCD: &str = "quay.io/k0sproject/etcd:v3.7.1";
/// The default k0s image of hosted control planes, without its tag.
const K0S: &str = "quay.io/k0sproject/k0s";

/// The manager's image from its program.
pub fn manager(program: &Path) -> Result<PathBuf> {
    ImageBuilder::new(MANAGER)
        .program(program, "/manager")
        .directory("/tmp", 0o1777)
        .entrypoint(["/manager"])
        .user("65532:65532")
        .build_cached()
}

/// The name of the image that hosted control planes of a version run.
pub fn k0s_name(version: &str) -> String {
    format!("{K0S}:{}", version.replace("+k0s", "-k0s"))
}

/// Gives a bed the image that hosted control planes of a version run: the archive that came with the program
/// (`K0S_IMAGE`), else one that is made from the program.
pub fn import_k0s(cluster: &Cluster, k0s: &K0s) -> Result<()> {
    let Some(archive) = &k0s.image else { return cluster.import(&self::k0s(k0s)?) };
    let before = cluster.images()?;
    cluster.import(archive).with_context(|| format!("K0S_IMAGE={}", archive.display()))?;
    let wanted = k0s_name(&k0s.version);
    let after = cluster.images()?;
    let new: Vec<_> =
        after.iter().filter(|name| !before.contains(name) && !name.starts_with("sha256:")).collect();
    match new[..] {
        // Whoever saved it may have called it otherwise (docker.io/k0sproject/k0s, a mirror).
        [name] if *name != wanted => cluster.tag(name, &wanted),
        _ if after.contains(&wanted) => Ok(()),
        _ => bail!("K0S_IMAGE={} holds {new:?}; wanted is one image, {wanted}", archive.display()),
    }
}

/// The image that hosted control planes of a version run, from its program.
pub fn k0s(k0s: &K0s) -> Result<PathBuf> {
    /// The users that genuine k0s runs its components as.
    const USERS: [(&str, &str); 4] = [
        ("etcd", "101"),
        ("kube-apiserver", "102"),
        ("kube-scheduler", "103"),
        ("konnectivity-server", "104"),
    ];
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
    let mut group = "root:x:0:\n".to_owned();
    for (name, id) in USERS {
        passwd.push_str(&[name, ":x:", id, ":", id, "::/:/sbin/nologin\n"].concat());
        group.push_str(&[name, ":x:", id, ":\n"].concat());
    }
    let mut image = with_busybox(&k0s_name(&k0s.version))?
        .text("/etc/passwd", &passwd, 0o644)
        .text("/etc/group", &group, 0o644)
        // The genuine image's entrypoint runs what it is given.
        .text("/entrypoint.sh", "#!/bin/sh\nexec \"$@\"\n", 0o755)
        .entrypoint(["/bin/sh", "/entrypoint.sh"])
        .command(["k0s", "controller", "--enable-worker"])
        .directory("/run", 0o755)
        .directory("/var/lib/k0s", 0o755)
        .directory("/etc/k0s", 0o755);
    match &k0s.bundle {
        None => image = image.file(&k0s.binary, "/usr/local/bin/k0s", 0o755),
        Some(bundle) => {
            for (source, target) in stand_in::pod_files(bundle)? {
                image = image.file(&source, &target, 0o755);
            }
        }
    }
    image.build_cached()
}

/// The image of etcd pods: a shell, etcd, etcdctl.
pub fn etcd() -> Result<PathBuf> {
    with_busybox(ETCD)?
        .file(&tools::path(Tool::Etcd)?, "/usr/local/bin/etcd", 0o755)
        .file(&tools::path(Tool::Etcdctl)?, "/usr/local/bin/etcdctl", 0o755)
        .build_cached()
}

fn with_busybox(name: &str) -> Result<ImageBuilder> {
    let program = Path::new("/bin/busybox");
    let mut image = ImageBuilder::new(name).file(program, "/bin/busybox", 0o755);
    for applet in run::output("busybox", &["--list"])?.lines().filter(|applet| *applet != "busybox") {
        image = image.symlink("/bin/busybox", &format!("/bin/{applet}"));
    }
    Ok(image.directory("/tmp", 0o1777).text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644))
}
