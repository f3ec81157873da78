//! Observations for tests: a cluster in YAML, and what its observation becomes as it comes to life.

use api::HostedCluster;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use reconcile::Effect;
use serde_json::json;

use crate::cluster::certificates::{LEAVES, authorities};
use crate::cluster::facts::{ClaimFact, PodFact, SecretFact, Seen, ServiceFact, SetFact};
use crate::cluster::labels::{CLUSTER_UID, Origin};
use crate::cluster::objects::secrets::{ISSUED_FOR, issued};
use crate::cluster::observe::Observed;
use crate::cluster::own::Own;
use crate::cluster::plan::{ClusterPlan, plan};
use crate::cluster::wanted::{Operator, Running, Wanted};

/// When tests play.
pub fn noon() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// The first observation of a cluster.
pub fn born(yaml: &str) -> Observed {
    let cluster: HostedCluster = serde_saphyr::from_str(yaml).unwrap();
    Observed {
        now: noon(),
        operator: Operator::default(),
        origin: Origin {
            name: cluster.name_any(),
            namespace: "ns".to_owned(),
            uid: "uid-1".to_owned(),
            labels: cluster.labels().clone(),
            annotations: cluster.annotations().clone(),
        },
        generation: Some(1),
        held: true,
        spec: cluster.spec,
        ..Observed::default()
    }
}

/// A cluster with this spec.
pub fn with_spec(spec: &str) -> Observed {
    let spec = spec.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    born(&format!("apiVersion: k0smotron.io/v1beta2\nkind: Cluster\nmetadata: {{name: one}}\nspec:\n{spec}"))
}

fn wanted(seen: &Observed) -> Wanted<'_> {
    Wanted::of(seen.origin.clone(), &seen.spec, &Running::default(), &seen.operator).unwrap()
}

fn named<F: Default>(seen: &Observed, name: &str, fact: F) -> Seen<F> {
    Seen {
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
        created: Some(seen.now),
        labels: [
            (CLUSTER_UID.to_owned(), seen.origin.uid.clone()),
            ("cluster".to_owned(), seen.origin.name.clone()),
        ]
        .into(),
        controller: Some(seen.origin.uid.clone()),
        fact,
        ..Seen::default()
    }
}

/// Its Service got an address.
pub fn exposed(mut seen: Observed) -> Observed {
    let name = wanted(&seen).service_name();
    let fact = ServiceFact { cluster_ips: vec!["10.96.0.10".to_owned()], ..ServiceFact::default() };
    seen.services.push(named(&seen, &name, fact));
    seen
}

/// Its authorities and leaves exist and are right.
pub fn with_keys(mut seen: Observed) -> Observed {
    let year = jiff::SignedDuration::from_hours(365 * 24);
    let life = Some((seen.now, seen.now.checked_add(year).unwrap()));
    let mut secrets = Vec::new();
    let wanted = wanted(&seen);
    for purpose in authorities(&wanted) {
        let name = wanted.certificate_secret(purpose);
        let fact = SecretFact {
            keys: vec!["tls.crt".into(), "tls.key".into()],
            certificate: Some(format!("digest of {name}")),
            life,
            ..SecretFact::default()
        };
        secrets.push(named(&seen, &name, fact));
    }
    if wanted.uses_etcd() {
        for leaf in LEAVES {
            let name = leaf.secret(&wanted);
            let fact = SecretFact {
                digest: "d".into(),
                certificate: Some(name.clone()),
                life,
                ..SecretFact::default()
            };
            let mut secret = named(&seen, &name, fact);
            let purpose = leaf.issued_for(&wanted, &format!("digest of {}-etcd", seen.origin.name));
            secret.annotations.insert(ISSUED_FOR.to_owned(), issued(&purpose, "d"));
            secrets.push(secret);
        }
    }
    seen.secrets.extend(secrets);
    seen
}

