//! The only place that reads a clock, sleeps or draws a random number.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall clock.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock for durations, which never jumps.
#[allow(clippy::disallowed_methods)]
pub fn instant() -> Instant {
    Instant::now()
}

/// Sleeps.
#[allow(clippy::disallowed_methods)]
pub async fn sleep(how_long: Duration) {
    tokio::time::sleep(how_long).await;
}

/// A random number from the process's own hasher keys, which the operating system seeds; not for secrets.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u128(instant().elapsed().as_nanos());
    hasher.finish()
}

/// `base`, lengthened by up to a quarter at random, so that what failed together does not return together.
pub fn jittered(base: Duration) -> Duration {
    // A quarter in 256 steps is fine enough for spreading.
    let part = u32::from(seed().to_le_bytes()[0]);
    base + base / 4 * part / 255
}
