//! Splitting a line into words as a POSIX shell does, without its expansions (hosted.md 6.3).

/// Why a line cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsFault {
    /// A character that a shell would act upon.
    #[error("unquoted {0:?} has no meaning here, since no shell runs; put it in single quotes")]
    Unquoted(char),
    /// A quote without its partner.
    #[error("quote {0} is not closed")]
    Open(char),
    /// A backslash with nothing behind it.
    #[error("the last backslash quotes nothing")]
    DanglingBackslash,
    /// A byte that no command line can carry.
    #[error("NUL cannot stand in an argument")]
    Nul,
}

/// The words of a line. Quotes and backslashes work as in a POSIX shell; nothing is expanded; an unquoted
/// `$`, backtick, `;`, `|`, `&`, `<`, `>` or newline is refused.
pub fn split_words(line: &str) -> Result<Vec<String>, WordsFault> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '\0' => return Err(WordsFault::Nul),
            '$' | '`' | ';' | '|' | '&' | '<' | '>' | '\n' => return Err(WordsFault::Unquoted(letter)),
            '\'' => single(&mut letters, word.get_or_insert_default())?,
            '"' => double(&mut letters, word.get_or_insert_default())?,
            '\\' => match letters.next() {
                None => return Err(WordsFault::DanglingBackslash),
                // A backslash before a line's end joins two lines.
                Some('\n') => {}
                Some('\0') => return Err(WordsFault::Nul),
                Some(quoted) => word.get_or_insert_default().push(quoted),
            },
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single(letters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), WordsFault> {
    for letter in letters {
        match letter {
            '\'' => return Ok(()),
            '\0' => return Err(WordsFault::Nul),
            other => word.push(other),
        }
    }
    Err(WordsFault::Open('\''))
}

fn double(letters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), WordsFault> {
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Ok(()),
            '\0' => return Err(WordsFault::Nul),
            '\\' => match letters.next() {
                None => return Err(WordsFault::Open('"')),
                Some('\n') => {}
                Some(special @ ('$' | '`' | '"' | '\\')) => word.push(special),
                Some(other) => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
    Err(WordsFault::Open('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let table: [(&str, &[&str]); 9] = [
            ("--debug", &["--debug"]),
            ("  --a  b\t--c=d ", &["--a", "b", "--c=d"]),
            ("--x='a b' \"c d\"e", &["--x=a b", "c de"]),
            (r#"--args="--v=2 --x=\"y\"""#, &[r#"--args=--v=2 --x="y""#]),
            (r"a\ b '' c", &["a b", "", "c"]),
            (r#""a\nb""#, &[r"a\nb"]),
            ("'$HOME;|&<>`'", &["$HOME;|&<>`"]),
            ("\"$HOME\"", &["$HOME"]),
            ("", &[]),
        ];
        for (line, words) in table {
            assert_eq!(split_words(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn what_a_shell_would_act_upon_is_refused() {
        for letter in ['$', '`', ';', '|', '&', '<', '>', '\n'] {
            let line = format!("--a{letter}b");
            assert_eq!(split_words(&line), Err(WordsFault::Unquoted(letter)));
        }
        assert_eq!(split_words("'a"), Err(WordsFault::Open('\'')));
        assert_eq!(split_words("\"a"), Err(WordsFault::Open('"')));
        assert_eq!(split_words("a\\"), Err(WordsFault::DanglingBackslash));
        assert_eq!(split_words("'a\0'"), Err(WordsFault::Nul));
    }
}
