//! `/healthz`, `/readyz` and `/metrics` (packaging-and-api 2.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::clock;
use crate::context::Context;
use crate::metrics::Metrics;

/// A heartbeat older than this means that the process loop is stuck.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Serves `/healthz` and `/readyz` over plain HTTP until the context stops.
pub async fn serve_health(context: &Context, address: SocketAddr) -> anyhow::Result<()> {
    let beat = Beat::new(clock::instant());
    context.spawn(beat.clone().keep(context.clone()));
    let ready = context.clone();
    let router = Router::new()
        .route("/healthz", get(move || async move { answer(&[("ping", beat.alive())], false) }))
        .route(
            "/readyz",
            get(move |RawQuery(query): RawQuery| async move {
                let verbose = query.is_some_and(|query| query.contains("verbose"));
                answer(&[("ping", true), ("caches", ready.is_synced())], verbose)
            }),
        );
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let stop = context.stop().clone();
    context.spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%address, %error, "the health server ended");
        }
    });
    Ok(())
}

/// `/metrics` in the Prometheus text format; who may read it is the server's affair.
pub fn metrics_router(metrics: Metrics) -> Router {
    let answer = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
    };
    Router::new().route("/metrics", get(answer))
}

fn answer(checks: &[(&str, bool)], verbose: bool) -> impl IntoResponse + use<> {
    let good = checks.iter().all(|(_, good)| *good);
    let code = if good { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    if good && !verbose {
        return (code, "ok".to_owned());
    }
    let lines: Vec<String> = checks
        .iter()
        .map(|(name, good)| if *good { format!("[+]{name} ok") } else { format!("[-]{name} failed") })
        .collect();
    (code, lines.join("\n") + "\n")
}

#[derive(Clone)]
struct Beat {
    start: Instant,
    last_millis: Arc<AtomicU64>,
}

impl Beat {
    fn new(start: Instant) -> Self {
        Self { start, last_millis: Arc::default() }
    }

    fn millis(&self) -> u64 {
        u64::try_from(clock::instant().saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    async fn keep(self, context: Context) {
        let beating = async {
            loop {
                self.last_millis.store(self.millis(), Ordering::Relaxed);
                clock::sleep(HEARTBEAT).await;
            }
        };
        context.stop().run_until_cancelled(beating).await;
    }

    fn alive(&self) -> bool {
        self.millis().saturating_sub(self.last_millis.load(Ordering::Relaxed))
            < u64::try_from(HEARTBEAT_LIMIT.as_millis()).unwrap_or(u64::MAX)
    }
}
