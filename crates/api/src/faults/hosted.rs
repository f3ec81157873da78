//! Faults of hosted control planes (H-3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    defaults::{KineSource, PersistenceType},
    hosted::{HostedControlPlaneSpec, PortAllocation, ServiceSpec, ServiceType, StorageType},
};

use super::{Fault, Validate, not_yet, text};

/// Where the control plane pod mounts volumes of its own. A second volume in the same place would make the API
/// server refuse the pod.
const OWN_MOUNTS: [&str; 4] = ["/var/lib/k0s", "/run/k0smotron/pki", "/run/k0smotron/etcd", "/etc/k0s"];

/// The port on which k0s itself serves joining controllers, inside the same pod.
const K0S_JOIN_PORT: i64 = 9443;

impl Validate for HostedControlPlaneSpec {
    fn own_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        size(self, &mut faults);
        naming(self, &mut faults);
        if let Some(service) = &self.service {
            exposure(service, self.service_type(), &mut faults);
        }
        persistence(self, &mut faults);
        certificates(self, &mut faults);
        volumes(self, &mut faults);
        flags(self, &mut faults);
        config(self, &mut faults);
        faults.extend(not_yet::hosted(self));
        faults
    }

    fn step_faults(&self, old: &Self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.storage_type() != old.storage_type() {
            faults.push(Fault::new(
                "spec.storage.type",
                "",
                "cannot be changed: the data would stay behind; make a new cluster",
            ));
        }
        for part in ["podCIDR", "serviceCIDR", "provider"] {
            if network(self, part) != network(old, part) {
                faults.push(Fault::new(
                    format!("spec.k0sConfig.spec.network.{part}"),
                    "",
                    "cannot be changed: running pods and Services keep their addresses; make a new cluster",
                ));
            }
        }
        let versions = |spec: &Self| spec.wanted_version().and_then(text::numbers);
        if let (Some([old_major, old_minor, _]), Some([major, minor, _])) = (versions(old), versions(self)) {
            let version = self.wanted_version().unwrap_or_default();
            if major != old_major {
                faults.push(Fault::new(
                    "spec.version",
                    version,
                    "cannot be changed to another major version",
                ));
            } else if minor > old_minor + 1 {
                faults.push(Fault::new(
                    "spec.version",
                    version,
                    "upgrading more than one minor version at a time is not allowed by the Kubernetes skew policy",
                ));
            }
        }
        faults
    }
}

fn network<'a>(spec: &'a HostedControlPlaneSpec, part: &str) -> Option<&'a Value> {
    spec.k0s_config.as_ref()?.get("spec")?.get("network")?.get(part)
}

fn size(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) {
    let replicas = spec.effective_replicas();
    if spec.storage_type() == StorageType::Kine && spec.kine_source() == KineSource::Sqlite && replicas > 1 {
        faults.push(Fault::new(
            "spec.replicas",
            replicas,
            "must be 1 with storage kine and no data source: each pod would have a database of its own; set \
             storage.kine.dataSourceSecretName",
        ));
    }
    if let Some(members) = spec.etcd().and_then(|etcd| etcd.replicas)
        && ![0, 1, 3, 5, 7].contains(&members)
    {
        faults.push(Fault::new("spec.storage.etcd.replicas", members, "must be 1, 3, 5 or 7"));
    }
    if let Some(version) = spec.wanted_version()
        && !text::is_version(version)
    {
        faults.push(Fault::new("spec.version", version, "must look like v1.34.1+k0s.0 or v1.34.1-k0s.0"));
    }
}

fn naming(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) {
    if let Some(address) = spec.pinned_address()
        && address.contains(|c: char| c.is_whitespace() || c == '/')
    {
        faults.push(Fault::new(
            "spec.externalAddress",
            address,
            "must be a host name or IP address without scheme or path",
        ));
    }
    if spec.ingress.is_some() && spec.gateway.is_some() {
        faults.push(Fault::new(
            "spec.gateway",
            "",
            "ingress and gateway exclude each other; remove one of them",
        ));
    }
}

fn exposure(service: &ServiceSpec, type_: ServiceType, faults: &mut Vec<Fault>) {
    for (field, port) in [("apiPort", service.api_port), ("konnectivityPort", service.konnectivity_port)] {
        let path = format!("spec.service.{field}");
        match port {
            Some(port) if !(0..=65535).contains(&port) => {
                faults.push(Fault::new(path, port, "must be between 1 and 65535"));
            }
            Some(K0S_JOIN_PORT) => {
                faults.push(Fault::new(path, K0S_JOIN_PORT, "is k0s' own join port; choose another"));
            }
            _ => {}
        }
    }
    if let (Some(api), Some(konnectivity)) = (service.api_port, service.konnectivity_port)
        && api == konnectivity
        && api != 0
    {
        faults.push(Fault::new("spec.service.konnectivityPort", konnectivity, "must differ from apiPort"));
    }
    if service.port_allocation == Some(PortAllocation::Auto) && type_ != ServiceType::NodePort {
        faults.push(Fault::new("spec.service.portAllocation", "Auto", "needs type NodePort"));
    }
    if type_ != ServiceType::LoadBalancer {
        let set = [
            ("loadBalancerClass", service.load_balancer_class.is_some()),
            ("loadBalancerSourceRanges", !service.load_balancer_source_ranges.is_empty()),
        ];
        for (field, _) in set.iter().filter(|(_, set)| *set) {
            faults.push(Fault::new(format!("spec.service.{field}"), "", "needs type LoadBalancer"));
        }
    }
    if type_ == ServiceType::ClusterIp && service.external_traffic_policy.is_some() {
        faults.push(Fault::new(
            "spec.service.externalTrafficPolicy",
            "",
            "needs type NodePort or LoadBalancer",
        ));
    }
}

