//! The processes of the managers: what they cost, how they are restarted, how one of them is killed again and again.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::bed::NAMESPACE;
use e2e::repo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use testbed::process::{Life, Process, Program};
use tokio::sync::oneshot;

use super::{Day, eventually, kubectl};

/// Replaces the pods of the managers and waits until they lead again and have looked at everything.
pub async fn restart_managers(day: &Day) -> Result<()> {
    kubectl(&day.kubeconfig(), &["delete", "pods", "-n", NAMESPACE, "--all", "--grace-period=5"]).await?;
    testbed::cluster_api::available(&day.bed.cluster, NAMESPACE).await?;
    // Leading, listing and looking at a handful of objects takes a second or two.
    tokio::time::sleep(Duration::from_secs(20)).await;
    Ok(())
}

/// What a manager's process has used up to now.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Which controllers it runs.
    pub mode: String,
    pub pid: i32,
    pub resident_kib: u64,
    pub cpu: Duration,
}

/// The costs of all managers that run in pods of the bed, by the table of processes.
pub fn costs() -> Result<Vec<Cost>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may end while it is looked at.
        found.extend(cost(pid, &entry.path()));
    }
    found.sort_by(|one: &Cost, other| one.mode.cmp(&other.mode));
    ensure!(!found.is_empty(), "no manager runs");
    Ok(found)
}

fn cost(pid: i32, folder: &Path) -> Option<Cost> {
    /// `sysconf(_SC_CLK_TCK)` of every Linux on amd64 and arm64.
    const TICK: Duration = Duration::from_millis(10);
    let command = fs::read_to_string(folder.join("cmdline")).ok()?;
    let mut words = command.split('\0');
    if words.next() != Some("/manager")
        || !fs::read_to_string(folder.join("cgroup")).ok()?.contains("k0smotron-testbed")
    {
        return None;
    }
    let mode = words.find_map(|word| word.strip_prefix("--enable-controller="))?.to_owned();
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The command's name is in parentheses and may contain anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u32 = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
    let resident_kib = resident.trim().trim_end_matches(" kB").parse().ok()?;
    Some(Cost { mode, pid, resident_kib, cpu: TICK * ticks })
}

/// The Deployment of the control planes' manager.
const DEPLOYMENT: &str = "k0smotron-controller-manager-control-plane";
/// A life of a manager that is hunted, from the moment at which it can act: long enough to act, too short to come to
/// rest. On a busy machine it may take longer than that to get there, so this counts from a fact, not from its start.
const LIFE: (u64, u64) = (0, 6_000);
/// Every so often it dies in its childhood.
const CHILDHOOD: (u64, u64) = (0, 1_000);
const DIES_YOUNG: u64 = 6;

/// The manager of control planes, killed (SIGKILL) at random moments and started again at once.
///
/// It is a process of the box instead of a pod, with the rights and arguments of the pod: the kubelet would start a
/// container that dies again and again only after minutes. It takes no lease, whose 15 s would be most of each life;
/// the next process starts when the former is gone.
pub struct Hunted {
    stop: oneshot::Sender<()>,
    hunt: std::thread::JoinHandle<Result<usize>>,
}

