//! The fields of ClusterConfig, so that one which the target version does not know is reported before anything is
//! rendered (K0S-7): k0s itself reads strictly and would not start.

use serde_json::{Map, Value};

use crate::{ConfigFault, Feature, Version};

/// What may stand under a key.
enum Field {
    /// Anything: k0s hands it on, or it is deeper than our knowledge.
    Any,
    /// A map with these keys.
    Map(&'static [(&'static str, Field)]),
    /// A list of such maps.
    List(&'static [(&'static str, Field)]),
    /// As the inner one, from a version on.
    Since(Feature, &'static Field),
}

use Field::{Any, List, Map as Keys, Since};

const RAW_ARGS: Field = Since(Feature::RawArgs, &Any);
const CA: Field =
    Since(Feature::AuthorityLife, &Keys(&[("expiresAfter", Any), ("certificatesExpireAfter", Any)]));
const COMPONENT: Field = Keys(&[("extraArgs", Any), ("rawArgs", RAW_ARGS)]);

/// `spec`, by k0s.md 5.
const SPEC: &[(&str, Field)] = &[
    (
        "api",
        Keys(&[
            ("address", Any),
            ("onlyBindToAddress", Since(Feature::OnlyBindToAddress, &Any)),
            ("externalAddress", Any),
            ("port", Any),
            ("k0sApiPort", Any),
            ("sans", Any),
            ("extraArgs", Any),
            ("rawArgs", RAW_ARGS),
            ("ca", CA),
        ]),
    ),
    (
        "storage",
        Keys(&[
            ("type", Any),
            (
                "etcd",
                Keys(&[
                    ("peerAddress", Any),
                    ("extraArgs", Any),
                    ("rawArgs", RAW_ARGS),
                    ("ca", CA),
                    (
                        "externalCluster",
                        Keys(&[
                            ("endpoints", Any),
                            ("etcdPrefix", Any),
                            ("caFile", Any),
                            ("clientCertFile", Any),
                            ("clientKeyFile", Any),
                        ]),
                    ),
                ]),
            ),
            ("kine", Keys(&[("dataSource", Any), ("extraArgs", Any), ("rawArgs", RAW_ARGS)])),
        ]),
    ),
    (
        "network",
        Keys(&[
            ("provider", Any),
            ("podCIDR", Any),
            ("serviceCIDR", Any),
            ("clusterDomain", Any),
            ("primaryAddressFamily", Since(Feature::RawArgs, &Any)),
            ("dualStack", Keys(&[("enabled", Any), ("IPv6podCIDR", Any), ("IPv6serviceCIDR", Any)])),
            ("kubeProxy", Any),
            ("kuberouter", Any),
            ("calico", Any),
            ("coreDNS", Any),
            ("nodeLocalLoadBalancing", Any),
            ("controlPlaneLoadBalancing", Since(Feature::EtcdMember, &Any)),
        ]),
    ),
    (
        "konnectivity",
        Keys(&[
            ("agentPort", Any),
            ("adminPort", Any),
            ("externalAddress", Since(Feature::ExternalAddressWithPort, &Any)),
        ]),
    ),
    ("controllerManager", COMPONENT),
    ("scheduler", COMPONENT),
    ("workerProfiles", List(&[("name", Any), ("values", Any)])),
    ("featureGates", List(&[("name", Any), ("enabled", Any), ("components", Any)])),
    ("images", Any),
    ("extensions", Keys(&[("helm", Any), ("storage", Any)])),
    ("telemetry", Keys(&[("enabled", Any)])),
    (
        "installConfig",
        Keys(&[(
            "users",
            Keys(&[
                ("etcdUser", Any),
                ("kineUser", Any),
                ("konnectivityUser", Any),
                ("kubeAPIserverUser", Any),
                ("kubeSchedulerUser", Any),
            ]),
        )]),
    ),
    ("patches", Since(Feature::Patches, &Any)),
    // k0s tolerates these two although it does not use them.
    ("interval", Any),
    ("podSecurityPolicy", Any),
];

