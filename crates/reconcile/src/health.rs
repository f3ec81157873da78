//! `/healthz` and `/readyz` (packaging-and-api 2.4, P-18).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::clock;
use crate::context::Context;

/// A heartbeat older than this means that the process loop is stuck.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Whether the process has come as far as it must: its caches were filled once, or it stands by for another one.
/// It never goes back: a kind that comes later, or an API server that is away, takes nobody out of service.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// It has.
    pub fn yes(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Serves `/healthz` and `/readyz` over plain HTTP until the process ends.
pub async fn serve_health(context: &Context, address: SocketAddr, ready: Ready) -> anyhow::Result<()> {
    let beat = Beat::new(clock::instant());
    context.spawn(beat.clone().keep(context.clone()));
    let healthz = move |RawQuery(query): RawQuery| async move {
        answer(&[("ping", beat.alive())], wants_all(query.as_deref()))
    };
    let readyz = move |RawQuery(query): RawQuery| async move {
        let filled = ready.0.load(Ordering::Relaxed);
        answer(&[("ping", true), ("caches", filled)], wants_all(query.as_deref()))
    };
    let router = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    // Not a task of the context: an idle connection must not hold up the end of the process.
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%address, %error, "the health server ended");
        }
    });
    Ok(())
}

fn wants_all(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")))
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
