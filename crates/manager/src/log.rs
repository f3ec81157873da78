//! Log lines: one JSON object per line on standard error, or text for people.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use anyhow::Context;

use crate::flags::{Flags, LogFormat};

/// Starts logging. Libraries that log request bodies or keys stay at their warnings whatever the level.
pub fn start(flags: &Flags) -> anyhow::Result<()> {
    let text = flags.log_filter();
    let filter = EnvFilter::try_new(format!(
        "{text},kube_client=warn,hyper=warn,rustls=warn,russh=warn,h2=warn,tower=warn"
    ))
    .with_context(|| format!("--log-level={text}: write a level or module=level,..."))?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    match flags.log_form() {
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_current_span(true).with_span_list(false))
            .try_init(),
        LogFormat::Text => registry.with(layer).try_init(),
    }
    .context("logging was started already")
}
