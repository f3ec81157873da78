//! Real etcd in place of pods: each runs the command of its pod, on the files that its volumes would hold, in a
//! mount namespace of its own. Needs root. What differs from a pod: all share the loopback device, so `0.0.0.0`
//! becomes an address of 127.0.0.0/8 per ordinal, and names stand in a hosts file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use testbed::tools::{self, Tool};

use crate::stage::{Stage, at_once, say};

/// A member that is Ready is asked again after this time; the kubelet would let pass more.
const PROBE_PERIOD: Duration = Duration::from_secs(2);
/// The networks of the clusters of this process: 127.N.0.0/16, and the next ones.
static NETWORK: AtomicU8 = AtomicU8::new(8);

/// The members of one cluster.
pub struct Etcds {
    pods: Api<Pod>,
    claims: Api<PersistentVolumeClaim>,
    secrets: Api<Secret>,
    maps: Api<ConfigMap>,
    network: u8,
    dir: PathBuf,
    cluster: String,
    running: HashMap<String, Running>,
    /// Members that this stage keeps from running, by pod name.
    pub held: Vec<String>,
}

struct Running {
    pod: String,
    child: Child,
    ready: Option<bool>,
    probed: Option<Instant>,
}

impl Drop for Etcds {
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

impl Etcds {
    pub fn of(stage: &Stage, cluster: &str) -> Result<Self> {
        let dir = stage.server.dir().join("etcds").join(stage.namespace());
        let network = NETWORK.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(&dir)?;
        let set = format!("kmc-{cluster}-etcd");
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        for ordinal in 0..7 {
            writeln!(hosts, "{} {set}-{ordinal}.{set}", address(network, ordinal))?;
        }
        fs::write(dir.join("hosts"), hosts)?;
        Ok(Self {
            pods: stage.api(),
            claims: stage.api(),
            secrets: stage.api(),
            maps: stage.api(),
            network,
            dir,
            cluster: cluster.to_owned(),
            running: HashMap::new(),
            held: Vec::new(),
        })
    }

    /// One look at the pods: starts, stops, and says who is Ready.
    pub async fn look(&mut self) -> Result<()> {
        let pods = self.pods.clone();
        let all = pods
            .list(&ListParams::default().labels(&format!("cluster={},component=etcd", self.cluster)))
            .await?;
        let uids: Vec<String> = all.iter().filter_map(ResourceExt::uid).collect();
        self.running.retain(|uid, running| {
            let stays = uids.contains(uid) && !self.held.contains(&running.pod);
            if !stays {
                let _ = running.child.kill();
                let _ = running.child.wait();
            }
            stays
        });
        for pod in all {
            let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
            if pod.metadata.deletion_timestamp.is_some() {
                self.stop(&uid);
                let _ = pods.delete(&name, &at_once(&pod)).await;
                continue;
            }
            if self.held.contains(&name) {
                say(&pods, &name, "etcd", &self.address(&name), false).await?;
                continue;
            }
            if !self.running.contains_key(&uid) {
                if let Some(child) = self.start(&pod, &name).await? {
                    self.running
                        .insert(uid.clone(), Running { pod: name.clone(), child, ready: None, probed: None });
                }
                continue;
            }
            let running = self.running.get_mut(&uid).context("just seen")?;
            if running.child.try_wait()?.is_some() {
                // The kubelet would start the container again.
                self.running.remove(&uid);
                continue;
            }
            let fresh = running.probed.is_some_and(|at| at.elapsed() < PROBE_PERIOD);
            if running.ready == Some(true) && fresh {
                continue;
            }
            let ready = self.healthy(&name).await;
            let ip = self.address(&name);
            let running = self.running.get_mut(&uid).context("just seen")?;
            running.probed = Some(Instant::now());
            if running.ready.replace(ready) != Some(ready) {
                say(&pods, &name, "etcd", &ip, ready).await?;
            }
        }
        Ok(())
    }

