//! Requests of one user, by verb and resource, from the audit log.

use std::collections::BTreeMap;

use testbed::control_plane::AuditEntry;

/// Counts of requests.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Those that could have changed something.
    pub writes: usize,
    /// `get` and `list`.
    pub reads: usize,
    /// Watches begun.
    pub watches: usize,
    /// `verb resource[/subresource][.group][ code]`, the code if it is no success.
    pub by_kind: BTreeMap<String, usize>,
}

impl Requests {
    /// Counts these entries.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a AuditEntry>) -> Self {
        let mut counts = Self::default();
        for entry in entries {
            if entry.is_write() {
                counts.writes += 1;
            } else if entry.verb == "watch" {
                counts.watches += 1;
            } else {
                counts.reads += 1;
            }
            *counts.by_kind.entry(kind(entry)).or_default() += 1;
        }
        counts
    }

    /// Writes and reads, watches apart.
    pub fn all(&self) -> usize {
        self.writes + self.reads
    }
}

fn kind(entry: &AuditEntry) -> String {
    let AuditEntry { verb, group, resource, subresource, uri, code, .. } = entry;
    let mut words = format!("{verb} ");
    words += if resource.is_empty() { uri.split('?').next().unwrap_or_default() } else { resource };
    if !subresource.is_empty() {
        words.push_str(&["/", subresource].concat());
    }
    if !group.is_empty() {
        words.push_str(&[".", group].concat());
    }
    if *code >= 300 {
        words.push_str(&[" ", &code.to_string()].concat());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(verb: &str, resource: &str, subresource: &str, group: &str, code: u16) -> AuditEntry {
        let own = ToOwned::to_owned;
        AuditEntry {
            user: own("manager"),
            verb: own(verb),
            group: own(group),
            resource: own(resource),
            subresource: own(subresource),
            namespace: String::new(),
            name: String::new(),
            user_agent: String::new(),
            uri: own("/api"),
            code,
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn watches_are_neither_reads_nor_writes() {
        let entries = [
            entry("watch", "pods", "", "", 200),
            entry("get", "secrets", "", "", 404),
            entry("patch", "clusters", "status", "k0smotron.io", 200),
            entry("get", "", "", "", 200),
        ];
        let counts = Requests::of(&entries);
        assert_eq!((counts.writes, counts.reads, counts.watches, counts.all()), (1, 2, 1, 3));
        let kinds: Vec<_> = counts.by_kind.keys().map(String::as_str).collect();
        assert_eq!(
            kinds,
            ["get /api", "get secrets 404", "patch clusters/status.k0smotron.io", "watch pods"]
        );
    }
}
