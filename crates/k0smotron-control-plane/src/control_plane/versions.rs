//! Versions as Cluster API compares them: text, in the notation of `spec.version` (cluster-api-contract 1.5).

use k0s::Version;

/// `running` written as `wanted` is: the very text of `wanted` when both are the same version; otherwise its
/// numbers with the same kind of ending (`+k0s.N`, `-k0s.N`, `+k0s`, none).
pub fn in_notation(running: &str, wanted: &str) -> String {
    let (Ok(is), Ok(want)) = (Version::parse_lenient(running), Version::parse_lenient(wanted)) else {
        return running.to_owned();
    };
    let same_build = want.build().is_none_or(|build| is.completed().build() == Some(build));
    if is.numbers() == want.numbers() && is.prerelease() == want.prerelease() && same_build {
        return wanted.to_owned();
    }
    let [major, minor, patch] = is.numbers();
    let numbers = format!("v{major}.{minor}.{patch}");
    let build = is.completed().build().unwrap_or_default();
    if wanted.contains("+k0s.") {
        format!("{numbers}+k0s.{build}")
    } else if wanted.contains("-k0s.") {
        format!("{numbers}-k0s.{build}")
    } else if wanted.ends_with("+k0s") {
        format!("{numbers}+k0s")
    } else {
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::in_notation;

    #[test]
    fn k_18_a_version_is_told_in_the_notation_of_the_spec() {
        for (running, wanted, told) in [
            ("v1.36.3-k0s.0", "v1.36.3+k0s", "v1.36.3+k0s"),
            ("v1.36.3+k0s.0", "v1.36.3", "v1.36.3"),
            ("v1.36.3+k0s.0", "v1.36.3+k0s.0", "v1.36.3+k0s.0"),
            ("v1.35.1+k0s.2", "v1.36.3+k0s", "v1.35.1+k0s"),
            ("v1.35.1+k0s.2", "v1.36.3-k0s.0", "v1.35.1-k0s.2"),
            ("v1.36.3+k0s.1", "v1.36.3+k0s.2", "v1.36.3+k0s.1"),
        ] {
            assert_eq!(in_notation(running, wanted), told, "{running} for {wanted}");
        }
    }
}