impl Hunted {
    pub async fn start(day: &Day) -> Result<Self> {
        let seed = match std::env::var("K0SMOTRON_SEED") {
            Ok(seed) => seed.parse().context("K0SMOTRON_SEED")?,
            Err(_) => drawn(),
        };
        day.say(&format!("the control planes' manager is hunted: K0SMOTRON_SEED={seed}"));
        scale(day, 0).await?;
        let dir = day.bed.cluster.dir();
        let kubeconfig = credentials(day).await?;
        let manager = repo::manager()?;
        let args = arguments(day).await?;
        let (stop, mut stopped) = oneshot::channel();
        let hunt = std::thread::spawn(move || {
            let mut chance = Chance(seed);
            for kills in 0.. {
                let health = free_address()?;
                let mut process = Program::new("hunted-manager", &manager, Life::WithUs)
                    .args(&args)
                    .args([format!("--health-probe-bind-address={health}")])
                    .env("KUBECONFIG", &kubeconfig)
                    .env("POD_NAMESPACE", NAMESPACE)
                    .start(&dir)?;
                let young = chance.next().is_multiple_of(DIES_YOUNG);
                let mut end = young.then(|| Instant::now() + chance.between(CHILDHOOD));
                while end.is_none_or(|end| Instant::now() < end) {
                    process.check()?;
                    if end.is_none() && is_ready(health) {
                        end = Some(Instant::now() + chance.between(LIFE));
                    }
                    if stopped.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
                        kill(&mut process);
                        return Ok(kills);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                kill(&mut process);
            }
            bail!("there are no more numbers")
        });
        Ok(Self { stop, hunt })
    }

    /// Ends the hunt and puts the pod back: how often the manager was killed.
    pub async fn stop(self, day: &Day) -> Result<usize> {
        // A hunt that failed has dropped its end.
        let _ = self.stop.send(());
        let kills = tokio::task::spawn_blocking(|| self.hunt.join()).await?;
        let kills = match kills {
            Ok(kills) => kills.context("the hunted manager")?,
            Err(_) => bail!("the hunt panicked"),
        };
        scale(day, 1).await?;
        testbed::cluster_api::available(&day.bed.cluster, NAMESPACE).await?;
        Ok(kills)
    }
}

/// SIGKILL, and it is gone when this returns.
fn kill(process: &mut Process) {
    process.stop(Duration::ZERO);
}

async fn scale(day: &Day, replicas: usize) -> Result<()> {
    let count = format!("--replicas={replicas}");
    kubectl(&day.kubeconfig(), &["scale", "deployment", "-n", NAMESPACE, DEPLOYMENT, &count]).await?;
    let pods: Api<Pod> = Api::namespaced(day.client.clone(), NAMESPACE);
    eventually("the manager's Deployment is scaled", || async {
        let all = pods.list(&ListParams::default()).await?;
        let ours = all
            .items
            .iter()
            .filter(|pod| pod.metadata.name.as_ref().is_some_and(|name| name.starts_with(DEPLOYMENT)));
        Ok(ours.count() == replicas)
    })
    .await
}

/// A kubeconfig with a token of the pod's ServiceAccount.
async fn credentials(day: &Day) -> Result<std::path::PathBuf> {
    let token =
        kubectl(&day.kubeconfig(), &["create", "token", "-n", NAMESPACE, DEPLOYMENT, "--duration=3h"])
            .await?;
    let mut file: Value = serde_json::from_str(&fs::read_to_string(day.kubeconfig())?)?;
    file["users"] = json!([{"name": "testbed", "user": {"token": token.trim()}}]);
    let path = day.bed.cluster.dir().join("hunted-manager.kubeconfig");
    fs::write(&path, file.to_string())?;
    Ok(path)
}

/// The arguments of the Deployment, but for leadership and what listens.
async fn arguments(day: &Day) -> Result<Vec<String>> {
    let text =
        kubectl(&day.kubeconfig(), &["get", "deployment", "-n", NAMESPACE, DEPLOYMENT, "-o", "json"]).await?;
    let deployment: Value = serde_json::from_str(&text)?;
    let args =
        deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().context("no arguments")?;
    let others = ["--leader-elect", "--health-probe-bind-address", "--diagnostics-address"];
    let kept = args
        .iter()
        .filter_map(Value::as_str)
        .filter(|arg| !others.iter().any(|other| arg.starts_with(other)));
    Ok(kept.chain(["--diagnostics-address=0"]).map(ToOwned::to_owned).collect())
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Whether the manager's caches are filled.
fn is_ready(health: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || {
        let mut stream = TcpStream::connect(health)?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer.contains(" 200 "))
    };
    ask().unwrap_or(false)
}

/// A number that nobody chose.
fn drawn() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() % 1_000_000
}

/// splitmix64: the same seed, the same moments.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.next() % (most - least))
    }
}
