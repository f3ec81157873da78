//! What a new host is told: files to write and commands to run, and the texts in which that travels.
//!
//! What it promises: the same setup gives the same bytes; every renderer quotes for its target, so that nobody
//! else does; [`parse`] reads back what [`cloud_config`] writes, and the cloud-config of users too. Text is made by
//! serialisers. What it does not know: Kubernetes, the network, who reads the result.
//!
//! Rule numbers are those of the control-plane and bootstrap chapter.

mod cloud_config;
mod download;
mod jinja;
mod json;
mod parse;
mod posix;
mod script;
mod setup;
mod user_text;

pub use cloud_config::{RenderFault, cloud_config};
pub use download::download_commands;
pub use json::{from_json, to_json};
pub use parse::{ParseFault, parse};
pub use posix::{quote_posix, quote_systemd, shell};
pub use script::{Phase, SENTINEL, ScriptOptions, Step, with_bootstrap_script};
pub use setup::{Argv, Command, Custom, File, NodeSetup, Permissions, PermissionsFault, Rendering};
