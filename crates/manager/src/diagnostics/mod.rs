//! Metrics and what a person asks of a running process (packaging-and-api 2.4, P-26, P-27).
//!
//! Over TLS to whoever the API server says may read the path: `/metrics`, `/debug/tasks` (passes under way) and
//! `/debug/flags/v` (the log level; PUT another). In plain text, if asked for: `/metrics` alone.
//!
//! There is no `/debug/pprof/`: a profile of the processor needs a signal handler that walks stacks, one of memory an
//! allocator that keeps records, and neither is in this program. `perf record -p` sees it from outside.

mod debug;
mod permit;
pub mod tls;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::{HeaderMap, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;
use reconcile::{Context, Metrics};
use tokio::net::TcpListener;

use crate::log::Level;
use permit::Permits;
use tls::{Terms, TlsListener};

/// Where and how diagnostics are served.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub address: SocketAddr,
    /// In plain text, without asking who reads it.
    pub plain: bool,
    /// What TLS must be.
    pub tls: Terms,
}

/// Serves until the process ends; no options serve nothing.
pub async fn serve(context: &Context, options: Option<Options>, level: Level) -> anyhow::Result<()> {
    let Some(Options { address, plain, tls }) = options else { return Ok(()) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let router = metrics(context.metrics().clone());
    // Not tasks of the context: an idle connection must not hold up the end of the process.
    if plain {
        tokio::spawn(async move { ended(axum::serve(listener, router).await) });
        return Ok(());
    }
    let listener = TlsListener::new(listener, tls.config()?);
    let permits = Permits::new(context.client().clone());
    let router = router
        .merge(debug::router(context.metrics().clone(), level))
        .layer(middleware::from_fn_with_state(permits, permit::permitted));
    tokio::spawn(async move { ended(axum::serve(listener, router).await) });
    Ok(())
}

fn ended(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the diagnostics server ended");
    }
}

/// Text format 0.0.4; OpenMetrics for who asks for it.
fn metrics(metrics: Metrics) -> Router {
    let answer = move |headers: HeaderMap| async move {
        let open = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accept| accept.contains("application/openmetrics-text"));
        let (form, text) = if open {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", metrics.open_metrics())
        } else {
            ("text/plain; version=0.0.4; charset=utf-8", metrics.text())
        };
        ([(header::CONTENT_TYPE, form)], text).into_response()
    };
    Router::new().route("/metrics", get(answer))
}
