//! The running process: client, health, lease, controllers, and an orderly end.

use std::process;

use anyhow::Context as _;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use reconcile::{Context, LeaseOptions, Metrics, Scope};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use workload::Children;

use crate::core_api::CoreApi;
use crate::diagnostics;
use crate::flags::Flags;
use crate::mode::Mode;
use crate::{gates, log};

/// Enough for what waits (watches, SSH); decisions take microseconds.
const WORKER_THREADS: usize = 2;

/// Runs until a signal or the loss of the lease.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    log::start(flags)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed already"))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    runtime.block_on(serve(flags))
}

async fn serve(flags: &Flags) -> anyhow::Result<()> {
    let (_, warning) = gates::parse(&flags.feature_gates);
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    let stop = CancellationToken::new();
    let metrics = Metrics::new();
    let client = reconcile::client(config(flags).await?, &metrics)?;
    let namespaces = flags.namespaces();
    let scope = Scope { namespaces: namespaces.clone(), watch_filter: flags.filter() };
    let context = Context::new(client, scope, metrics, stop.clone(), flags.shutdown_grace);

    reconcile::serve_health(&context, flags.health_probe_bind_address).await?;
    diagnostics::serve(&context, flags.diagnostics()?).await?;
    tokio::spawn(stop_on_signal(stop.clone()));

    let leadership = if flags.leader_elect {
        let lease = lease(flags, &namespaces)?;
        // Without the lease another process may act: nothing of this one may be written any more.
        let lost = || {
            tracing::error!("lost the lease");
            process::exit(1);
        };
        match stop.run_until_cancelled(reconcile::lead(&context, &lease, lost)).await {
            Some(leadership) => Some(leadership?),
            None => return Ok(()),
        }
    } else {
        None
    };

    start(&context, flags).await;
    stop.cancelled().await;
    tracing::info!("stopping");
    context.ended().await;
    if let Some(leadership) = leadership {
        leadership.release().await;
    }
    Ok(())
}

/// Starts the controllers of the mode: those that need Cluster API once it is there.
async fn start(context: &Context, flags: &Flags) {
    let core = CoreApi::watch(context);
    context.synced().await;
    let mode = flags.enable_controller;
    let present = core.present();
    if present {
        context.watch_clusters();
    }
    let children = Children::new(context, in_a_pod());
    if mode.hosted() {
        start_hosted(context, flags, &children);
    }
    if mode == Mode::Standalone {
        return;
    }
    if present {
        start_with_core(context, flags, &children);
        return;
    }
    tracing::warn!(
        "waiting for Cluster API: clusters.cluster.x-k8s.io with version v1beta2 is not installed"
    );
    let (later, flags) = (context.clone(), flags.clone());
    context.spawn(async move {
        let stop = later.stop().clone();
        if stop.run_until_cancelled(core.appeared()).await.is_some() {
            tracing::info!("Cluster API appeared");
            later.watch_clusters();
            start_with_core(&later, &flags, &children);
        }
    });
}

fn start_hosted(context: &Context, flags: &Flags, children: &Children) {
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
}

fn start_with_core(context: &Context, flags: &Flags, children: &Children) {
    use k0s_bootstrap::{node_link, worker};
    let mode = flags.enable_controller;
    let concurrency = usize::from(flags.concurrency);
    if mode.control_plane() {
        context.spawn(k0smotron_control_plane::control_plane::run(context.clone(), concurrency));
    }
    if mode.bootstrap() {
        let bootstrap_script = flags.bootstrap_script;
        let options = worker::Options { children: children.clone(), concurrency, bootstrap_script };
        context.spawn(worker::run(context.clone(), options));
    }
    // Both modes may link nodes at once without harm; one process does it once.
    if mode.bootstrap() || mode.infrastructure() {
        let options = node_link::Options { children: children.clone(), concurrency };
        context.spawn(node_link::run(context.clone(), options));
    }
    if mode.infrastructure() {
        let options =
            remote_machine::machine::Options { concurrency, hosts: usize::from(flags.remote_concurrency) };
        context.spawn(remote_machine::machine::run(context.clone(), options));
        context.spawn(remote_machine::cluster::run(
            context.clone(),
            remote_machine::cluster::Options { concurrency },
        ));
    }
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
    let derived = || flags.enable_controller.lease(&flags.filter().unwrap_or_default(), namespaces);
    let namespace = flags.leader_election_namespace.clone().or_else(own_namespace);
    Ok(LeaseOptions {
        name: flags.leader_election_id.clone().unwrap_or_else(derived),
        namespace: namespace.context("--leader-elect outside a pod needs --leader-election-namespace")?,
        identity: identity(),
        duration: flags.leader_elect_lease_duration,
        renew_deadline: flags.leader_elect_renew_deadline,
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

async fn stop_on_signal(stop: CancellationToken) {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        },
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "cannot listen for signals");
            return;
        }
    }
    stop.cancel();
}
