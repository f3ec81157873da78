//! The running process: client, health, lease, controllers, and an orderly end.

use std::process;
use std::time::Duration;

use anyhow::Context as _;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use prometheus_client::metrics::gauge::Gauge;
use reconcile::{Context, Election, Fence, LeaseOptions, Metrics, Ready, Scope};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use workload::Children;

use crate::core_api::CoreApi;
use crate::flags::Flags;
use crate::log::Level;
use crate::mode::Mode;
use crate::{about, diagnostics, gates, log};

/// Enough for what waits (watches, SSH); decisions take microseconds.
const WORKER_THREADS: usize = 2;
/// For what was told to end with the passes: far more than it takes, and with the release of the lease still within
/// the pod's grace period of 10 s.
const LATE: Duration = Duration::from_secs(1);

/// Runs until a signal or the loss of the lease.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    let level = log::start(flags)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed already"))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    let result = runtime.block_on(serve(flags, level));
    // What is left answers probes and scrapes; nobody waits for it.
    runtime.shutdown_background();
    result
}

async fn serve(flags: &Flags, level: Level) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let (gates, warning) = gates::parse(&flags.gates(std::env::var("K0SMOTRON_FEATURE_GATES").ok()));
    for warning in warning.as_deref().into_iter().chain(flags.deprecated()) {
        tracing::warn!("{warning}");
    }
    let metrics = Metrics::new();
    let core_present = about::register(&metrics, &gates);
    let fence = Fence::default();
    let client = reconcile::client(config(flags).await?, &metrics, &fence)?;
    let namespaces = flags.namespaces();
    let scope = Scope { namespaces: namespaces.clone(), watch_filter: flags.filter() };
    let context = Context::new(client, scope, metrics, stop.clone(), flags.shutdown_grace);

    let ready = Ready::default();
    reconcile::serve_health(&context, flags.health_probe_bind_address, ready.clone()).await?;
    diagnostics::serve(&context, flags.diagnostics()?, level).await?;

    let election = if flags.leader_elect {
        let options = lease(flags, &namespaces)?;
        // Without the lease another process may act: nothing of this one may be written any more.
        Some(Election::stand(&context, options, fence, || process::exit(1)))
    } else {
        None
    };
    let work = async {
        if let Some(election) = &election {
            election.stands_by().await;
            ready.yes();
            election.won().await;
        }
        start(&context, flags, &core_present).await;
        ready.yes();
        std::future::pending::<()>().await;
    };
    stop.run_until_cancelled(work).await;
    tracing::info!("stopping");
    // The driver itself gives up passes that take longer; what is later than that hangs.
    if tokio::time::timeout(flags.shutdown_grace + LATE, context.ended()).await.is_err() {
        tracing::warn!("something did not end in time; it ends with the process");
    }
    if let Some(election) = election {
        election.end().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Starts the controllers of the mode, and those that need Cluster API once it is there. Returns when the first make
/// passes.
async fn start(context: &Context, flags: &Flags, core_present: &Gauge) {
    let core = CoreApi::watch(context);
    context.synced().await;
    let mode = flags.enable_controller;
    let missing = core.missing();
    core_present.set(i64::from(missing.is_empty()));
    // Standalone has nothing to do with Cluster API, and no right to read it.
    let with_core = mode != Mode::Standalone;
    if with_core && missing.is_empty() {
        context.watch_clusters();
    }
    let children = Children::new(context, in_a_pod());
    let mut started = 0;
    if mode.hosted() {
        started += start_hosted(context, flags, &children);
    }
    if with_core && missing.is_empty() {
        started += start_with_core(context, flags, &children);
    } else {
        if with_core {
            tracing::warn!(
                missing = missing.join(", "),
                "waiting for Cluster API (version v1beta2): the kinds that need it start when it appears"
            );
        }
        let (later, flags, core_present) = (context.clone(), flags.clone(), core_present.clone());
        context.spawn(async move {
            let stop = later.stop().clone();
            if stop.run_until_cancelled(core.appeared()).await.is_none() {
                return;
            }
            core_present.set(1);
            if with_core {
                tracing::info!("Cluster API appeared");
                later.watch_clusters();
                start_with_core(&later, &flags, &children);
            }
        });
    }
    context.running(started).await;
}

/// Gives the number of controllers.
fn start_hosted(context: &Context, flags: &Flags, children: &Children) -> usize {
    use k0smotron_control_plane::{cluster, join_token_request};
    let concurrency = usize::from(flags.concurrency);
    let operator = cluster::Operator {
        cluster_domain: flags.cluster_domain.clone(),
        image_registry: Some(flags.image_registry.clone()).filter(|registry| !registry.is_empty()),
        ..cluster::Operator::default()
    };
    let options = cluster::Options { operator, children: children.clone(), concurrency };
    context.spawn(cluster::run(context.clone(), options));
    let cross_namespace_grants = flags.cross_namespace_grants == "required";
    let options =
        join_token_request::Options { children: children.clone(), concurrency, cross_namespace_grants };
    context.spawn(join_token_request::run(context.clone(), options));
    2
}

/// Gives the number of controllers.
fn start_with_core(context: &Context, flags: &Flags, children: &Children) -> usize {
    use k0s_bootstrap::{node_link, worker};
    let mode = flags.enable_controller;
    let concurrency = usize::from(flags.concurrency);
    let mut started = 0;
    if mode.control_plane() {
        started += 1;
        context.spawn(k0smotron_control_plane::control_plane::run(context.clone(), concurrency));
    }
    if mode.bootstrap() {
        started += 1;
        let bootstrap_script = flags.bootstrap_script;
        let options = worker::Options { children: children.clone(), concurrency, bootstrap_script };
        context.spawn(worker::run(context.clone(), options));
    }
    // Both modes may link nodes at once without harm; one process does it once.
    if mode.bootstrap() || mode.infrastructure() {
        started += 1;
        let options = node_link::Options { children: children.clone(), concurrency };
        context.spawn(node_link::run(context.clone(), options));
    }
    if mode.infrastructure() {
        started += 2;
        let options =
            remote_machine::machine::Options { concurrency, hosts: usize::from(flags.remote_concurrency) };
        context.spawn(remote_machine::machine::run(context.clone(), options));
        context.spawn(remote_machine::cluster::run(
            context.clone(),
            remote_machine::cluster::Options { concurrency },
        ));
    }
    started
}

/// Every pod has this variable; Services of the management cluster are reachable by name there only.
fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

async fn config(flags: &Flags) -> anyhow::Result<Config> {
    let Some(path) = &flags.kubeconfig else {
        return Config::infer().await.context("no --kubeconfig, and not running in a pod");
    };
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig={}", path.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("--kubeconfig={}", path.display()))
}

fn lease(flags: &Flags, namespaces: &[String]) -> anyhow::Result<LeaseOptions> {
    flags.lease_times()?;
    let derived = || flags.enable_controller.lease(&flags.filter().unwrap_or_default(), namespaces);
    let namespace = flags.leader_election_namespace.clone().or_else(own_namespace);
    Ok(LeaseOptions {
        name: flags.leader_election_id.clone().unwrap_or_else(derived),
        namespace: namespace.context("--leader-elect outside a pod needs --leader-election-namespace")?,
        identity: identity(),
        duration: flags.leader_elect_lease_duration,
        renew_deadline: flags.leader_elect_renew_deadline,
        retry_period: flags.leader_elect_retry_period,
    })
}

/// Unique among replicas and restarts: the pod's name with a number that is drawn at start.
fn identity() -> String {
    let name = std::env::var("POD_NAME").unwrap_or_else(|_| format!("process-{}", process::id()));
    format!("{name}_{:08x}", reconcile::clock::seed())
}

fn own_namespace() -> Option<String> {
    const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
    std::env::var("POD_NAMESPACE").ok().or_else(|| std::fs::read_to_string(MOUNTED).ok())
}

/// From now on: a signal during the start must not kill.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
