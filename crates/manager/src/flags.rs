//! The flags of the process: released names, types and defaults are kept (packaging-and-api 2.2, P-10).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::gates::unquoted;
use crate::mode::Mode;

/// k0smotron: k0s control planes in pods and on machines, by Cluster API.
#[derive(Debug, Parser)]
#[command(name = "manager", version = env!("CARGO_PKG_VERSION"), disable_version_flag = true)]
pub struct CommandLine {
    /// What to print instead of running.
    #[command(subcommand)]
    pub print: Option<Print>,
    /// The flags.
    #[command(flatten)]
    pub flags: Flags,
}

/// What can be printed.
#[derive(Debug, Subcommand)]
pub enum Print {
    /// Prints the CustomResourceDefinitions of all kinds.
    Crds,
    /// Prints the components file of a bundle.
    Bundle {
        /// bootstrap, control-plane, infrastructure or standalone
        name: String,
        /// The image of the manager.
        #[arg(long, default_value = crate::bundle::PLACEHOLDER_IMAGE)]
        image: String,
    },
    /// Prints the version.
    Version,
}

/// Text of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// The flags of a running manager.
#[derive(Clone, Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub struct Flags {
    /// Address of /healthz and /readyz, plain HTTP.
    #[arg(long, default_value = ":8081", value_parser = address)]
    pub health_probe_bind_address: SocketAddr,
    /// Act only while holding the lease in the pod's namespace.
    #[arg(long, default_value = "false", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub leader_elect: bool,
    /// Name=bool,...; env K0SMOTRON_FEATURE_GATES, when non-empty, replaces it.
    #[arg(long, default_value = "")]
    pub feature_gates: String,
    /// Parallel passes per controller.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Which controllers run: empty or all, bootstrap, control-plane, infrastructure, standalone.
    #[arg(long, default_value = "", value_parser = Mode::parse)]
    pub enable_controller: Mode,
    /// Only objects labelled cluster.x-k8s.io/watch-filter=<value>.
    #[arg(long, default_value = "")]
    pub watch_filter: String,
    /// Only these namespaces (comma list); empty: all.
    #[arg(long, default_value = "")]
    pub namespace: String,
    /// Address of metrics; 0 turns them off.
    #[arg(long, default_value = ":8443")]
    pub diagnostics_address: String,
    /// Serve metrics over plain HTTP without authentication.
    #[arg(long, default_value = "false", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub insecure_diagnostics: bool,
    /// Deprecated: used when --diagnostics-address is absent or equals :8443.
    #[arg(long, default_value = ":8443", hide = true)]
    pub metrics_bind_address: String,
    /// Deprecated: used when --insecure-diagnostics is absent.
    #[arg(long, default_value = "true", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, hide = true)]
    pub metrics_secure: bool,
    /// Deprecated; accepted. Our servers speak HTTP/1.1.
    #[arg(long, default_value = "false", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, hide = true)]
    pub enable_http2: bool,
    /// Accepted, no effect.
    #[arg(long, default_value = "true", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set, hide = true)]
    pub zap_devel: bool,
    /// json or console: same as --log-format.
    #[arg(long, default_value = "", hide = true)]
    pub zap_encoder: String,
    /// debug, info, error, panic or a number (above 0: debug; 5 and more: trace).
    #[arg(long, default_value = "", hide = true)]
    pub zap_log_level: String,
    /// Accepted, no effect.
    #[arg(long, default_value = "", hide = true)]
    pub zap_stacktrace_level: String,
    /// Accepted, no effect.
    #[arg(long, default_value = "", hide = true)]
    pub zap_time_encoding: String,
    /// Kubeconfig of the management cluster; else in-cluster.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// Form of log lines.
    #[arg(long, env = "K0SMOTRON_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// Level, or a filter per module (info,reconcile=debug).
    #[arg(long, env = "K0SMOTRON_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Name of the lease; derived from the mode, filter and namespaces.
    #[arg(long, env = "K0SMOTRON_LEADER_ELECTION_ID")]
    pub leader_election_id: Option<String>,
    /// Namespace of the lease; the pod's.
    #[arg(long, env = "K0SMOTRON_LEADER_ELECTION_NAMESPACE")]
    pub leader_election_namespace: Option<String>,
    /// How long the lease holds after its last renewal.
    #[arg(long, env = "K0SMOTRON_LEADER_ELECT_LEASE_DURATION", default_value = "15s", value_parser = go_duration)]
    pub leader_elect_lease_duration: Duration,
    /// How long renewing is tried before leadership counts as lost.
    #[arg(long, env = "K0SMOTRON_LEADER_ELECT_RENEW_DEADLINE", default_value = "10s", value_parser = go_duration)]
    pub leader_elect_renew_deadline: Duration,
    /// How long passes under way may run on after SIGTERM; must stay below the pod's grace period.
    #[arg(long, env = "K0SMOTRON_SHUTDOWN_GRACE", default_value = "3s", value_parser = go_duration)]
    pub shutdown_grace: Duration,
    /// Registry that replaces those of default images, for new objects.
    #[arg(long, env = "K0SMOTRON_IMAGE_REGISTRY", default_value = "")]
    pub image_registry: String,
    /// DNS domain of the management cluster.
    #[arg(long, env = "K0SMOTRON_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// required: a reference into another namespace needs a grant by its owner; off: it does not.
    #[arg(long, env = "K0SMOTRON_CROSS_NAMESPACE_GRANTS", default_value = "required", value_parser = ["required", "off"])]
    pub cross_namespace_grants: String,
    /// Put the commands of bootstrap data into one script that stops at a failure and is safe to run again.
    #[arg(long, env = "K0SMOTRON_BOOTSTRAP_SCRIPT", default_value = "true", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    pub bootstrap_script: bool,
    /// Most SSH runs at once.
    #[arg(long, env = "K0SMOTRON_REMOTE_CONCURRENCY", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub remote_concurrency: u16,
}

