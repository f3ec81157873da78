//! References between objects, as contract v1beta2 writes them.

use serde::{Deserialize, Serialize};

/// A reference by group, kind and name: the namespace is the referrer's, the version comes from the contract
/// label of the kind's CRD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContractVersionedObjectReference {
    /// The API group of the object, e.g. `infrastructure.cluster.x-k8s.io`.
    pub api_group: String,
    /// The kind of the object.
    pub kind: String,
    /// The name of the object.
    pub name: String,
}

impl ContractVersionedObjectReference {
    /// Whether this refers to an object of that group and kind.
    pub fn is_a(&self, api_group: &str, kind: &str) -> bool {
        self.api_group == api_group && self.kind == kind
    }

    /// Whether this refers to that very object of the referrer's namespace.
    pub fn is(&self, api_group: &str, kind: &str, name: &str) -> bool {
        self.is_a(api_group, kind) && self.name == name
    }
}
