//! Rules of K0sWorkerConfig (W2, X1).

use schemars::Schema;

use super::{VERSION, field_rule, rule};

const ABSOLUTE: &str = r"^(/|[A-Za-z]:[\\\\/])[^\\n\\x00]*$";

pub(crate) fn worker_spec(schema: &mut Schema) {
    field_rule(
        schema,
        "version",
        &format!("self == '' || self.matches('{VERSION}')"),
        "version must look like v1.34.1+k0s.0",
    );
    for (field, message) in [
        ("workingDir", "workingDir must be an absolute path without a line break"),
        ("k0sInstallDir", "k0sInstallDir must be an absolute path without a line break"),
    ] {
        field_rule(schema, field, &format!("self == '' || self.matches('{ABSOLUTE}')"), message);
    }
    field_rule(
        schema,
        "downloadURL",
        r"self == '' || self.matches('^(https?|oci)://[^\\s]+$')",
        "downloadURL must begin with https://, http:// or oci://",
    );
}

pub(crate) fn provisioner(schema: &mut Schema) {
    rule(
        schema,
        "!has(self.type) || self.type != 'ignition' || has(self.ignition)",
        "provisioner.type ignition needs provisioner.ignition",
    );
    rule(
        schema,
        "!has(self.type) || !self.type.startsWith('powershell') || (has(self.platform) && self.platform == 'windows')",
        "provisioner.type powershell and powershell-xml need provisioner.platform windows",
    );
}

pub(crate) fn file(schema: &mut Schema) {
    rule(
        schema,
        "has(self.contentFrom) ? (!has(self.content) || self.content == '') : has(self.content)",
        "exactly one of content and contentFrom must be given",
    );
}
