//! An SSH client that checks whom it talks to.
//!
//! It promises: no byte of a payload leaves before the host's key is accepted; every step has a deadline
//! keys of many kinds log in. It does not know what is run on the host.
//!
//! Files do not travel by SFTP: its server runs as the user who logged in, so it could not write what needs
//! privileges (5.2). They are the standard input of a shell that has them.

mod connection;
mod host_key;
mod rsa;
mod user_key;

pub use connection::{Connection, Live, Output, Target, fingerprint_of};
pub use host_key::{HostKeysFault, Trust, pins};
pub use user_key::{UserKey, UserKeyFault};
