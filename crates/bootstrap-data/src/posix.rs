//! Quoting for POSIX shells and systemd units (10.4).

use crate::{Argv, Command};

/// Its value is one string which k0s splits like a shell; it is always written in this form, which users know from
/// the released implementation and compare against.
const KUBELET_ARGS: &str = "--kubelet-extra-args=";

/// One word for a POSIX shell: plain words bare, `--kubelet-extra-args="..."` in its fixed form, all else in single
/// quotes.
pub fn quote_posix(word: &str) -> String {
    if let Some(value) = word.strip_prefix(KUBELET_ARGS) {
        let mut quoted = format!("{KUBELET_ARGS}\"");
        for letter in value.chars() {
            if matches!(letter, '"' | '$' | '\\' | '`') {
                quoted.push('\\');
            }
            quoted.push(letter);
        }
        quoted.push('"');
        return quoted;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// One word for a command line in a systemd unit: `%` and `$` would be expanded even in quotes, so they are doubled.
pub fn quote_systemd(word: &str) -> String {
    let doubled = word.replace('%', "%%").replace('$', "$$");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-$".contains(&byte);
    if !doubled.is_empty() && doubled.bytes().all(plain) {
        return doubled;
    }
    let mut quoted = String::from("\"");
    for letter in doubled.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A command as shell text.
pub(crate) fn text(command: &Command) -> String {
    match command {
        Command::Script(text) => text.clone(),
        Command::Run(argv) => argv_text(argv),
        Command::Pipe(stages) => stages.iter().map(argv_text).collect::<Vec<_>>().join(" | "),
    }
}

/// The plain shell form: the command list, one per line.
pub fn shell(commands: &[Command]) -> String {
    commands.iter().flat_map(|command| [text(command), "\n".to_owned()]).collect()
}

fn argv_text(argv: &Argv) -> String {
    let Argv { env, words } = argv;
    let env = env.iter().map(|(name, value)| format!("{name}={}", quote_posix(value)));
    env.chain(words.iter().map(|word| quote_posix(word))).collect::<Vec<_>>().join(" ")
}
