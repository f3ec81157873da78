//! The Prometheus text format 0.0.4, from the OpenMetrics text that the library writes.
//!
//! They differ in what a counter's header names: the family in OpenMetrics, the sample (`..._total`) in 0.0.4, whose
//! readers would otherwise take it for an untyped metric. 0.0.4 knows neither units nor an end mark.

pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (end, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                out.extend(["# HELP ", name, end, " ", words, "\n"]);
            }
            out.extend(["# TYPE ", name, end, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn p_26_the_header_of_a_counter_names_its_samples() {
        let open = "# HELP a Help of a.\n# TYPE a counter\na_total{x=\"# TYPE\"} 1\n# HELP b_seconds B.\n\
            # TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds 2.5\n# EOF\n";
        let plain = "# HELP a_total Help of a.\n# TYPE a_total counter\na_total{x=\"# TYPE\"} 1\n\
            # HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds 2.5\n";
        assert_eq!(from_open_metrics(open), plain);
    }
}
