//! Rules of RemoteMachine (remote-machine chapter, 1.1).

use schemars::Schema;

use super::{field_rule, rule};

pub(crate) fn remote_machine_spec(schema: &mut Schema) {
    field_rule(schema, "port", "self >= 0 && self <= 65535", "port must be between 1 and 65535; 0 means 22");
    field_rule(
        schema,
        "workingDir",
        r"self == '' || self.matches('^/[^\\n\\x00]*$')",
        "workingDir must be an absolute path without a line break",
    );
    for (field, message) in [
        ("address", "address must not contain white space nor begin with a dash"),
        ("user", "user must not contain white space nor begin with a dash"),
    ] {
        field_rule(schema, field, r"self.matches('^([^\\s-][^\\s]*)?$')", message);
    }
    field_rule(schema, "providerID", "self.size() <= 512", "providerID must have at most 512 characters");
    rule(
        schema,
        "!has(self.hostKeyPolicy) || self.hostKeyPolicy != 'Pinned' || (has(self.hostKeys) && self.hostKeys.size() > 0) \
         || has(self.hostKeysRef)",
        "hostKeyPolicy Pinned needs hostKeys or hostKeysRef",
    );
}

pub(crate) fn provision_job(schema: &mut Schema) {
    rule(
        schema,
        "!has(self.jobSpecTemplate) || (has(self.jobSpecTemplate.spec) && has(self.jobSpecTemplate.spec.template.spec) \
         && self.jobSpecTemplate.spec.template.spec.containers.size() > 0)",
        "provisionJob.jobSpecTemplate needs at least one container",
    );
}