fn persistence(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) {
    let claim =
        spec.persistence.as_ref().and_then(|persistence| persistence.persistent_volume_claim.as_ref());
    match spec.persistence_type() {
        PersistenceType::Unknown(type_) => {
            faults.push(Fault::new("spec.persistence.type", type_, "must be emptyDir, hostPath or pvc"));
        }
        PersistenceType::Claim if claim.is_none() => {
            faults.push(Fault::new("spec.persistence.persistentVolumeClaim", "", "is needed with type pvc"));
        }
        PersistenceType::HostPath(path) if !text::is_absolute(path) => {
            faults.push(Fault::new(
                "spec.persistence.hostPath",
                path,
                "must be an absolute path with type hostPath",
            ));
        }
        _ => {}
    }
}

fn certificates(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for (index, reference) in spec.certificate_refs.iter().enumerate() {
        if !seen.insert(reference.type_) {
            faults.push(Fault::new(
                format!("spec.certificateRefs[{index}].type"),
                reference.type_.as_str(),
                "is named twice; keep one of them",
            ));
        }
    }
}

/// Names and places of volumes: manifests are mounted under their names, mounts at their paths, under a name made
/// of the path (12.1).
fn volumes(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) {
    let mut names = BTreeMap::new();
    for (index, volume) in spec.manifests.iter().enumerate() {
        let path = format!("spec.manifests[{index}].name");
        if volume.name.is_empty() {
            faults.push(Fault::new(&path, "", "is needed: the volume is mounted under it"));
        } else if let Some(other) = names.insert(volume.name.clone(), path.clone()) {
            faults.push(Fault::new(
                path,
                &volume.name,
                format!("is the name of {other} too; choose another"),
            ));
        }
    }
    let mut places = BTreeMap::new();
    for (index, mount) in spec.mounts.iter().enumerate() {
        let path = format!("spec.mounts[{index}].path");
        let place = mount.path.trim_end_matches('/');
        if !text::is_absolute(&mount.path) || mount.path.contains(':') {
            faults.push(Fault::new(
                path,
                &mount.path,
                "must be an absolute path without a colon or line break",
            ));
            continue;
        }
        if OWN_MOUNTS.contains(&place) || place.is_empty() {
            faults.push(Fault::new(
                path,
                &mount.path,
                "is used by the control plane itself; choose another place",
            ));
            continue;
        }
        if let Some(other) = places.insert(place.to_owned(), path.clone()) {
            faults.push(Fault::new(
                path,
                &mount.path,
                format!("is the place of {other} too; choose another"),
            ));
            continue;
        }
        let name = place.trim_start_matches('/').replace('/', "-");
        if let Some(other) = names.insert(name.clone(), path.clone()) {
            faults.push(Fault::new(
                path,
                &mount.path,
                format!("gives the volume the name {name:?}, which {other} has too; choose another place"),
            ));
        }
    }
}

fn flags(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) {
    for (index, flag) in spec.control_plane_flags.iter().enumerate() {
        let path = format!("spec.controlPlaneFlags[{index}]");
        if let Some(act) = text::first_shell_act(flag) {
            faults.push(Fault::new(
                path,
                flag,
                format!("has {act}; quote it, there is no shell that would expand it"),
            ));
        } else if flag
            .split_whitespace()
            .any(|word| word == "--enable-worker" || word.starts_with("--enable-worker="))
        {
            faults.push(Fault::new(
                path,
                flag,
                "has --enable-worker, which a control plane in a pod cannot do; remove it",
            ));
        }
    }
}

fn config(spec: &HostedControlPlaneSpec, faults: &mut Vec<Fault>) {
    let Some(config) = &spec.k0s_config else { return };
    for (field, wanted) in [("apiVersion", "k0s.k0sproject.io/v1beta1"), ("kind", "ClusterConfig")] {
        match config.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(found)) if found.is_empty() || found == wanted => {}
            Some(found) => {
                let found = found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned);
                faults.push(Fault::new(
                    format!("spec.k0sConfig.{field}"),
                    found,
                    format!("must be {wanted} or absent"),
                ));
            }
        }
    }
    for field in ["metadata", "spec"] {
        if config.get(field).is_some_and(|part| !part.is_object() && !part.is_null()) {
            faults.push(Fault::new(format!("spec.k0sConfig.{field}"), "", "must be an object"));
        }
    }
}