/// Every field under `spec` that this version of k0s does not know, with its path. Deep inside `kubeProxy`,
/// `calico`, `extensions.helm` and the like nothing is judged: k0s does that, at its start.
pub fn unknown_fields(spec: &Map<String, Value>, version: &Version) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    judge_keys("spec", spec, SPEC, version, &mut faults);
    faults
}

fn judge_keys(
    path: &str,
    found: &Map<String, Value>,
    known: &'static [(&'static str, Field)],
    version: &Version,
    faults: &mut Vec<ConfigFault>,
) {
    for (key, value) in found {
        let path = format!("{path}.{key}");
        match known.iter().find(|(name, _)| name == key) {
            Some((_, field)) => judge(&path, value, field, version, faults),
            None => faults.push(unknown(path, version, "check its spelling, or remove it")),
        }
    }
}

fn judge(path: &str, value: &Value, field: &'static Field, version: &Version, faults: &mut Vec<ConfigFault>) {
    match (field, value) {
        (Any, _) | (_, Value::Null) => {}
        (Since(feature, _), _) if !feature.in_version(version) => {
            faults.push(unknown(path.to_owned(), version, "remove it, or use a later version"));
        }
        (Since(_, field), _) => judge(path, value, field, version, faults),
        (Keys(known), Value::Object(found)) => judge_keys(path, found, known, version, faults),
        (List(known), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                match item {
                    Value::Object(found) => judge_keys(&path, found, known, version, faults),
                    other => faults.push(wrong_kind(path, other, "an object")),
                }
            }
        }
        (Keys(_), other) => faults.push(wrong_kind(path.to_owned(), other, "an object")),
        (List(_), other) => faults.push(wrong_kind(path.to_owned(), other, "a list")),
    }
}

fn unknown(path: String, version: &Version, remedy: &str) -> ConfigFault {
    ConfigFault { path, why: format!("k0s {version} does not know this field; {remedy}") }
}

fn wrong_kind(path: String, found: &Value, wanted: &str) -> ConfigFault {
    ConfigFault { path, why: format!("{found} must be {wanted}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(spec: &Value, version: &str) -> Vec<String> {
        unknown_fields(spec.as_object().unwrap(), &version.parse().unwrap())
            .into_iter()
            .map(|fault| fault.path)
            .collect()
    }

    /// K0S-7.
    #[test]
    fn k0s7_a_field_of_a_later_version_is_reported_with_its_path() {
        let raw = json!({ "api": { "rawArgs": ["--v=2"] } });
        assert_eq!(faults(&raw, "v1.33.13+k0s.0"), ["spec.api.rawArgs"]);
        assert!(faults(&raw, "v1.34.1+k0s.0").is_empty());
        let konnectivity = json!({ "konnectivity": { "externalAddress": "h" } });
        assert_eq!(faults(&konnectivity, "v1.32.9+k0s.0"), ["spec.konnectivity.externalAddress"]);
        assert!(faults(&konnectivity, "v1.32.10+k0s.0").is_empty());
        assert_eq!(faults(&json!({ "patches": [] }), "v1.35.7+k0s.0"), ["spec.patches"]);
        assert!(faults(&json!({ "patches": [] }), "v1.36.3+k0s.0").is_empty());
    }

    #[test]
    fn a_misspelt_field_is_reported_and_a_wrong_kind_too() {
        let spec = json!({
            "netwrok": {}, "network": { "provider": "calico", "podCidr": "x", "calico": { "mtu": 1 } },
            "workerProfiles": [{ "name": "a", "vals": {} }, 3], "telemetry": true, "storage": null,
        });
        assert_eq!(
            faults(&spec, "v1.36.3+k0s.1"),
            [
                "spec.netwrok",
                "spec.network.podCidr",
                "spec.workerProfiles[0].vals",
                "spec.workerProfiles[1]",
                "spec.telemetry"
            ]
        );
        let fault = &unknown_fields(spec.as_object().unwrap(), &"v1.36.3+k0s.1".parse().unwrap())[0];
        assert_eq!(
            fault.to_string(),
            "spec.netwrok: k0s v1.36.3+k0s.1 does not know this field; check its spelling, or remove it"
        );
    }
}
