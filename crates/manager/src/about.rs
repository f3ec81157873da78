//! Metrics about the process itself: what it is, and what it waits for (packaging-and-api 13.2).

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use reconcile::Metrics;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
    commit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfGate {
    name: &'static str,
}

/// The commit a release was built from; a build by hand does not know it.
const COMMIT: &str = match option_env!("K0SMOTRON_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Registers version and gates, and gives the series that tells whether Cluster API is there.
pub fn register(metrics: &Metrics, gates: &BTreeMap<&'static str, bool>) -> Gauge {
    let (build, enabled, present) =
        (Family::<Build, Gauge>::default(), Family::<OfGate, Gauge>::default(), Gauge::default());
    build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION"), commit: COMMIT }).set(1);
    for (name, on) in gates {
        enabled.get_or_create(&OfGate { name }).set(i64::from(*on));
    }
    metrics.with_registry(|registry| {
        registry.register("k0smotron_build_info", "The program that runs", build);
        registry.register("k0smotron_feature_enabled", "Feature gates, 1 is on", enabled);
        registry.register(
            "k0smotron_cluster_api_present",
            "1 when Cluster API was found; until then what needs it waits",
            present.clone(),
        );
    });
    present
}
