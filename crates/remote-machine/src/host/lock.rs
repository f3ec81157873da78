//! The lock on a host: one run at a time, whoever wants it.

use std::time::Duration;

use super::script::{LOCK, Script};
use super::shell::{SHORT, Shell};
use crate::failure::{Failure, Reason};
use crate::ssh::Live;

/// The lock is held as long as this lives and the connection stands.
pub(super) struct Lock(Live);

/// What asking for the lock gave.
pub(super) enum Asked {
    /// It is ours.
    Locked(Lock),
    /// Our own run holds it.
    Attached,
}

pub(super) async fn ask(
    shell: &Shell<'_>,
    variables: &[(&str, &str)],
    owner: &str,
) -> Result<Asked, Failure> {
    let mut live = shell.start(&Script::new(variables, LOCK)).await?;
    let answer = tokio::time::timeout(SHORT, live.line()).await;
    let answer = answer
        .map_err(|_| Failure::new(Reason::Timeout, "the host did not answer the question for its lock"))??;
    match answer.as_deref() {
        Some("locked") => Ok(Asked::Locked(Lock(live))),
        Some("attached") => Ok(Asked::Attached),
        Some(busy) if busy.starts_with("busy") => {
            let other = busy.trim_start_matches("busy").trim();
            let whose = if other == owner {
                "another manager, or a connection of ours that was cut, still works on it for this machine"
                    .to_owned()
            } else {
                format!("another machine (uid {other}) works on it; two machines must not name the same host")
            };
            Err(Failure::new(Reason::HostBusy, whose))
        }
        _ => Err(Failure::new(
            Reason::UploadFailed,
            "the host's lock cannot be taken; can the user write to spec.workingDir?",
        )),
    }
}

impl Lock {
    /// Lets it go, and waits until that is done.
    pub(super) async fn release(mut self) {
        if self.0.finish_input().await.is_ok() {
            // If the answer does not come the connection is going, and the lock with it.
            let _ = tokio::time::timeout(Duration::from_secs(5), async {
                while let Ok(Some(_)) = self.0.line().await {}
            })
            .await;
        }
    }
}
