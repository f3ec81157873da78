//! Commands that bring the binary onto a host (section 8).

use k0s::{Download, names};

use crate::{Argv, Command};

/// The commands, none when the image holds the binary.
pub fn download_commands(download: &Download) -> Vec<Command> {
    match download {
        Download::PreInstalled => Vec::new(),
        Download::Script { dir, version } => {
            let fetch = Argv::new(["curl", "-sSfL", "--retry", "5", names::INSTALL_SCRIPT]);
            let mut run = Argv::new(["sh"]).with_env("K0S_INSTALL_PATH", dir);
            if let Some(version) = version {
                run = run.with_env("K0S_VERSION", version.to_string());
            }
            vec![Command::Pipe(vec![fetch, run])]
        }
        Download::Fetch { url, to } => {
            vec![Command::run(["curl", "-sSfL", "--retry", "5", url, "-o", to]), executable(to)]
        }
        Download::Oci { reference, to } => vec![
            // oras keeps its login below HOME, which cloud-init does not set.
            Command::run(["export", "HOME=/root"]),
            Command::run(["oras", "blob", "fetch", "--output", to, reference]),
            executable(to),
        ],
    }
}

fn executable(path: &str) -> Command {
    Command::run(["chmod", "+x", path])
}