impl Flags {
    /// The namespaces, none meaning all.
    pub fn namespaces(&self) -> Vec<String> {
        self.namespace
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    }

    /// The value of `--watch-filter`, if there is one.
    pub fn filter(&self) -> Option<String> {
        Some(unquoted(&self.watch_filter).to_owned()).filter(|value| !value.is_empty())
    }

    /// Where metrics are served, if anywhere, and whether in plain text without authentication.
    pub fn diagnostics(&self) -> anyhow::Result<Option<(SocketAddr, bool)>> {
        const DEFAULT: &str = ":8443";
        let text = if self.diagnostics_address == DEFAULT {
            &self.metrics_bind_address
        } else {
            &self.diagnostics_address
        };
        if text == "0" {
            return Ok(None);
        }
        let address = address(text).with_context(|| format!("--diagnostics-address={text}"))?;
        Ok(Some((address, self.insecure_diagnostics || !self.metrics_secure)))
    }

    /// The log filter: `--zap-log-level` wins when given.
    pub fn log_filter(&self) -> String {
        match self.zap_log_level.as_str() {
            "" => self.log_level.clone(),
            "debug" => "debug".into(),
            "info" => "info".into(),
            "error" | "panic" => "error".into(),
            number => match number.parse::<i64>() {
                Ok(level) if level >= 5 => "trace".into(),
                Ok(level) if level > 0 => "debug".into(),
                _ => "info".into(),
            },
        }
    }

    /// The form of log lines: `--zap-encoder` wins when given.
    pub fn log_form(&self) -> LogFormat {
        match self.zap_encoder.as_str() {
            "console" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => self.log_format,
        }
    }
}

/// `:8081`, `1.2.3.4:8081`, `[::1]:8081`: no host means every address.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().with_context(|| format!("port {port:?}: write a number from 0 to 65535"))?;
        return Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    }
    text.parse().with_context(|| format!("address {text:?}: write [HOST]:PORT"))
}

/// A Go duration: `15s`, `1m30s`, `250ms`.
fn go_duration(text: &str) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let Ok(number) = rest[..digits].parse::<f64>() else {
            bail!("duration {text:?}: write for example 15s or 1m30s")
        };
        let unit = match &rest[digits..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            unit => bail!("duration {text:?}: unit {unit:?} is none of ms, s, m, h"),
        };
        total += Duration::from_secs_f64(number * unit);
        rest = &rest[letters..];
    }
    if text.is_empty() {
        bail!("an empty duration: write for example 15s");
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
        CommandLine::try_parse_from([&["manager"], args].concat()).map(|line| line.flags)
    }

    #[test]
    fn p_10_the_arguments_of_the_released_bundles_are_taken() {
        let flags = parse(&[
            "--health-probe-bind-address=:8081",
            "--diagnostics-address=:8080",
            "--leader-elect",
            "--enable-controller=bootstrap",
            "--feature-gates=",
            "--insecure-diagnostics=true",
        ])
        .unwrap();
        assert!(flags.leader_elect);
        assert_eq!(flags.enable_controller, Mode::Bootstrap);
        assert_eq!(flags.diagnostics().unwrap().unwrap(), ("0.0.0.0:8080".parse().unwrap(), true));
    }

    #[test]
    fn p_10_deprecated_flags_count_where_the_new_ones_are_absent() {
        let flags = parse(&[
            "--metrics-bind-address=127.0.0.1:8080",
            "--metrics-secure=false",
            "--zap-devel=false",
            "--enable-http2",
        ])
        .unwrap();
        assert_eq!(flags.diagnostics().unwrap().unwrap(), ("127.0.0.1:8080".parse().unwrap(), true));
        assert_eq!(parse(&["--diagnostics-address", "0"]).unwrap().diagnostics().unwrap(), None);
    }

    #[test]
    fn p_10_an_unknown_flag_or_mode_exits_with_2_and_names_it() {
        for args in [["--no-such-flag"], ["--enable-controller=nonsense"]] {
            let error = parse(&args).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(args[0].split('=').next_back().unwrap()), "{error}");
        }
    }

    #[test]
    fn go_durations_are_read() {
        assert_eq!(go_duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(go_duration("250ms").unwrap(), Duration::from_millis(250));
        assert!(go_duration("15").is_err());
    }
}
