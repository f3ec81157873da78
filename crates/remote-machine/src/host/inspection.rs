//! What is on a host, and what follows from it: rows 1 to 4 of section 5.4.

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Reason};

/// Where a run stands, as its directory tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Nothing was started.
    Empty,
    /// Its runner lives.
    Running,
    /// Its runner has ended before all was done.
    Partial,
    /// All was done.
    Done,
}

/// Facts about a host that go into the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// As Kubernetes names it.
    pub operating_system: String,
    /// As Kubernetes names it.
    pub architecture: String,
    /// Its own name.
    pub hostname: String,
    /// Its own addresses.
    pub addresses: Vec<String>,
}

/// What the inspection script tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Facts for the status.
    pub host: HostFacts,
    /// The sentinel file is there.
    pub sentinel: bool,
    /// Files of k0s services.
    pub services: Vec<String>,
    /// Every file of the data is there with the same content.
    pub equal: bool,
    /// Our own run.
    pub own: Option<RunState>,
    /// Other runs: id, uid of the machine, state.
    pub others: Vec<(String, String, RunState)>,
}

impl Inspection {
    /// Reads what the script printed; `None` if that is not complete.
    pub fn parse(text: &str) -> Option<Self> {
        let mut found = Self::default();
        let mut complete = false;
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let value = value.trim().to_owned();
            match key {
                "os" => found.host.operating_system = value.to_ascii_lowercase(),
                "arch" => architecture(&value).clone_into(&mut found.host.architecture),
                "hostname" => found.host.hostname = value,
                "address" => found.host.addresses.push(value),
                "sentinel" => found.sentinel = true,
                "service" => found.services.push(value),
                "equal" => found.equal = value == "yes",
                "own" => found.own = state(&value),
                "other" => {
                    let mut words = value.split_whitespace();
                    if let (Some(id), Some(uid), Some(state)) =
                        (words.next(), words.next(), words.next().and_then(state))
                    {
                        found.others.push((id.to_owned(), uid.to_owned(), state));
                    }
                }
                "end" => complete = true,
                _ => {}
            }
        }
        complete.then_some(found)
    }
}

fn state(word: &str) -> Option<RunState> {
    match word {
        "empty" => Some(RunState::Empty),
        "running" => Some(RunState::Running),
        "partial" => Some(RunState::Partial),
        "done" => Some(RunState::Done),
        _ => None,
    }
}

fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What to do with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All was done before: success, and nothing is run.
    Done,
    /// The run goes on by itself: watch it.
    Follow,
    /// The run was begun: go on at the first step that has not succeeded.
    Resume,
    /// Begin; a sentinel of earlier times is removed.
    Begin {
        /// There is one.
        stale_sentinel: bool,
    },
    /// A former run of this machine with other data got somewhere: undo it, then begin.
    Redo,
}

/// Rows 3 and 4 of section 5.4, in their order.
pub fn judge(found: &Inspection, owner: &str, brings_files: bool, force: bool) -> Result<Verdict, Failure> {
    match found.own {
        // A reboot removes the sentinel, not the fact: nothing is ever run twice.
        Some(RunState::Done) => return Ok(Verdict::Done),
        Some(RunState::Running) => return Ok(Verdict::Follow),
        Some(RunState::Partial) => return Ok(Verdict::Resume),
        Some(RunState::Empty) | None => {}
    }
    let begin = Verdict::Begin { stale_sentinel: found.sentinel };
    if force {
        return Ok(begin);
    }
    for (id, uid, state) in &found.others {
        match (uid == owner, state) {
            (true, RunState::Done) => return Ok(Verdict::Done),
            (true, RunState::Running) => {
                return Err(Failure::new(
                    Reason::HostBusy,
                    format!("run {id} of this machine with former bootstrap data is still going on"),
                ));
            }
            (true, RunState::Partial) => return Ok(Verdict::Redo),
            (false, RunState::Running) => {
                return Err(Failure::new(
                    Reason::HostBusy,
                    format!("run {id} of another machine (uid {uid}) is going on"),
                ));
            }
            (false, RunState::Partial | RunState::Done) => {
                return Err(not_clean(&format!("run {id} of another machine (uid {uid}) was left there")));
            }
            (_, RunState::Empty) => {}
        }
    }
    if found.sentinel && brings_files && found.equal && !found.services.is_empty() {
        // Provisioned by an implementation that left no run state, and the report of it was lost.
        return Ok(Verdict::Done);
    }
    match found.services.first() {
        Some(service) => Err(not_clean(&format!("a k0s service ({service}) is installed there"))),
        None => Ok(begin),
    }
}

fn not_clean(what: &str) -> Failure {
    Failure::new(
        Reason::HostNotClean,
        format!(
            "{what}; clean the host (k0s stop, k0s reset), or set annotation k0smotron.io/force-provision: \"true\""
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Inspection {
        Inspection::parse(&format!("uid 0\nos Linux\narch x86_64\nhostname h\n{text}\nend\n")).unwrap()
    }

    fn reason(found: &Inspection) -> Reason {
        judge(found, "me", true, false).unwrap_err().reason
    }

    #[test]
    fn r2_a_run_that_is_done_is_never_run_again_also_after_a_reboot() {
        assert_eq!(judge(&found("own done\nsentinel"), "me", true, false), Ok(Verdict::Done));
        assert_eq!(judge(&found("own done"), "me", true, false), Ok(Verdict::Done));
        assert_eq!(judge(&found("other abc me done"), "me", true, false), Ok(Verdict::Done));
    }

    #[test]
    fn r2_a_run_that_was_begun_is_watched_or_resumed() {
        assert_eq!(judge(&found("own running"), "me", true, false), Ok(Verdict::Follow));
        assert_eq!(
            judge(&found("own partial\nservice /etc/init.d/k0sworker"), "me", true, false),
            Ok(Verdict::Resume)
        );
    }

    #[test]
    fn a_sentinel_alone_is_stale() {
        assert_eq!(
            judge(&found("sentinel\nequal no"), "me", true, false),
            Ok(Verdict::Begin { stale_sentinel: true })
        );
    }

    #[test]
    fn r19_a_host_that_was_provisioned_without_run_state_is_taken_over() {
        let text = "sentinel\nequal yes\nservice /etc/systemd/system/k0sworker.service";
        assert_eq!(judge(&found(text), "me", true, false), Ok(Verdict::Done));
        // Without files there is nothing to recognise it by.
        assert_eq!(judge(&found(text), "me", false, false).unwrap_err().reason, Reason::HostNotClean);
    }

    #[test]
    fn a_host_of_others_is_refused_unless_forced() {
        let service = found("service /etc/systemd/system/k0sworker.service\nequal no");
        assert_eq!(reason(&service), Reason::HostNotClean);
        assert_eq!(judge(&service, "me", true, true), Ok(Verdict::Begin { stale_sentinel: false }));
        assert_eq!(reason(&found("other abc you partial")), Reason::HostNotClean);
        assert_eq!(reason(&found("other abc you running")), Reason::HostBusy);
    }

    #[test]
    fn a_former_run_of_the_same_machine_with_other_data_is_undone_first() {
        assert_eq!(judge(&found("other abc me partial"), "me", true, false), Ok(Verdict::Redo));
    }

    #[test]
    fn an_incomplete_answer_is_no_inspection() {
        assert_eq!(Inspection::parse("os Linux\n"), None);
        assert_eq!(found("").host.architecture, "amd64");
    }
}
