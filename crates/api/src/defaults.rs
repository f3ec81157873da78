//! Effective values of fields that a user left unset (design: defaults are functions, not edits).
//!
//! Explicit zero values that older releases stored (empty strings, size `0`, `replicas: 0`) count as unset, and a
//! value equal to the schema default of an image counts as unset too (H-1): defaulting fills it in every object,
//! so it says nothing about the user's wish.

mod hosted;
mod join_token_request;
mod remote_machine;
mod worker_config;

pub use hosted::*;
pub use join_token_request::*;
pub use remote_machine::*;
pub use worker_config::*;
