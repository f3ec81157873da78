//! The Cluster's network as k0s configuration (H-44).

use api::FreeForm;
use cluster_api::cluster::{ClusterNetwork, NetworkRanges};
use serde_json::{Map, Value, json};

/// The user's configuration with the Cluster's network below it: what the user wrote wins. Two address families
/// become k0s' `dualStack`, never a comma list.
pub fn merged(config: Option<&FreeForm>, network: Option<&ClusterNetwork>) -> Option<FreeForm> {
    let generated = network.map(generated).unwrap_or_default();
    if generated.is_empty() {
        return config.cloned();
    }
    let mut below = json!({ "spec": { "network": generated } });
    if let Some(config) = config {
        lay_over(&mut below, &Value::Object(config.0.clone()));
    }
    match below {
        Value::Object(map) => Some(FreeForm(map)),
        _ => config.cloned(),
    }
}

fn generated(network: &ClusterNetwork) -> Map<String, Value> {
    let ClusterNetwork { api_server_port: _, services, pods, service_domain } = network;
    let (pods4, pods6) = families(pods.as_ref());
    let (services4, services6) = families(services.as_ref());
    let mut made = Map::new();
    let mut set = |key: &str, value: Option<&String>| {
        if let Some(value) = value {
            made.insert(key.to_owned(), value.clone().into());
        }
    };
    // A cluster of IPv6 alone has its ranges in the same fields.
    set("podCIDR", pods4.or(pods6));
    set("serviceCIDR", services4.or(services6));
    set("clusterDomain", service_domain.as_ref());
    if let (Some(_), Some(pods6), Some(_), Some(services6)) = (pods4, pods6, services4, services6) {
        let dual = json!({ "enabled": true, "IPv6podCIDR": pods6, "IPv6serviceCIDR": services6 });
        made.insert("dualStack".into(), dual);
    }
    made
}

/// The first block of each family.
fn families(ranges: Option<&NetworkRanges>) -> (Option<&String>, Option<&String>) {
    let blocks = || ranges.into_iter().flat_map(|ranges| &ranges.cidr_blocks);
    (blocks().find(|block| !block.contains(':')), blocks().find(|block| block.contains(':')))
}

fn lay_over(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                lay_over(below.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}
