//! Versions of k0s: syntax, order, and the forms in which they are written (k0s.md 1.1).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version such as `v1.36.3+k0s.2`.
///
/// `+k0s.N` and `-k0s.N` are the same; `+k0s` is N = 0; no suffix is a value of its own, older than any suffix.
/// Further build metadata is kept for printing and otherwise ignored, in comparisons too.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u32; 3],
    prerelease: Option<Box<str>>,
    build: Option<u32>,
    metadata: Option<Box<str>>,
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {text:?}: {why}; write it like v1.36.3+k0s.1")]
pub struct VersionFault {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Version {
    /// A stable version.
    pub fn new(major: u32, minor: u32, patch: u32, build: Option<u32>) -> Self {
        Self { numbers: [major, minor, patch], prerelease: None, build, metadata: None }
    }

    /// As `parse`, but `1` and `1.36` are understood too, missing numbers being 0.
    pub fn parse_lenient(text: &str) -> Result<Self, VersionFault> {
        parse(text, 1)
    }

    /// The first number.
    pub fn major(&self) -> u32 {
        self.numbers[0]
    }

    /// The second number.
    pub fn minor(&self) -> u32 {
        self.numbers[1]
    }

    /// The third number.
    pub fn patch(&self) -> u32 {
        self.numbers[2]
    }

    /// All three: nodes report no more than these (`v1.36.3+k0s`), so comparisons with nodes use them.
    pub fn numbers(&self) -> [u32; 3] {
        self.numbers
    }

    /// `alpha.1`, `beta.0`, `rc.2`.
    pub fn prerelease(&self) -> Option<&str> {
        self.prerelease.as_deref()
    }

    /// N of `+k0s.N`; `None` without the suffix.
    pub fn build(&self) -> Option<u32> {
        self.build
    }

    /// With `+k0s.0` where the suffix is missing: what must be done before comparing wish and fact.
    #[must_use]
    pub fn completed(&self) -> Self {
        self.completed_like(0)
    }

    /// With `+k0s.<build>` where the suffix is missing.
    #[must_use]
    pub fn completed_like(&self, build: u32) -> Self {
        Self { build: Some(self.build.unwrap_or(build)), ..self.clone() }
    }

    /// `v1.36.3-k0s.2`: for image tags and label values, where `+` may not stand.
    pub fn dashed(&self) -> String {
        self.written("-k0s.", "-")
    }

    /// `v1.36.3%2Bk0s.2`: for paths of URLs.
    pub fn in_url(&self) -> String {
        self.to_string().replace('+', "%2B")
    }

    /// `1.36`: what worker configuration is named after.
    pub fn minor_text(&self) -> String {
        format!("{}.{}", self.major(), self.minor())
    }

    fn written(&self, suffix: &str, metadata: &str) -> String {
        let [major, minor, patch] = self.numbers;
        let mut text = format!("v{major}.{minor}.{patch}");
        if let Some(prerelease) = &self.prerelease {
            text.push('-');
            text.push_str(prerelease);
        }
        if let Some(build) = self.build {
            text.push_str(suffix);
            text.push_str(&build.to_string());
        }
        if let Some(more) = &self.metadata {
            text.push_str(metadata);
            text.push_str(&more.replace('+', metadata));
        }
        text
    }

    fn key(&self) -> ([u32; 3], bool, &str, Option<u32>) {
        let prerelease = self.prerelease.as_deref();
        (self.numbers, prerelease.is_none(), prerelease.unwrap_or_default(), self.build)
    }
}

/// The tag of the k0s image for a version as a user wrote it (hosted.md 1): the first `+k0s.` becomes `-k0s.`, a
/// final `+k0s` is dropped, `-k0s.0` is appended if no `-k0s.` is in it. It works on the text, so that a user's own
/// tags keep their shape.
pub fn image_tag(version: &str) -> String {
    let tag = version.replacen("+k0s.", "-k0s.", 1);
    let tag = tag.strip_suffix("+k0s").unwrap_or(&tag);
    if tag.contains("-k0s.") { tag.to_owned() } else { format!("{tag}-k0s.0") }
}

impl FromStr for Version {
    type Err = VersionFault;

