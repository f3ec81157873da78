//! What the API server was asked, by whom.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Who asked: the common name of a client certificate, or a service account.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural of the kind; empty for other URLs.
    pub resource: String,
    /// `status`, `scale`, ...; empty for the object itself.
    pub subresource: String,
    /// Empty for what is in none.
    pub namespace: String,
    /// Empty for collections and for objects that are being created under a generated name.
    pub name: String,
    /// What the client says it is.
    pub user_agent: String,
    /// The request's path and query.
    pub uri: String,
    /// The answer's HTTP status; 0 if there was none.
    pub code: u16,
    /// When the answer was complete, or for a watch began.
    pub at: Timestamp,
}

impl AuditEntry {
    /// Whether it could have changed something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && !self.is_dry_run()
    }

    fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }
}

/// Reads an audit log at Metadata level; an entry per request, in the order of the log.
pub fn read_audit_log(path: &Path) -> Result<Vec<AuditEntry>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    // The last line may be half written: it is another call's.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let event: Event = serde_json::from_str(line).with_context(|| format!("audit log line {line:?}"))?;
        // A watch has one line when it begins and one when it ends.
        if seen.insert(event.audit_id.clone()) {
            entries.push(event.into_entry());
        }
    }
    Ok(entries)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl Event {
    fn into_entry(self) -> AuditEntry {
        let ObjectRef { api_group: group, resource, subresource, namespace, name } = self.object_ref;
        AuditEntry {
            user: self.user.username,
            verb: self.verb,
            group,
            resource,
            subresource,
            namespace,
            name,
            user_agent: self.user_agent,
            uri: self.request_uri,
            code: self.response_status.code,
            at: self.stage_timestamp,
        }
    }
}
