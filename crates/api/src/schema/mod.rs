//! From Rust types to the schemas of CRDs.

use schemars::Schema;

/// A plain `integer` without a format, as the released schema has it for ports.
pub(crate) fn no_format(schema: &mut Schema) {
    schema.remove("format");
}
