//! The setup of a host, before it is text.

use std::fmt;
use std::str::FromStr;

use pki::SecretBytes;

/// Files, then commands, in order; and what the user adds in the words of the target's own tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSetup {
    /// Written first, in order.
    pub files: Vec<File>,
    /// Run after that, in order.
    pub commands: Vec<Command>,
    /// The user's own text for the target's tool.
    pub custom: Option<Custom>,
}

/// A file on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Absolute.
    pub path: String,
    /// Any bytes. Many files hold keys and tokens, so all are treated as secret.
    pub content: SecretBytes,
    /// Mode bits.
    pub permissions: Permissions,
    /// `user` or `user:group`; unset: whoever writes.
    pub owner: Option<String>,
    /// Add to a file that exists.
    pub append: bool,
    /// Whether cloud-init may fill in instance data.
    pub rendering: Rendering,
}

impl File {
    /// A file that is replaced, belongs to its writer, and is given literally if it does not use instance data.
    pub fn new(path: impl Into<String>, permissions: Permissions, content: impl Into<SecretBytes>) -> Self {
        Self {
            path: path.into(),
            content: content.into(),
            permissions,
            owner: None,
            append: false,
            rendering: Rendering::Auto,
        }
    }
}

/// Mode bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permissions(u16);

impl Permissions {
    /// Readable by all: the default.
    pub const PUBLIC: Self = Self(0o644);
    /// For the owner's eyes: tokens and keys.
    pub const PRIVATE: Self = Self(0o600);
    /// A program for the owner alone.
    pub const PRIVATE_PROGRAM: Self = Self(0o700);

    /// The bits.
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self::PUBLIC
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A text that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("permissions {0:?} are no octal mode between 0000 and 7777; write them like \"0644\"")]
pub struct PermissionsFault(pub String);

impl FromStr for Permissions {
    type Err = PermissionsFault;

    /// Octal, with or without leading zero or `0o`.
    fn from_str(text: &str) -> Result<Self, PermissionsFault> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        octal
            .then(|| u16::from_str_radix(digits, 8).ok())
            .flatten()
            .filter(|bits| *bits <= 0o7777)
            .map(Self)
            .ok_or_else(|| PermissionsFault(text.to_owned()))
    }
}

/// Whether cloud-init's templates apply to a text (10.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rendering {
    /// They do if the text uses instance data; else it is given literally.
    #[default]
    Auto,
    /// Never.
    Literal,
    /// Always.
    Jinja,
}

/// A command. Ours are words, which the renderer quotes; a user's are shell text, which nobody touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// One program.
    Run(Argv),
    /// Programs, each reading what the former writes.
    Pipe(Vec<Argv>),
    /// Shell text, verbatim.
    Script(String),
}

impl Command {
    /// A program with its arguments.
    pub fn run<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self::Run(Argv::new(words))
    }

    /// As text for a POSIX shell, words quoted.
    pub fn to_posix(&self) -> String {
        crate::posix::text(self)
    }
}

/// A program with its arguments, and what it finds in its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argv {
    /// Names and values.
    pub env: Vec<(String, String)>,
    /// The program first.
    pub words: Vec<String>,
}

impl Argv {
    /// Without own environment.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self { env: Vec::new(), words: words.into_iter().map(Into::into).collect() }
    }

    /// With one more variable.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// A user's own text: cloud-config, a script, or whatever the target's tool takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// Verbatim.
    pub text: SecretBytes,
}
