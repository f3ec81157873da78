//! Which texts cloud-init's templates touch, and how a text is kept from them (10.1).

/// Names of instance data.
const INSTANCE_DATA: [&str; 10] = [
    "ds",
    "v1",
    "instance_id",
    "local_hostname",
    "public_hostname",
    "region",
    "availability_zone",
    "cloud_name",
    "platform",
    "merged_cfg",
];

const RAW: &str = "{% raw %}";
const END_RAW: &str = "{% endraw %}";

/// Whether a template engine would act upon the text at all.
pub(crate) fn has_delimiters(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|delimiter| text.contains(delimiter))
}

/// Whether an expression in the text names instance data.
pub(crate) fn uses_instance_data(text: &str) -> bool {
    [("{{", "}}"), ("{%", "%}")].iter().any(|(open, close)| {
        text.split(open).skip(1).any(|after| {
            let inside = after.split(close).next().unwrap_or_default();
            names(inside).any(|name| INSTANCE_DATA.contains(&name))
        })
    })
}

/// The text in a raw block; `None` if it would end that block itself.
pub(crate) fn raw(text: &str) -> Option<String> {
    (!ends_raw(text)).then(|| format!("{RAW}{text}{END_RAW}"))
}

/// Lines of a shell script in a raw block whose ends are comments to the shell, so that the script is the same with
/// and without the template engine. cloud-init's engine swallows the newline behind the end of a block: hence the
/// empty lines.
pub(crate) fn raw_lines(text: &str) -> Option<String> {
    (!ends_raw(text)).then(|| format!("# {RAW}\n\n{text}\n# {END_RAW}\n"))
}

fn ends_raw(text: &str) -> bool {
    text.split("{%")
        .skip(1)
        .any(|after| after.trim_start_matches(['-', '+']).trim_start().starts_with("endraw"))
}

/// The text without its raw block.
pub(crate) fn unraw(text: &str) -> &str {
    text.strip_prefix(RAW).and_then(|rest| rest.strip_suffix(END_RAW)).unwrap_or(text)
}

/// Identifiers that stand for themselves: `x.ds` and `.ds` are fields of something else.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut place = 0;
    std::iter::from_fn(move || {
        let start = place + expression.get(place..)?.find(word)?;
        let rest = &expression[start..];
        let end = start + rest.find(|letter| !word(letter)).unwrap_or(rest.len());
        place = end;
        let field = expression[..start].trim_end().ends_with('.');
        Some(if field { "" } else { &expression[start..end] })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_data_is_told_from_other_templates() {
        for text in [
            "{{ ds.meta_data.hostname }}",
            "a {{v1.region}}",
            "{% if cloud_name == 'aws' %}",
            "{{ x }}{{ region }}",
        ] {
            assert!(uses_instance_data(text), "{text}");
        }
        for text in ["{{ .Values.region }}", "{{ .ds }}", "{{ regions }}", "region", "{{ x }} region", "{{"] {
            assert!(!uses_instance_data(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_would_leave_its_raw_block_is_not_put_into_one() {
        assert_eq!(raw("{{x}}").as_deref(), Some("{% raw %}{{x}}{% endraw %}"));
        assert_eq!(unraw("{% raw %}{{x}}{% endraw %}"), "{{x}}");
        assert_eq!(raw("{%- endraw %}"), None);
    }
}
