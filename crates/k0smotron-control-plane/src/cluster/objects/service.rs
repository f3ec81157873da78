//! The Service of the control plane (hosted.md 11.1).

use std::collections::BTreeMap;

use api::hosted::ServiceType;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::cluster::labels::Component;
use crate::cluster::wanted::Wanted;

/// The Service. Cluster IPs, and node ports that the API server chose, are not ours to set.
pub fn service(wanted: &Wanted<'_>) -> DynamicObject {
    let spec = wanted.spec.service.clone().unwrap_or_default();
    let type_ = wanted.spec.service_type();
    let port = |name: &str, number: u16| {
        let mut port = json!({"name": name, "port": number, "protocol": "TCP", "targetPort": number});
        if wanted.node_ports_are_chosen() {
            port["targetPort"] = json!(name);
        } else if type_ == ServiceType::NodePort {
            port["nodePort"] = json!(number);
        }
        port
    };
    let balanced = type_ == ServiceType::LoadBalancer;
    let outside = type_ != ServiceType::ClusterIp;
    let body = json!({"spec": {
        "type": type_,
        "selector": wanted.origin.control_plane_selector(),
        "ports": [port("api", wanted.spec.api_port()), port("konnectivity", wanted.spec.konnectivity_port())],
        "loadBalancerClass": spec.load_balancer_class.filter(|_| balanced),
        "loadBalancerSourceRanges": some(&spec.load_balancer_source_ranges).filter(|_| balanced),
        "externalTrafficPolicy": spec.external_traffic_policy.filter(|_| outside),
        "ipFamilyPolicy": spec.ip_family_policy,
        "ipFamilies": some(&spec.ip_families),
    }});
    let mut labels: BTreeMap<_, _> = spec.labels;
    labels.extend(wanted.origin.labels(Component::ControlPlane));
    let mut annotations = wanted.origin.service_annotations();
    annotations.extend(spec.annotations);
    wanted.origin.object_with(("v1", "Service"), &wanted.service_name(), labels, annotations, body)
}

/// A list that says something.
fn some<T: serde::Serialize>(list: &[T]) -> Option<Value> {
    (!list.is_empty()).then(|| json!(list))
}
