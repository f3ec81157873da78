//! A host of our own: a genuine sshd in namespaces, with its own /etc, /run, /var and processes, on a free port of the
//! loopback address. Needs root. It is gone when dropped.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub mod cable;

/// Mounts that make the host its own, then sshd as its first process.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mkdir "$DIR/etc"; cp -a /etc/. "$DIR/etc/"; mount --bind "$DIR/etc" /etc
for d in /run /var/lib /var/tmp /opt /root /usr/local; do mount -t tmpfs host "$d"; done
mkdir -p /run/sshd /usr/local/bin
rm -f /etc/nologin
exec /usr/sbin/sshd -D -e -f "$DIR/sshd_config" 2>> "$DIR/sshd.log"
"#;

/// A host.
pub struct Host {
    dir: TempDir,
    unshare: Child,
    first: u32,
    pub port: u16,
}

fn done(output: &Output, what: &str) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn install(program: &str, package: &str) {
    if !Path::new(program).exists() {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "--no-install-recommends", package])
            .env("DEBIAN_FRONTEND", "noninteractive");
        done(&apt.output().expect("apt-get"), package);
    }
}

impl Host {
    /// Starts a host that root may enter with [`Host::key`].
    pub fn start() -> Self {
        install("/usr/sbin/sshd", "openssh-server");
        let dir = tempfile::Builder::new().prefix("remote-host-").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, kind) in [("host", "ed25519"), ("user", "ed25519")] {
            keygen(&at(name), &["-t", kind]);
        }
        fs::copy(at("user.pub"), at("authorized_keys")).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized_keys\nStrictModes no\n\
             PermitRootLogin prohibit-password\nUsePAM no\nPidFile none\nMaxStartups 100\n",
            dir.path().display()
        );
        fs::write(at("sshd_config"), config).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", BOOT]);
        unshare.env("DIR", dir.path()).stdin(Stdio::null());
        let log = fs::File::create(at("boot.log")).unwrap();
        unshare.stdout(log.try_clone().unwrap()).stderr(log);
        let mut host = Self { dir, unshare: unshare.spawn().expect("unshare"), first: 0, port };
        host.wait();
        host
    }

    fn wait(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        let children = format!("/proc/{0}/task/{0}/children", self.unshare.id());
        while Instant::now() < until {
            if let Some(first) = fs::read_to_string(&children).ok().and_then(|text| text.trim().parse().ok())
            {
                self.first = first;
                if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no sshd: {}{}", self.read_log("boot.log"), self.read_log("sshd.log"));
    }

    fn read_log(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Runs a shell command on the host; its output.
    pub fn sh(&self, command: &str) -> String {
        let first = self.first.to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["-t", &first, "--mount", "--pid", "sh", "-c", command]);
        done(&enter.output().unwrap(), command)
    }

    /// Whether a shell command succeeds on the host.
    pub fn test(&self, command: &str) -> bool {
        self.sh(&format!("if {command}; then echo yes; else echo no; fi")).trim() == "yes"
    }

    /// A program on the host.
    pub fn program(&self, path: &str, text: &str) {
        let source = self.dir.path().join("program");
        fs::write(&source, text).unwrap();
        self.sh(&format!("mkdir -p $(dirname {path}) && cp {} {path} && chmod 755 {path}", source.display()));
    }

    /// The private key of root.
    pub fn key(&self) -> String {
        fs::read_to_string(self.dir.path().join("user")).unwrap()
    }

    /// Makes a key pair, lets it in, and gives its private half.
    pub fn new_key(&self, args: &[&str]) -> String {
        let path = self.dir.path().join(format!("key-{}", args.join("").replace('/', "")));
        keygen(&path, args);
        let mut all = fs::read_to_string(self.dir.path().join("authorized_keys")).unwrap();
        all.push_str(&fs::read_to_string(path.with_extension("pub")).unwrap());
        fs::write(self.dir.path().join("authorized_keys"), all).unwrap();
        fs::read_to_string(path).unwrap()
    }

    /// The public line of the host's key.
    pub fn host_key_line(&self) -> String {
        fs::read_to_string(self.dir.path().join("host.pub")).unwrap()
    }

    /// The host gets another key, as after a reinstallation.
    pub fn change_host_key(&self) {
        for name in ["host", "host.pub"] {
            fs::remove_file(self.dir.path().join(name)).unwrap();
        }
        keygen(&self.dir.path().join("host"), &["-t", "ed25519"]);
        // sshd reads its keys again on SIGHUP; as the first process of its namespace it must be told from outside.
        done(&Command::new("kill").args(["-HUP", &self.first.to_string()]).output().unwrap(), "kill -HUP");
        std::thread::sleep(Duration::from_millis(500));
    }

    /// A user who is not root and may log in with root's key; with sudo or not.
    pub fn add_user(&self, name: &str, sudo: bool) {
        install("/usr/bin/sudo", "sudo");
        self.sh(&format!("useradd -M -d /var/tmp -s /bin/sh {name} && usermod -p '*' {name}"));
        if sudo {
            self.sh(&format!("mkdir -p /etc/sudoers.d && echo '{name} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{name} && chmod 440 /etc/sudoers.d/{name}"));
        }
    }

    /// A stand-in for k0s that installs a SysV service, keeps data, and takes both away on reset.
    pub fn add_k0s(&self) {
        self.program("/usr/local/bin/k0s", K0S);
    }
}

/// The least that the clean-up asks of k0s.
const K0S: &str = r#"#!/bin/sh
set -e
data=/var/lib/k0s
case "$1" in
install)
  [ ! -e /etc/init.d/k0sworker ] || { echo "Error: failed to install service: Init already exists" >&2; exit 1; }
  mkdir -p $data /etc/init.d
  printf '#!/bin/sh\n[ "$1" != stop ] || { kill $(cat /run/k0s.pid) 2>/dev/null; rm -f /run/k0s.pid; }\n' > /etc/init.d/k0sworker
  chmod 755 /etc/init.d/k0sworker
  echo installed >> /var/lib/k0s/installs ;;
start)
  cp /bin/sleep /run/k0s; /run/k0s 1000 < /dev/null > /dev/null 2>&1 & echo $! > /run/k0s.pid ;;
reset)
  [ ! -e /run/reset-fails ] || { echo "Error: token abcdef.0123456789abcdef in use" >&2; exit 1; }
  shift; echo "$@" > /var/tmp/reset-args
  [ ! -e /run/k0s.pid ] || { echo "Error: k0s is running" >&2; exit 1; }
  rm -rf $data /etc/init.d/k0sworker /run/k0s ;;
esac
"#;

impl Drop for Host {
    fn drop(&mut self) {
        // Killing the namespace's first process takes everything in it along; the mounts go with them.
        let _ = Command::new("kill").args(["-KILL", &self.first.to_string()]).output();
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

fn keygen(path: &Path, args: &[&str]) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-C", "test", "-f"]).arg(path).args(args);
    if !args.contains(&"-N") {
        keygen.args(["-N", ""]);
    }
    done(&keygen.output().unwrap(), "ssh-keygen");
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "waited for: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
