//! Log lines: one JSON object per line on standard error, or text for people.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::flags::{Flags, LogFormat};

/// The log level of the running process; clones are the same.
#[derive(Clone, Debug)]
pub struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    text: Arc<Mutex<String>>,
}

impl Level {
    /// As it was set last.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets it: a level or a filter per module, or a number as Kubernetes programs take it.
    pub fn set(&self, wanted: &str) -> anyhow::Result<()> {
        let text = wanted.parse::<i64>().map_or_else(|_| wanted.to_owned(), of_number);
        self.filter.reload(filter(&text)?).context("cannot change the log level")?;
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }
}

/// The level that a number means: above 0 debug, 5 and more trace.
pub fn of_number(number: i64) -> String {
    match number {
        5.. => "trace",
        1..5 => "debug",
        _ => "info",
    }
    .to_owned()
}

/// Libraries that log request bodies or keys stay at their warnings whatever the level. The client's own line for each
/// failed request is left out: whoever asked tells what failed, and for whom.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(format!(
        "{text},kube_client=warn,kube_client::client::builder=off,hyper=warn,rustls=warn,russh=warn,h2=warn,tower=warn"
    ))
    .with_context(|| format!("{text:?}: write a level or module=level,..."))
}

/// Starts logging.
pub fn start(flags: &Flags) -> anyhow::Result<Level> {
    let text = flags.log_filter();
    let (filter, handle) = reload::Layer::new(filter(&text).context("--log-level")?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    match flags.log_form() {
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_current_span(true).with_span_list(false))
            .try_init(),
        LogFormat::Text => registry.with(layer).try_init(),
    }
    .context("logging was started already")?;
    Ok(Level { filter: handle, text: Arc::new(Mutex::new(text)) })
}
