//! Rules of the hosted kinds (H-3).

use schemars::Schema;

use super::{VERSION, field_rule, rule, rule_unless};

/// Effective kind of storage of a spec called `S`.
const TYPE: &str = "(has(S.storage) && has(S.storage.type) ? S.storage.type : 'etcd')";
/// Effective number of replicas of a spec called `S`.
const REPLICAS: &str = "(has(S.replicas) ? S.replicas : 1)";
/// Whether a spec called `S` names a data source for kine. The placeholder is what older releases stored for none.
const SOURCE: &str = "(has(S.storage) && has(S.storage.kine) && \
    ((has(S.storage.kine.dataSourceSecretName) && S.storage.kine.dataSourceSecretName != '') || \
     (has(S.storage.kine.dataSourceURL) && S.storage.kine.dataSourceURL != '' && \
      S.storage.kine.dataSourceURL != '__K0SMOTRON_KINE_DATASOURCE_URL_PLACEHOLDER__')))";

/// Enough of a version to compare numbers, and short: the API server's cost estimate grows with the pattern, and
/// the whole one would be over its budget.
const NUMBERS: &str = r"^v?[0-9]+\\.[0-9]+\\.";

fn of(expression: &str, spec: &str) -> String {
    expression.replace("S.", &format!("{spec}."))
}

pub(crate) fn hosted_spec(schema: &mut Schema) {
    rule(
        schema,
        &format!("{} == {}", of(TYPE, "self"), of(TYPE, "oldSelf")),
        "storage.type cannot be changed: the data would stay behind; make a new cluster",
    );
    rule(
        schema,
        &format!("{} != 'nats' || {} == {}", of(TYPE, "self"), of(REPLICAS, "self"), of(REPLICAS, "oldSelf")),
        "replicas cannot be changed with storage nats; make a new cluster",
    );
    rule_unless(
        schema,
        &format!(
            "{} == {} && {} == {} && {} == {}",
            of(TYPE, "self"),
            of(TYPE, "oldSelf.value()"),
            of(REPLICAS, "self"),
            of(REPLICAS, "oldSelf.value()"),
            of(SOURCE, "self"),
            of(SOURCE, "oldSelf.value()"),
        ),
        &format!("{} != 'kine' || {} || {} <= 1", of(TYPE, "self"), of(SOURCE, "self"), of(REPLICAS, "self")),
        "replicas must be 1 with storage kine and no data source: each pod would have a database of its own; set \
         storage.kine.dataSourceSecretName",
    );
    rule_unless(
        schema,
        "has(self.ingress) == has(oldSelf.value().ingress) && has(self.gateway) == has(oldSelf.value().gateway)",
        "!has(self.ingress) || !has(self.gateway)",
        "ingress and gateway exclude each other; remove one of them",
    );
    field_rule(schema, "replicas", "self >= 0", "replicas must not be negative");
    field_rule(
        schema,
        "version",
        &format!("self == '' || self.matches('{VERSION}')"),
        "version must look like v1.34.1+k0s.0 or v1.34.1-k0s.0",
    );
    field_rule(
        schema,
        "version",
        &format!(
            "!self.matches('{NUMBERS}') || !oldSelf.matches('{NUMBERS}') || \
             self.split('.')[0].replace('v', '') == oldSelf.split('.')[0].replace('v', '')"
        ),
        "version cannot be changed to another major version",
    );
    field_rule(
        schema,
        "version",
        &format!(
            "!self.matches('{NUMBERS}') || !oldSelf.matches('{NUMBERS}') || \
             int(self.split('.')[1]) <= int(oldSelf.split('.')[1]) + 1"
        ),
        "upgrading more than one minor version at a time is not allowed by the Kubernetes skew policy",
    );
}

pub(crate) fn service(schema: &mut Schema) {
    field_rule(schema, "apiPort", "self >= 0 && self <= 65535", "apiPort must be between 1 and 65535");
    field_rule(
        schema,
        "konnectivityPort",
        "self >= 0 && self <= 65535",
        "konnectivityPort must be between 1 and 65535",
    );
    rule(
        schema,
        "!has(self.apiPort) || !has(self.konnectivityPort) || self.apiPort == 0 || self.apiPort != self.konnectivityPort",
        "apiPort and konnectivityPort must differ",
    );
    rule(
        schema,
        "!has(self.portAllocation) || self.portAllocation != 'Auto' || (has(self.type) && self.type == 'NodePort')",
        "portAllocation Auto needs type NodePort",
    );
}

pub(crate) fn persistence(schema: &mut Schema) {
    field_rule(
        schema,
        "type",
        "self in ['', 'emptyDir', 'hostPath', 'pvc']",
        "persistence.type must be emptyDir, hostPath or pvc",
    );
    rule(
        schema,
        "!has(self.type) || self.type != 'pvc' || has(self.persistentVolumeClaim)",
        "persistence.type pvc needs persistence.persistentVolumeClaim",
    );
    rule(
        schema,
        "!has(self.type) || self.type != 'hostPath' || (has(self.hostPath) && self.hostPath.startsWith('/'))",
        "persistence.type hostPath needs an absolute path in persistence.hostPath",
    );
}

pub(crate) fn etcd(schema: &mut Schema) {
    field_rule(schema, "replicas", "self in [1, 3, 5, 7]", "storage.etcd.replicas must be 1, 3, 5 or 7");
}

pub(crate) fn volume_request(schema: &mut Schema) {
    rule(
        schema,
        "!has(self.size) || !has(oldSelf.size) || !isQuantity(string(self.size)) || \
         !isQuantity(string(oldSelf.size)) || \
         quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",
        "size cannot shrink: Kubernetes has no way to take space from a volume",
    );
}
