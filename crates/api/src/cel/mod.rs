//! Rules that the API server itself checks.
use schemars::Schema;
pub(crate) fn hosted_spec(_: &mut Schema) {}
pub(crate) fn service(_: &mut Schema) {}
pub(crate) fn persistence(_: &mut Schema) {}
pub(crate) fn storage(_: &mut Schema) {}
pub(crate) fn etcd(_: &mut Schema) {}
pub(crate) fn join_token_request_spec(_: &mut Schema) {}
pub(crate) fn worker_spec(_: &mut Schema) {}
pub(crate) fn provisioner(_: &mut Schema) {}
pub(crate) fn remote_machine_spec(_: &mut Schema) {}
