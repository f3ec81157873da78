//! When certificates end, as a metric (H-13). It is read from the cache when somebody scrapes, and costs nothing in
//! between.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use reconcile::Cache;

use super::facts::SecretFact;
use super::labels::WATCHED_SECRETS;

/// One series per Secret of a hosted control plane that holds a certificate.
#[derive(Debug)]
pub struct Expiry(pub Cache<SecretFact>);

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "k0smotron_certificate_expiry_timestamp_seconds",
            "End of the certificate in a Secret, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?;
        for entry in self.0.all() {
            let (Some((_, until)), Some(cluster)) = (entry.fact.life, entry.label(WATCHED_SECRETS)) else {
                continue;
            };
            let key = entry.key();
            let labels = [("namespace", &*key.namespace), ("cluster", cluster), ("secret", &*key.name)];
            ConstGauge::new(until.as_second()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
