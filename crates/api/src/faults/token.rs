//! Faults of JoinTokenRequests.

use crate::join_token_request::JoinTokenRequestSpec;

use super::{Fault, Validate, not_yet};

impl Validate for JoinTokenRequestSpec {
    fn own_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.cluster_name.is_empty() {
            faults.push(Fault::new(
                "spec.clusterName",
                "",
                "is needed: the name of a Cluster in this namespace",
            ));
        }
        if self.lifetime().is_err() {
            faults.push(Fault::new(
                "spec.expiry",
                self.expiry.as_deref().unwrap_or_default(),
                "must be a duration such as 90m or 1h30m; 0s means never",
            ));
        }
        faults.extend(not_yet::token(self));
        faults
    }
}
