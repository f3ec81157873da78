//! Effective values of JoinTokenRequest (hosted chapter, section 16).

use std::time::Duration;

use crate::join_token_request::{JoinRole, JoinTokenRequestSpec};

/// Text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration such as 90m or 1h30m")]
pub struct NotADuration(pub String);

impl JoinTokenRequestSpec {
    /// What the token is for.
    pub fn effective_role(&self) -> JoinRole {
        self.role.unwrap_or_default()
    }

    /// How long the token is valid; `None` is for ever (H-46).
    pub fn lifetime(&self) -> Result<Option<Duration>, NotADuration> {
        let text = self.expiry.as_deref().unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let duration = duration(text).ok_or_else(|| NotADuration(text.to_owned()))?;
        Ok((!duration.is_zero()).then_some(duration))
    }
}

/// Reads a duration as manifests write it: numbers with units, e.g. `1h30m`, `1.5h`, `0`.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        // Longer units before those they begin with.
        let units =
            [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, scale) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        seconds += number * scale;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(expiry: &str) -> Result<Option<Duration>, NotADuration> {
        let spec = JoinTokenRequestSpec { expiry: Some(expiry.to_owned()), ..Default::default() };
        spec.lifetime()
    }

    #[test]
    fn durations_are_read_as_manifests_write_them() {
        for (text, seconds) in
            [("1h30m", 5400), ("90m", 5400), ("1.5h", 5400), ("24h", 86400), ("1500ms", 1), ("1m0s", 60)]
        {
            assert_eq!(lifetime(text).unwrap().map(|lifetime| lifetime.as_secs()), Some(seconds), "{text}");
        }
    }

    #[test]
    fn h_46_no_expiry_and_zero_mean_for_ever() {
        for never in ["", "0", "0s", "0h0m"] {
            assert_eq!(lifetime(never), Ok(None), "{never}");
        }
    }

    #[test]
    fn h_45_whatever_is_no_duration_is_refused() {
        for bad in ["1h; id", "1d", "-1h", "h", "1", "1h ", "1..5h", "1e9999h"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
