//! Scripts of ours with their variables.

/// A script: assignments, the common part, the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script(String);

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = include_str!(concat!("scripts/", $file));)*
    };
}

bodies! {
    BEGIN = "begin.sh";
    CLEAN = "clean.sh";
    FINISH = "finish.sh";
    FOLLOW = "follow.sh";
    INSPECT = "inspect.sh";
    LOCK = "lock.sh";
    PROVE = "prove.sh";
    /// It is a file on the host, so it has no common part.
    RUNNER = "runner.sh";
    START = "start.sh";
    STOP = "stop.sh";
    SWEEP = "sweep.sh";
    TAIL = "tail.sh";
    UPLOAD = "upload.sh";
}

const COMMON: &str = include_str!("scripts/common.sh");

impl Script {
    /// A body with its variables.
    pub(super) fn new(variables: &[(&str, &str)], body: &str) -> Self {
        let mut text = String::new();
        for (name, value) in variables {
            text.push_str(name);
            text.push('=');
            text.push_str(&quote(value));
            text.push('\n');
        }
        text.push_str(COMMON);
        text.push_str(body);
        Self(text)
    }

    /// A user's own commands, verbatim.
    pub(super) fn verbatim(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// One word for a POSIX shell, always in single quotes.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
