//! Feature gates, read as Go's manager reads them (packaging-and-api 2.3, P-11).

use std::collections::BTreeMap;

/// The gates that exist, with their defaults.
const GATES: [(&str, bool); 2] = [("CloudInitVars", false), ("InPlaceUpdates", false)];

/// The gates as set; an unusable setting is ignored whole, with the warning that is returned.
pub fn parse(text: &str) -> (BTreeMap<&'static str, bool>, Option<String>) {
    let defaults: BTreeMap<_, _> = GATES.into();
    let mut gates = defaults.clone();
    for pair in unquoted(text).split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return (
                defaults,
                Some(format!("feature gate {pair:?} has no =value; all feature gates keep their defaults")),
            );
        };
        let Some((known, _)) = GATES.iter().find(|(known, _)| *known == name.trim()) else {
            return (
                defaults,
                Some(format!(
                    "unknown feature gate {:?}; all feature gates keep their defaults",
                    name.trim()
                )),
            );
        };
        match value.trim() {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => gates.insert(known, true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => gates.insert(known, false),
            other => {
                return (
                    defaults,
                    Some(format!(
                        "feature gate {known}={other:?} is no boolean; all feature gates keep their defaults"
                    )),
                );
            }
        };
    }
    (gates, None)
}

/// Without blanks around it and without a pair of quotes: clusterctl's way to say "nothing".
pub fn unquoted(text: &str) -> &str {
    let text = text.trim();
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn p_11_gate_text_as_go_ships_it() {
        for (text, in_place, warned) in [
            ("", false, false),
            ("\"\"", false, false),
            (" InPlaceUpdates = t ", true, false),
            ("InPlaceUpdates=true,CloudInitVars=0", true, false),
            ("InPlaceUpdates=true,NoSuch=true", false, true),
            ("InPlaceUpdates", false, true),
            ("InPlaceUpdates=yes", false, true),
        ] {
            let (gates, warning) = parse(text);
            assert_eq!((gates["InPlaceUpdates"], warning.is_some()), (in_place, warned), "{text:?}");
        }
    }
}
