//! Programs that are run to their end.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs a program; standard output, or an error with what it said.
pub fn run<S: AsRef<OsStr> + Debug>(program: impl AsRef<OsStr>, args: &[S]) -> Result<String> {
    output(Command::new(program).args(args))
}

/// Runs a command; standard output, or an error with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command.output().with_context(|| format!("run {program}: is it installed?"))?;
    if !out.status.success() {
        let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!(
            "{program} {}: {}: {}",
            args.join(" "),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
