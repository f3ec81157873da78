//! The flags of the process: released names, types and defaults are kept (packaging-and-api 2.2, P-10).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::diagnostics::{self, tls};
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
    /// Lowest version of TLS of the diagnostics server: VersionTLS12 or VersionTLS13.
    #[arg(long, default_value = "VersionTLS12", value_parser = tls::MinVersion::parse)]
    pub tls_min_version: tls::MinVersion,
    /// Its cipher suites by their names in Go, separated by commas; empty: all that are built in.
    #[arg(long, default_value = "", value_parser = tls::Suites::parse)]
    pub tls_cipher_suites: tls::Suites,
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
    /// How long to wait after a try to take or renew the lease that failed.
    #[arg(long, env = "K0SMOTRON_LEADER_ELECT_RETRY_PERIOD", default_value = "2s", value_parser = go_duration)]
    pub leader_elect_retry_period: Duration,
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

    /// Where and how diagnostics are served, if anywhere.
    pub fn diagnostics(&self) -> anyhow::Result<Option<diagnostics::Options>> {
        let text = if self.diagnostics_address == DIAGNOSTICS_ADDRESS {
            &self.metrics_bind_address
        } else {
            &self.diagnostics_address
        };
        if text == "0" {
            return Ok(None);
        }
        Ok(Some(diagnostics::Options {
            address: address(text).with_context(|| format!("--diagnostics-address={text}"))?,
            plain: self.insecure_diagnostics || !self.metrics_secure,
            tls: tls::Terms { min_version: self.tls_min_version, suites: self.tls_cipher_suites.clone() },
        }))
    }

    /// The text of the gates: the environment's, when it has one, replaces the flag's.
    pub fn gates(&self, environment: Option<String>) -> String {
        environment.filter(|text| !unquoted(text).is_empty()).unwrap_or_else(|| self.feature_gates.clone())
    }

    /// A Warning for each deprecated flag in use.
    pub fn deprecated(&self) -> Vec<&'static str> {
        let uses = [
            (
                self.metrics_bind_address != DIAGNOSTICS_ADDRESS,
                "--metrics-bind-address is deprecated: use --diagnostics-address",
            ),
            (!self.metrics_secure, "--metrics-secure is deprecated: use --insecure-diagnostics"),
            (self.enable_http2, "--enable-http2 is deprecated and has no effect: our servers speak HTTP/1.1"),
        ];
        uses.into_iter().filter(|(used, _)| *used).map(|(_, words)| words).collect()
    }

    /// The lease's durations, in the order without which two could lead at once.
    pub fn lease_times(&self) -> anyhow::Result<()> {
        let (duration, deadline) = (self.leader_elect_lease_duration, self.leader_elect_renew_deadline);
        let retry = self.leader_elect_retry_period;
        if duration.subsec_nanos() != 0 {
            bail!("--leader-elect-lease-duration={duration:?}: a Lease counts whole seconds");
        }
        if deadline >= duration || retry >= deadline || retry.is_zero() {
            bail!(
                "--leader-elect-lease-duration={duration:?} must be longer than --leader-elect-renew-deadline=\
                 {deadline:?}, and that longer than --leader-elect-retry-period={retry:?}"
            );
        }
        Ok(())
    }

    /// The log filter: `--zap-log-level` wins when given.
    pub fn log_filter(&self) -> String {
        match self.zap_log_level.as_str() {
            "" => self.log_level.clone(),
            "debug" => "debug".into(),
            "info" => "info".into(),
            "error" | "panic" => "error".into(),
            number => match number.parse::<i64>() {
                Ok(level) => crate::log::of_number(level),
                Err(_) => "info".into(),
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

/// The default, which gives way to the deprecated flag.
const DIAGNOSTICS_ADDRESS: &str = ":8443";

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
        let diagnostics = flags.diagnostics().unwrap().unwrap();
        assert_eq!((diagnostics.address, diagnostics.plain), ("0.0.0.0:8080".parse().unwrap(), true));
        assert!(flags.deprecated().is_empty());
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
        let diagnostics = flags.diagnostics().unwrap().unwrap();
        assert_eq!((diagnostics.address, diagnostics.plain), ("127.0.0.1:8080".parse().unwrap(), true));
        assert_eq!(flags.deprecated().len(), 3, "one Warning each");
        assert!(parse(&["--diagnostics-address", "0"]).unwrap().diagnostics().unwrap().is_none());
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
    fn p_11_gates_of_the_environment_replace_those_of_the_flag() {
        let flags = parse(&["--feature-gates=CloudInitVars=true"]).unwrap();
        assert_eq!(flags.gates(Some("InPlaceUpdates=true".into())), "InPlaceUpdates=true");
        for nothing in [None, Some(String::new()), Some("\"\"".into())] {
            assert_eq!(flags.gates(nothing), "CloudInitVars=true");
        }
    }

    #[test]
    fn p_7_times_of_the_lease_that_would_let_two_lead_are_refused() {
        assert!(parse(&[]).unwrap().lease_times().is_ok());
        for bad in [
            "--leader-elect-lease-duration=10s",
            "--leader-elect-renew-deadline=2s",
            "--leader-elect-lease-duration=15s500ms",
        ] {
            assert!(parse(&[bad]).unwrap().lease_times().is_err(), "{bad}");
        }
    }

    #[test]
    fn go_durations_are_read() {
        assert_eq!(go_duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(go_duration("250ms").unwrap(), Duration::from_millis(250));
        assert!(go_duration("15").is_err());
    }
}
