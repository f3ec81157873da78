//! Lines with times, so that whoever waits knows for what.

use std::time::Instant;

/// Says what begins, and when it is done how long it took.
pub struct Progress {
    began: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self::start()
    }
}

impl Progress {
    /// The clock starts.
    #[allow(clippy::disallowed_methods)] // a person's clock, not a decision's
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// One line with the time since the start.
    pub fn say(&self, words: &str) {
        eprintln!("[{:6.1} s] {words}", self.seconds());
    }
}
