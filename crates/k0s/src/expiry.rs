//! How long a token lives, as users write it: durations of Go.

use jiff::{SignedDuration, Timestamp};

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expiry {text:?} is no duration; write numbers with units h, m, s or ms, such as 1h30m, or 0s for never"
)]
pub struct ExpiryFault {
    /// What was given.
    pub text: String,
}

/// Reads a duration of Go: `1h30m`, `1.5h`, `90s`, `0`. Negative ones are refused: a token born expired is a slip.
pub fn parse_go_duration(text: &str) -> Result<SignedDuration, ExpiryFault> {
    go_duration(text).ok_or_else(|| ExpiryFault { text: text.to_owned() })
}

/// The moment at which a token ends; `None`: never, which a duration of zero means (H-46).
pub fn expiration(from: Timestamp, expiry: SignedDuration) -> Option<Timestamp> {
    if expiry.is_zero() { None } else { Some(from.saturating_add(expiry).unwrap_or(Timestamp::MAX)) }
}

/// Longest first, so that `ms` is not taken for `m`.
const UNITS: [(&str, i128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

fn go_duration(text: &str) -> Option<SignedDuration> {
    if text == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, after) = UNITS.iter().find_map(|(name, unit)| Some((*unit, after.strip_prefix(name)?)))?;
        total = total.checked_add(amount(number, unit)?)?;
        rest = after;
    }
    // Go holds durations in 64 bits of nanoseconds; what it would refuse, we refuse.
    i64::try_from(total).ok().map(SignedDuration::from_nanos)
}

fn amount(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 19 || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits beyond the nanosecond are cut off, as in Go.
    let digits: String = fraction.chars().take(15).collect();
    let parts: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(parts * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_understood() {
        for (text, seconds) in
            [("0s", 0), ("0", 0), ("1h", 3600), ("1h30m", 5400), ("1.5h", 5400), ("90s", 90), ("1000ms", 1)]
        {
            assert_eq!(parse_go_duration(text).unwrap(), SignedDuration::from_secs(seconds), "{text}");
        }
    }

    /// H-45: `expiry: "1h; id"` is refused.
    #[test]
    fn h45_anything_else_is_refused_with_the_value() {
        for text in ["", "1h; id", "1", "-1h", "1 h", "h", "1d", ".", "1h.", "9999999999999h", "1..5h"] {
            let fault = parse_go_duration(text).unwrap_err();
            assert!(fault.to_string().contains(&format!("{text:?}")), "{fault}");
        }
    }

    #[test]
    fn h46_zero_means_never() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(expiration(now, SignedDuration::ZERO), None);
        assert_eq!(
            expiration(now, SignedDuration::from_hours(1)),
            Some("2026-03-01T13:00:00Z".parse().unwrap())
        );
    }
}