    pub fn logs(&self) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path().join("log")).unwrap_or_default();
            let last: Vec<_> = text.lines().rev().take(5).collect();
            let _ = write!(all, "\n{}: {last:#?}", entry.file_name().display());
        }
        all
    }

    fn stop(&mut self, uid: &str) {
        if let Some(mut running) = self.running.remove(uid) {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Starts the pod's own command, once its volumes can be filled.
    async fn start(&self, pod: &Pod, name: &str) -> Result<Option<Child>> {
        let Some(claim) = self.claims.get_opt(&format!("etcd-data-{name}")).await? else { return Ok(None) };
        if claim.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let data = self.dir.join("data").join(claim.uid().unwrap_or_default());
        fs::create_dir_all(&data)?;
        let home = self.dir.join(format!("{name}-{}", pod.uid().unwrap_or_default()));
        for below in ["pki", "members"] {
            fs::create_dir_all(home.join(below))?;
        }
        let one = &self.cluster;
        for (secret, key, file) in [
            (format!("{one}-etcd"), "tls.crt", "ca.crt"),
            (format!("{one}-etcd-server"), "tls.crt", "server.crt"),
            (format!("{one}-etcd-server"), "tls.key", "server.key"),
            (format!("{one}-etcd-peer"), "tls.crt", "peer.crt"),
            (format!("{one}-etcd-peer"), "tls.key", "peer.key"),
        ] {
            let Some(secret) = self.secrets.get_opt(&secret).await? else { return Ok(None) };
            fs::write(home.join("pki").join(file), &secret.data.context("an empty Secret")?[key].0)?;
        }
        for (key, text) in self
            .maps
            .get_opt(&format!("kmc-{one}-etcd-members"))
            .await?
            .and_then(|map| map.data)
            .unwrap_or_default()
        {
            fs::write(home.join("members").join(key), text)?;
        }
        let container = &pod.spec.as_ref().context("a pod without a spec")?.containers[0];
        let ip = self.address(name);
        let command: Vec<String> = container
            .command
            .iter()
            .flatten()
            .map(|word| word.replace("//0.0.0.0:", &format!("//{ip}:")))
            .collect();
        let set = format!("kmc-{one}-etcd");
        let log = fs::File::options().create(true).append(true).open(home.join("log"))?;
        let child = self
            .inside(&home.join("pki"), &home.join("members"), &data)?
            .args(command)
            .env("POD_NAME", name)
            .env("PEERS", set)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Some(child))
    }

    /// A command in a mount namespace with a pod's directories.
    fn inside(&self, pki: &Path, members: &Path, data: &Path) -> Result<Command> {
        let etcd = tools::path(Tool::Etcd)?;
        let tools = etcd.parent().context("etcd is in no directory")?;
        let script = "mount --bind \"$HOSTS\" /etc/hosts; mount -t tmpfs none /var/lib; mount -t tmpfs none /mnt; \
            mkdir -p /var/lib/k0s/etcd /var/lib/k0s/pki/etcd; \
            mount --bind \"$DATA\" /var/lib/k0s/etcd; mount --bind \"$PKI\" /var/lib/k0s/pki/etcd; \
            mkdir -p /mnt/upper/k0smotron /mnt/work; cp -r \"$MEMBERS\" /mnt/upper/k0smotron/etcd; \
            mount -t tmpfs none /srv; mkdir /srv/etc; cp -a /etc/hosts /etc/passwd /etc/nsswitch.conf /srv/etc/; cp -r /mnt/upper/k0smotron /srv/etc/; \
            mount --bind /srv/etc /etc; exec \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-ec", script, "pod"])
            .env("HOSTS", self.dir.join("hosts"))
            .env("DATA", data)
            .env("PKI", pki)
            .env("MEMBERS", members)
            .env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null());
        Ok(command)
    }

    async fn healthy(&self, name: &str) -> bool {
        self.ctl(name, &["endpoint", "health", "--command-timeout=2s"]).await.is_ok()
    }

    fn address(&self, pod: &str) -> String {
        address(self.network, ordinal(pod))
    }

    /// etcdctl against one member.
    pub async fn ctl(&self, name: &str, args: &[&str]) -> Result<String> {
        let uid = self
            .running
            .iter()
            .find(|(_, running)| running.pod == name)
            .map(|(uid, _)| uid)
            .context("it does not run")?;
        let home = self.dir.join(format!("{name}-{uid}"));
        let set = format!("kmc-{}-etcd", self.cluster);
        let empty = self.dir.join("empty");
        fs::create_dir_all(&empty)?;
        let pki = home.join("pki");
        let mut command = self.inside(&pki, &home.join("members"), &empty)?;
        command
            .args(["etcdctl", &format!("--endpoints=https://{name}.{set}:2379")])
            .arg("--cacert=/var/lib/k0s/pki/etcd/ca.crt")
            .args(["--cert=/var/lib/k0s/pki/etcd/server.crt", "--key=/var/lib/k0s/pki/etcd/server.key"])
            .args(args);
        let output = tokio::process::Command::from(command).kill_on_drop(true).output().await?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Looks at the pods for a while, until the condition holds.
    pub async fn until<F: Future<Output = Result<bool>>>(
        &mut self,
        what: &str,
        holds: impl Fn() -> F,
    ) -> Result<()> {
        let start = Instant::now();
        while !holds().await? {
            self.look().await?;
            if start.elapsed() > Duration::from_mins(1) {
                anyhow::bail!("never: {what}; {}", self.logs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn ordinal(pod: &str) -> u8 {
    pod.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or_default()
}

fn address(network: u8, ordinal: u8) -> String {
    format!("127.{network}.{}.{}", std::process::id() % 250, 100 + ordinal)
}
