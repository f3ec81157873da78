//! The manager: every controller in one binary.

use std::process::ExitCode;

use clap::Parser;
use manager::bundle::{self, Bundle};
use manager::flags::{CommandLine, Print};

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let result = match &line.print {
        Some(Print::Version) => {
            print(&format!("{}\n", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Some(Print::Crds) => bundle::crds().map(|text| print(&text)),
        Some(Print::Bundle { name, image }) => {
            Bundle::parse(name).and_then(|bundle| bundle::yaml(bundle, image)).map(|text| print(&text))
        }
        None => manager::run(&line.flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("manager: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)] // what these subcommands are for
fn print(text: &str) {
    print!("{text}");
}
