//! What of a line of output may be shown (5.6, R-6).

/// Most bytes of a line that are shown.
const MOST: usize = 256;
/// Longer runs of base64 letters are keys or certificates.
const BASE64: usize = 64;
/// Words after which a value is secret.
const BEFORE_SECRETS: [&str; 9] =
    ["password", "passwd", "passphrase", "token", "secret", "authorization", "bearer", "api-key", "apikey"];
const HIDDEN: &str = "[redacted]";

/// A line without what looks like a secret, and without any of the secret words that are known.
pub fn redact(line: &str, secrets: &[&str]) -> String {
    let mut line = line.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 6) {
        line = line.replace(secret, HIDDEN);
    }
    if line.contains("PRIVATE KEY") {
        return HIDDEN.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut hide_next = false;
    for word in line.split_whitespace() {
        let lower = word.to_ascii_lowercase();
        let bare = lower.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let announces = BEFORE_SECRETS.iter().any(|before| bare == *before || bare == format!("{before}:"));
        if hide_next && bare == "bearer" {
            words.push(word.to_owned());
        } else if hide_next {
            words.push(HIDDEN.to_owned());
            hide_next = false;
        } else {
            words.push(hide(word, &lower));
            // "password: x", "--token x", "Authorization: Bearer x"; but not "token has expired".
            hide_next =
                announces && (word.ends_with([':', '=']) || word.starts_with('-') || bare == "bearer");
        }
    }
    let mut shown = words.join(" ");
    shown.retain(|letter| !letter.is_control());
    if shown.len() > MOST {
        let cut = (0..=MOST - 3).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0);
        shown.truncate(cut);
        shown.push_str("...");
    }
    shown
}

fn hide(word: &str, lower: &str) -> String {
    for before in BEFORE_SECRETS {
        // password=x, "token":"x", --secret=x
        if let Some(at) = lower.find(before) {
            let rest = &word[at + before.len()..];
            let gap = rest.len() - rest.trim_start_matches(['"', '\'', '_', '-']).len();
            let value = &rest[gap..];
            if value.starts_with(['=', ':']) && value.len() > 1 {
                return format!("{}{HIDDEN}", &word[..=at + before.len() + gap]);
            }
        }
    }
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((user, host)) = rest.split_once('@')
        && !user.contains('/')
    {
        return format!("{scheme}://{HIDDEN}@{host}");
    }
    if is_token(word) || has_base64(word) { HIDDEN.to_owned() } else { word.to_owned() }
}

/// `id.secret` of a bootstrap token: 6 and 16 letters and digits; or a JWT.
fn is_token(word: &str) -> bool {
    let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    if word.starts_with("eyJ") && word.matches('.').count() == 2 {
        return true;
    }
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    word.split_once('.')
        .is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret))
}

fn has_base64(word: &str) -> bool {
    let mut run = 0;
    for letter in word.bytes() {
        run = if letter.is_ascii_alphanumeric() || b"+/=_-".contains(&letter) { run + 1 } else { 0 };
        if run > BASE64 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        for (line, secret) in [
            ("login failed: password=hunter2", "hunter2"),
            ("PASSWORD: hunter2 is wrong", "hunter2"),
            ("using token abcdef.0123456789abcdef for join", "0123456789abcdef"),
            ("curl -H Authorization: Bearer s3cr3t-value", "s3cr3t-value"),
            ("k0s worker --token s3cr3t", "s3cr3t"),
            ("{\"client_secret\":\"s3cr3t\"}", "s3cr3t"),
            ("GET https://user:pw1234@host/path", "pw1234"),
            ("-----BEGIN RSA PRIVATE KEY-----", "BEGIN RSA"),
            ("eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
            (&format!("H4sIAAAA{}", "A".repeat(80)), "AAAAAAAA"),
        ] {
            let shown = redact(line, &[]);
            assert!(!shown.contains(secret), "{line} -> {shown}");
        }
    }

    #[test]
    fn known_secrets_are_not_shown_wherever_they_stand() {
        assert_eq!(
            redact("cat: x-hunter2-y: no such file", &["hunter2"]),
            "cat: x-[redacted]-y: no such file"
        );
    }

    #[test]
    fn plain_words_stay_and_long_lines_are_cut() {
        let line = "Error: token has expired, see https://docs.k0sproject.io/stable/";
        assert_eq!(redact(line, &[]), line);
        assert!(redact(&"word ".repeat(100), &[]).len() <= 256);
    }
}
