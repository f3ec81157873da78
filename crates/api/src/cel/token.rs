//! Rules of JoinTokenRequest.

use schemars::Schema;

use super::field_rule;

pub(crate) fn join_token_request_spec(schema: &mut Schema) {
    // Matched before it is read, so that whatever is no duration ends here and nowhere else (H-45).
    field_rule(
        schema,
        "expiry",
        "self == '' || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$')",
        "expiry must be a duration such as 90m or 1h30m; 0s means never",
    );
}
