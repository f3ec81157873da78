//! Reading command lines of k0s (k0s.md 3).

/// Flags that stand alone or with `=true`, `=false`. Every other flag without `=` takes the next argument.
const BOOLEANS: [&str; 16] = [
    "--debug",
    "-d",
    "--enable-cloud-provider",
    "--enable-dynamic-config",
    "--enable-k0s-cloud-provider",
    "--enable-metrics-scraper",
    "--enable-worker",
    "--force",
    "--help",
    "--ignore-pre-flight-checks",
    "--init-only",
    "--no-taints",
    "--single",
    "--start",
    "--verbose",
    "-v",
];

/// One flag of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag<'a> {
    /// With its dashes.
    pub name: &'a str,
    /// Behind `=` or as the next argument; `None`: bare.
    pub value: Option<&'a str>,
}

impl Flag<'_> {
    /// Whether a boolean flag says yes: bare, or as Go's flags read `true`.
    pub fn is_true(&self) -> bool {
        matches!(self.value, None | Some("true" | "t" | "T" | "TRUE" | "True" | "1"))
    }
}

/// The flags among the arguments, in order. Arguments that are no flags are passed over, and so is everything
/// behind `--`.
pub fn flags<S: AsRef<str>>(arguments: &[S]) -> Vec<Flag<'_>> {
    let mut found = Vec::new();
    let mut rest = arguments.iter().map(AsRef::as_ref);
    while let Some(argument) = rest.next() {
        if argument == "--" {
            break;
        }
        if !argument.starts_with('-') || argument == "-" {
            continue;
        }
        found.push(match argument.split_once('=') {
            Some((name, value)) => Flag { name, value: Some(value) },
            None if BOOLEANS.contains(&argument) => Flag { name: argument, value: None },
            None => Flag { name: argument, value: rest.next() },
        });
    }
    found
}

/// Whether these arguments of a controller make it a node too (K0S-5). The last word counts, as in k0s.
pub fn is_workerish<S: AsRef<str>>(arguments: &[S]) -> bool {
    let all = flags(arguments);
    ["--enable-worker", "--single"]
        .iter()
        .any(|name| all.iter().rfind(|flag| flag.name == *name).is_some_and(Flag::is_true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K0S-5.
    #[test]
    fn a_controller_is_a_node_too_when_a_flag_says_so() {
        let table: [(&[&str], bool); 9] = [
            (&["--enable-worker"], true),
            (&["--enable-worker=true"], true),
            (&["--single"], true),
            (&["--enable-worker=false"], false),
            (&["--labels", "--enable-worker"], false),
            (&["--labels=--enable-worker"], false),
            (&["--debug", "--enable-worker"], true),
            (&["--enable-worker", "--enable-worker=false"], false),
            (&["enable-worker"], false),
        ];
        for (arguments, workerish) in table {
            assert_eq!(is_workerish(arguments), workerish, "{arguments:?}");
        }
    }
}
