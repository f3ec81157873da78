//! When work that failed is tried again, and how long a clean-up is.

use std::time::Duration;

/// Section 3: from five seconds, doubling, to five minutes.
const FIRST: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_mins(5);
/// What cannot be watched (a Secret without our label) is looked at this often: the fallback poll of section 3 is 60 s
/// at most, and a person who has just corrected a key is watching.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// `cleanUpPolicy: BestEffort` (6.3).
pub(super) const BEST_EFFORT_ATTEMPTS: u32 = 3;

/// How long to wait after this many failures in a row.
pub(super) fn wait(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LAST)
}

/// Whether this failed attempt at a clean-up is worth telling again: at the tenth, and then about hourly, which at
/// five minutes between two is every twelfth (6.3).
pub(super) fn told_again(failures: u32) -> bool {
    failures >= 10 && (failures - 10).is_multiple_of(12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (1..9).map(|failures| wait(failures).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(wait(u32::MAX), LAST);
    }
}