    fn from_str(text: &str) -> Result<Self, VersionFault> {
        parse(text, 3)
    }
}

fn parse(text: &str, fewest: usize) -> Result<Version, VersionFault> {
    let fault = |why| VersionFault { text: text.to_owned(), why };
    if text.is_empty() {
        return Err(fault("it is empty"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte)) {
        return Err(fault("only letters, digits, '+', '.' and '-' may stand in it"));
    }
    let (main, metadata) = match text.split_once('+') {
        Some((main, metadata)) => (main, Some(metadata)),
        None => (text, None),
    };
    if metadata == Some("") {
        return Err(fault("nothing follows the '+'"));
    }
    let main = main.strip_prefix('v').unwrap_or(main);
    let (main, dashed) = dashed_build(main);
    let (numbers, prerelease) = match main.split_once('-') {
        Some((numbers, prerelease)) => (numbers, Some(prerelease)),
        None => (main, None),
    };
    if prerelease == Some("") {
        return Err(fault("nothing follows the '-'"));
    }
    let numbers = three(numbers, fewest).ok_or_else(|| fault("it needs exactly three numbers"))?;
    let (build, metadata) = match (dashed, metadata) {
        (Some(_), Some(more)) if more.starts_with("k0s") => return Err(fault("it has two k0s suffixes")),
        (Some(build), more) => (Some(build), more.map(Box::from)),
        (None, None) => (None, None),
        (None, Some(more)) => plus_build(more).ok_or_else(|| fault("a number must follow '+k0s.'"))?,
    };
    Ok(Version { numbers, prerelease: prerelease.map(Box::from), build, metadata })
}

/// A final `-k0s.N` is the suffix, never a prerelease.
fn dashed_build(main: &str) -> (&str, Option<u32>) {
    let found = main.rsplit_once("-k0s.").and_then(|(rest, build)| Some((rest, number(build)?)));
    found.map_or((main, None), |(rest, build)| (rest, Some(build)))
}

/// What follows the `+`: the k0s build number, and whatever else was built in.
fn plus_build(metadata: &str) -> Option<(Option<u32>, Option<Box<str>>)> {
    let Some(after) = metadata.strip_prefix("k0s") else {
        return Some((None, Some(metadata.into())));
    };
    if after.is_empty() {
        return Some((Some(0), None));
    }
    let Some(rest) = after.strip_prefix('.') else {
        return Some((None, Some(metadata.into())));
    };
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (build, more) = rest.split_at(end);
    let more = more.strip_prefix(['.', '+', '-']).unwrap_or(more);
    Some((Some(number(build)?), Some(more).filter(|more| !more.is_empty()).map(Box::from)))
}

fn three(text: &str, fewest: usize) -> Option<[u32; 3]> {
    let parts: Vec<_> = text.split('.').map(number).collect::<Option<_>>()?;
    if parts.len() < fewest || parts.len() > 3 {
        return None;
    }
    let at = |place: usize| parts.get(place).copied().unwrap_or(0);
    Some([at(0), at(1), at(2)])
}

/// A number without sign and without leading zeros, so that one version has one text.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata = if self.build.is_some() { "." } else { "+" };
        f.write_str(&self.written("+k0s.", metadata))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Version {}

impl Ord for Version {
    /// Numbers; stable beats prerelease; prerelease as text (`rc.10` before `rc.9`, as k0s itself does); suffixed
    /// beats unsuffixed; N.
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::hash::Hash for Version {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl TryFrom<String> for Version {
    type Error = VersionFault;

    fn try_from(text: String) -> Result<Self, VersionFault> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}
