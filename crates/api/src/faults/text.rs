//! Questions about single texts.

/// Whether this is a version of k0s: `v?X.Y.Z[-pre]`, then nothing, `+k0s`, `+k0s.N` or `-k0s.N`.
pub(super) fn is_version(text: &str) -> bool {
    numbers(text).is_some()
}

/// Major, minor and patch of a version of k0s.
pub(super) fn numbers(text: &str) -> Option<[u32; 3]> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (core, build) = match text.find("+k0s").or_else(|| text.find("-k0s")) {
        Some(at) => (&text[..at], &text[at + 4..]),
        None => (text, ""),
    };
    let build_is_number = build.strip_prefix('.').is_some_and(is_number);
    if !(build.is_empty() || build_is_number) {
        return None;
    }
    let (core, pre) = core.split_once('-').map_or((core, None), |(core, pre)| (core, Some(pre)));
    if pre.is_some_and(|pre| pre.is_empty() || !pre.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')) {
        return None;
    }
    let mut parts = core.split('.').map(|part| is_number(part).then(|| part.parse().ok()).flatten());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this is an absolute path in one line.
pub(super) fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['\n', '\0'])
}

/// Whether this is an absolute path in one line, on Linux or Windows.
pub(super) fn is_absolute_anywhere(path: &str) -> bool {
    let drive = |path: &str| {
        let mut chars = path.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.next() == Some(':')
            && matches!(chars.next(), Some('/' | '\\'))
    };
    is_absolute(path) || (drive(path) && !path.contains(['\n', '\0']))
}

/// Whether these are permissions of a file: three octal digits, or four.
pub(super) fn is_octal(text: &str) -> bool {
    matches!(text.len(), 3 | 4) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
}

/// The characters that a shell would act on outside quotes and that are refused in flags (hosted chapter, 6.3).
const SHELL_ACTS: [char; 8] = ['$', '`', ';', '|', '&', '<', '>', '\n'];

/// The first thing in a list of words that a shell would act on, or `None`: plain words, quotes and escapes.
/// In double quotes `$` and the backtick act too.
pub(super) fn first_shell_act(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut quote = None;
    while let Some(c) = chars.next() {
        if c == '\\' && quote != Some('\'') {
            if chars.next().is_none() {
                return Some("a backslash at the end".to_owned());
            }
            continue;
        }
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (Some('\''), _) => {}
            (Some(_), '$' | '`') => return Some(format!("{c:?} in double quotes")),
            (None, c) if SHELL_ACTS.contains(&c) => return Some(format!("an unquoted {c:?}")),
            _ => {}
        }
    }
    quote.map(|quote| format!("an open {quote:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_other_texts() {
        for good in ["v1.34.1+k0s.0", "1.34.1-k0s.0", "v1.34.1", "v1.34.1+k0s", "v1.34.1-rc.1+k0s.2"] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "",
            "latest",
            "v1.34",
            "v1.34.1.2",
            "v1.34.x",
            "v1.34.1+rke2",
            "v1.34.1+k0s.x",
            "v1.34.1-",
            "v1..1",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn flags_may_quote_what_a_shell_would_act_on() {
        for plain in ["--a=b", "--a 'x;y'", r"--a=x\;y", "--a=\"x;y\"", "--labels=a=b,c=d"] {
            assert_eq!(first_shell_act(plain), None, "{plain}");
        }
        for (acts, what) in [
            ("--a;b", "an unquoted ';'"),
            ("--a=$HOME", "an unquoted '$'"),
            ("--a=\"$HOME\"", "'$' in double quotes"),
            ("--a='b", "an open '\\''"),
            ("--a\n--b", "an unquoted '\\n'"),
            ("--a\\", "a backslash at the end"),
        ] {
            assert_eq!(first_shell_act(acts).as_deref(), Some(what));
        }
    }

    #[test]
    fn paths_and_permissions() {
        assert!(is_absolute("/a b") && !is_absolute("a") && !is_absolute("/a\nb"));
        assert!(
            is_absolute_anywhere("C:\\k0s")
                && is_absolute_anywhere("c:/k0s")
                && !is_absolute_anywhere("C:k0s")
        );
        assert!(is_octal("0644") && is_octal("600") && !is_octal("888") && !is_octal("u+x") && !is_octal(""));
    }
}
