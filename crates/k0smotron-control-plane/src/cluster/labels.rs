//! Labels, selectors, annotations and owners of the generated objects (hosted.md 3.2).

use std::collections::BTreeMap;

use cluster_api::names::LABEL_CLUSTER_NAME;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

/// What all our labels and annotations begin with.
pub const OURS: &str = "k0smotron.io/";
/// Label: the uid of the cluster that an object was made for.
pub const CLUSTER_UID: &str = "k0smotron.io/cluster-uid";
/// Label: what an object is for.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Selects every object of hosted control planes; users never could override this label.
pub const WATCHED: &str = "component in (cluster,etcd)";
/// Selects Secrets of clusters.
pub const WATCHED_SECRETS: &str = LABEL_CLUSTER_NAME;

/// The value of [`COMPONENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Keys and certificates.
    Certificates,
    /// The k0s configuration.
    ClusterConfig,
    /// StatefulSet, Service, endpoint.
    ControlPlane,
    /// Everything of etcd.
    Etcd,
    /// The kubeconfig.
    Kubeconfig,
    /// The telemetry manifest.
    Telemetry,
}

impl Component {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificates => "certificates",
            Self::ClusterConfig => "cluster-config",
            Self::ControlPlane => "control-plane",
            Self::Etcd => "etcd",
            Self::Kubeconfig => "kubeconfig",
            Self::Telemetry => "telemetry",
        }
    }

    /// The value of the older label `component`.
    fn side(self) -> &'static str {
        if self == Self::Etcd { "etcd" } else { "cluster" }
    }
}

/// Whose objects are built: what every builder needs of the cluster's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Name of the cluster.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Origin {
    /// Labels of an object's metadata: the user's first, so that they cannot replace ours.
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<_, _> = self
            .labels
            .iter()
            .filter(|(key, _)| !key.starts_with(OURS))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        labels.extend(self.selector(component.side()));
        labels.insert(COMPONENT.to_owned(), component.as_str().to_owned());
        labels.insert(CLUSTER_UID.to_owned(), self.uid.clone());
        labels
    }

    fn selector(&self, side: &str) -> BTreeMap<String, String> {
        [("app", "k0smotron"), ("cluster", &*self.name), ("component", side)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// Selects control plane pods. Constants only (H-5): a label of the user's in here would restart pods.
    pub fn control_plane_selector(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector("cluster");
        labels.insert("cluster.x-k8s.io/control-plane".to_owned(), "true".to_owned());
        labels
    }

    /// Labels of control plane pods.
    pub fn control_plane_pod(&self) -> BTreeMap<String, String> {
        let mut labels = self.control_plane_selector();
        labels.insert(COMPONENT.to_owned(), "control-plane".to_owned());
        labels.insert(LABEL_CLUSTER_NAME.to_owned(), self.name.clone());
        labels
    }

    /// Selects etcd pods.
    pub fn etcd_selector(&self) -> BTreeMap<String, String> {
        self.selector("etcd")
    }

    /// Labels of etcd pods.
    pub fn etcd_pod(&self) -> BTreeMap<String, String> {
        let mut labels = self.etcd_selector();
        labels.insert(COMPONENT.to_owned(), "etcd".to_owned());
        labels
    }

    /// Annotations of the cluster that steer load balancers and go to its Service (H-6).
    pub fn service_annotations(&self) -> BTreeMap<String, String> {
        const KEPT_BACK: [&str; 3] = ["kubectl.kubernetes.io/", OURS, "cluster.x-k8s.io/"];
        self.annotations
            .iter()
            .filter(|(key, _)| !KEPT_BACK.iter().any(|prefix| key.starts_with(prefix)))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The reference that makes the cluster an object's controller (H-7).
    pub fn owner(&self) -> Value {
        json!({
            "apiVersion": "k0smotron.io/v1beta2",
            "kind": "Cluster",
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// An object of ours: metadata, and the members of `body` at its root.
    pub fn object(&self, kind: (&str, &str), name: &str, component: Component, body: Value) -> DynamicObject {
        self.object_with(kind, name, self.labels(component), BTreeMap::new(), body)
    }

    /// A Secret of ours. Its label is what the watch selects.
    pub fn secret(
        &self,
        name: &str,
        component: Component,
        annotations: BTreeMap<String, String>,
        body: Value,
    ) -> DynamicObject {
        let mut labels = self.labels(component);
        labels.insert(LABEL_CLUSTER_NAME.to_owned(), self.name.clone());
        self.object_with(("v1", "Secret"), name, labels, annotations, body)
    }

    /// An object with labels and annotations of its own.
    #[allow(clippy::needless_pass_by_value)] // made for this object; `json!` only borrows
    pub fn object_with(
        &self,
        (api_version, kind): (&str, &str),
        name: &str,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        body: Value,
    ) -> DynamicObject {
        let mut metadata = json!({
            "name": name,
            "namespace": self.namespace,
            "labels": labels,
            "ownerReferences": [self.owner()],
        });
        if !annotations.is_empty() {
            metadata["annotations"] = json!(annotations);
        }
        let mut data = match clean(body) {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        data.retain(|_, value| !value.is_null());
        DynamicObject {
            types: Some(kube::api::TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() }),
            metadata: serde_json::from_value(metadata).unwrap_or_default(),
            data: Value::Object(data),
        }
    }
}

/// A value without null members: an absent field is how one says that a field is not ours to set.
pub fn clean(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, clean(v))).collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(clean).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn origin(labels: BTreeMap<String, String>) -> Origin {
        Origin { name: "one".into(), namespace: "ns".into(), uid: "u".into(), labels, ..Origin::default() }
    }

    proptest! {
        /// H-5.
        #[test]
        fn no_label_of_the_user_enters_a_selector_or_a_pod(labels in proptest::collection::btree_map("[a-z./]{1,20}", "[a-z]{0,5}", 0..5)) {
            let (plain, labelled) = (origin(BTreeMap::new()), origin(labels));
            prop_assert_eq!(plain.control_plane_selector(), labelled.control_plane_selector());
            prop_assert_eq!(plain.control_plane_pod(), labelled.control_plane_pod());
            prop_assert_eq!(plain.etcd_selector(), labelled.etcd_selector());
            prop_assert_eq!(plain.etcd_pod(), labelled.etcd_pod());
        }
    }

    #[test]
    fn the_users_labels_reach_metadata_and_never_replace_ours() {
        let user = [("app", "y"), ("team", "z"), ("k0smotron.io/x", "no"), (COMPONENT, "x")];
        let labels = origin(user.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).labels(Component::Etcd);
        assert_eq!(labels["app"], "k0smotron");
        assert_eq!(labels["team"], "z");
        assert_eq!(labels[COMPONENT], "etcd");
        assert!(!labels.contains_key("k0smotron.io/x"));
    }

    /// H-6.
    #[test]
    fn annotations_that_steer_load_balancers_reach_the_service() {
        let mut origin = origin(BTreeMap::new());
        for key in [
            "service.beta.kubernetes.io/x",
            "kubectl.kubernetes.io/last-applied-configuration",
            "k0smotron.io/restart-at",
            "cluster.x-k8s.io/paused",
        ] {
            origin.annotations.insert(key.to_owned(), "v".to_owned());
        }
        assert_eq!(
            origin.service_annotations().into_keys().collect::<Vec<_>>(),
            ["service.beta.kubernetes.io/x"]
        );
    }
}
