//! Leadership: one lease per mode; who loses it ends the process at once (packaging-and-api 2.5).

use std::time::Duration;

use anyhow::Context as _;
use kube_lease_manager::LeaseManagerBuilder;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// Times and names of the lease.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Name of the Lease.
    pub name: String,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Who we are; unique among the replicas.
    pub identity: String,
    /// How long the lease holds after its last renewal.
    pub duration: Duration,
    /// How long renewing is tried before leadership counts as lost.
    pub renew_deadline: Duration,
}

/// A lease that is held; dropping it stops the watch on it.
#[derive(Debug)]
pub struct Leadership {
    release: CancellationToken,
    released: tokio::task::JoinHandle<()>,
}

impl Leadership {
    /// Gives the lease back, so that the next process leads at once.
    pub async fn release(self) {
        self.release.cancel();
        let _ = self.released.await;
    }
}

/// Waits until this process leads; `lost` is called if it no longer does.
pub async fn lead(
    context: &Context,
    options: &LeaseOptions,
    lost: impl FnOnce() + Send + 'static,
) -> anyhow::Result<Leadership> {
    let duration = options.duration.as_secs().max(2);
    let grace = options.duration.saturating_sub(options.renew_deadline).as_secs().clamp(1, duration - 1);
    let manager = LeaseManagerBuilder::new(context.client().clone(), &options.name)
        .with_namespace(&options.namespace)
        .with_identity(&options.identity)
        .with_duration(duration)
        .with_grace(grace)
        .build()
        .await
        .with_context(|| format!("cannot use lease {}/{}", options.namespace, options.name))?;
    context.metrics().leading(&options.name, false);
    let (mut leads, task) = manager.watch().await;
    leads.wait_for(|leads| *leads).await.context("the watch on the lease ended")?;
    context.metrics().leading(&options.name, true);
    tracing::info!(lease = options.name, namespace = options.namespace, "leading");

    let release = CancellationToken::new();
    let released = tokio::spawn({
        let (release, metrics, name) = (release.clone(), context.metrics().clone(), options.name.clone());
        async move {
            let held = async { while leads.changed().await.is_ok() && *leads.borrow() {} };
            if release.run_until_cancelled(held).await.is_some() {
                metrics.leading(&name, false);
                lost();
                return;
            }
            // Dropping the receiver ends the watch, which releases the lease.
            drop(leads);
            match task.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot release the lease"),
                Err(error) => tracing::warn!(%error, "cannot release the lease"),
            }
        }
    });
    Ok(Leadership { release, released })
}
