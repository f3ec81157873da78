//! The manager crate.

fn main() {}
