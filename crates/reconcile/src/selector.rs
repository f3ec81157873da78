//! The label selectors that our own watches use: `a=b`, `a`, `a in (b,c)`, joined by commas.

use std::collections::BTreeMap;

/// Whether an object with these labels is selected.
pub(crate) fn matches(selector: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
    let value = |key: &str| labels.and_then(|labels| labels.get(key.trim())).map(String::as_str);
    terms(selector).iter().all(|term| {
        if let Some((key, values)) = term.split_once(" in ") {
            let values = values.trim().trim_start_matches('(').trim_end_matches(')');
            value(key).is_some_and(|value| values.split(',').any(|one| one.trim() == value))
        } else if let Some((key, wanted)) = term.split_once('=') {
            value(key) == Some(wanted.trim_start_matches('=').trim())
        } else {
            value(term).is_some()
        }
    })
}

/// The terms: commas inside parentheses do not separate.
fn terms(selector: &str) -> Vec<&str> {
    let mut depth = 0;
    selector
        .split(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn selects_as_the_api_server_does() {
        let labels = [("a", "b"), ("c", "d")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for yes in ["", "a=b", "a", "a in (x,b),c=d", "a==b"] {
            assert!(matches(yes, Some(&labels)), "{yes}");
        }
        for no in ["a=c", "x", "a in (c,d)", "a=b,x"] {
            assert!(!matches(no, Some(&labels)), "{no}");
        }
        assert!(!matches("a", None));
    }
}