/// The plan's StatefulSets, membership record and config Secret were written.
pub fn after(mut seen: Observed, plan: &ClusterPlan) -> Observed {
    for effect in &plan.effects {
        match effect {
            Effect::Apply(object) if kind(object) == "StatefulSet" => {
                let mut set = named(
                    &seen,
                    &object.name_any(),
                    SetFact {
                        replicas: serde_json::from_value(object.data["spec"]["replicas"].clone()).unwrap(),
                        template: object.data["spec"]["template"].to_string(),
                        current: true,
                        update_revision: crate::cluster::objects::config::digest(
                            &object.data["spec"]["template"],
                        ),
                    },
                );
                set.annotations = object.annotations().clone();
                if set.name.ends_with("-etcd") {
                    seen.etcd = Some(set);
                } else {
                    seen.control_plane = Some(set);
                }
            }
            Effect::Apply(object) if object.name_any().ends_with("-etcd-members") => {
                let members = object.data["data"]["members.json"].as_str().map(ToOwned::to_owned);
                seen.config_maps.retain(|map| map.name != object.name_any());
                let map = named(
                    &seen,
                    &object.name_any(),
                    crate::cluster::facts::ConfigMapFact { members, keys: Vec::new() },
                );
                seen.config_maps.push(map);
            }
            Effect::Own(Own::WriteConfig(name)) => {
                let mut secret = named(&seen, name, SecretFact::default());
                secret.labels.insert("app.kubernetes.io/component".into(), "cluster-config".into());
                seen.secrets.push(secret);
            }
            Effect::Own(Own::WriteKubeconfig) => {
                let secret = named(&seen, &format!("{}-kubeconfig", seen.origin.name), SecretFact::default());
                seen.secrets.push(secret);
            }
            _ => {}
        }
    }
    seen
}

/// The pods of both StatefulSets run the newest revision and have been Ready for a minute.
pub fn running(mut seen: Observed) -> Observed {
    let since = seen.now.checked_sub(jiff::SignedDuration::from_mins(1)).ok();
    for (set, pods) in [(&seen.control_plane, true), (&seen.etcd, false)] {
        let Some(set) = set.clone() else { continue };
        let pod = |ordinal: i32| {
            let fact = PodFact {
                revision: set.fact.update_revision.clone(),
                ready_since: since,
                running_since: since,
                ip: Some(format!("10.0.0.{ordinal}")),
                image: set.fact.image().unwrap_or_default(),
                config: crate::cluster::facts::config_secret(&set.fact.template()["spec"]),
                ..PodFact::default()
            };
            Seen { created: since, ..named(&seen, &format!("{}-{ordinal}", set.name), fact) }
        };
        let all: Vec<_> = (0..set.fact.replicas).map(pod).collect();
        if pods {
            seen.pods = all;
        } else {
            for pod in &all {
                let bound = ClaimFact { phase: "Bound".into(), volume: format!("of-{}", pod.name) };
                let claim = named(&seen, &format!("etcd-data-{}", pod.name), bound);
                if !seen.claims.iter().any(|known| known.name == claim.name) {
                    seen.claims.push(claim);
                }
            }
            seen.etcd_pods = all;
        }
    }
    seen
}

/// A cluster with this spec whose pods serve and whose kubeconfig is written.
pub fn serving(spec: &str) -> Observed {
    let mut seen = exposed(with_keys(with_spec(spec)));
    for _ in 0..4 {
        let next = plan(&seen);
        seen = running(after(seen, &next));
    }
    let state = crate::cluster::certificates::kubeconfig_issued_for(
        &wanted(&seen),
        &server(&seen),
        "digest of one-ca",
    );
    let year = jiff::SignedDuration::from_hours(365 * 24);
    let life = Some((seen.now, seen.now.checked_add(year).unwrap()));
    for secret in &mut seen.secrets {
        if secret.name == "one-kubeconfig" {
            secret.fact.life = life;
            secret.annotations.insert(ISSUED_FOR.to_owned(), issued(&state, ""));
        }
    }
    seen
}

fn server(seen: &Observed) -> String {
    let wanted = wanted(seen);
    let endpoint = crate::cluster::exposure::Endpoint {
        host: seen.spec.pinned_address().unwrap_or("10.96.0.10").to_owned(),
        port: wanted.spec.api_port(),
        node: None,
    };
    crate::cluster::exposure::kubeconfig_server(&wanted, &endpoint)
}

/// The kind of an object.
pub fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| types.kind.as_str())
}

/// The effects as data, for golden files.
pub fn told(plan: &ClusterPlan) -> serde_json::Value {
    let effect = |effect: &Effect<Own>| match effect {
        Effect::Apply(object) => json!({"apply": serde_json::to_value(object).unwrap()}),
        Effect::Delete { what, uid } => {
            json!({"delete": format!("{} {} ({uid})", what.resource.kind, what.name)})
        }
        Effect::Own(own) => json!({"own": format!("{own:?}")}),
        other => json!(format!("{other:?}")),
    };
    plan.effects.iter().map(effect).collect()
}

/// The names of the effects, in order.
pub fn effects(plan: &ClusterPlan) -> Vec<String> {
    let effect = |effect: &Effect<Own>| match effect {
        Effect::Apply(object) => format!("apply {} {}", kind(object), object.name_any()),
        Effect::Delete { what, .. } => format!("delete {} {}", what.resource.kind, what.name),
        Effect::Own(own) => format!("{own:?}"),
        other => format!("{other:?}"),
    };
    plan.effects.iter().map(effect).collect()
}
