//! As much of MIME as cloud-init's users write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ParseFault;

/// The leaves of a multi-part message, in order, decoded.
pub(super) fn parts(message: &str) -> Result<Vec<String>, ParseFault> {
    entity(&message.trim_start().replace("\r\n", "\n"))
}

/// A part may have no headers at all; then it begins with the empty line that ends them.
fn entity(text: &str) -> Result<Vec<String>, ParseFault> {
    let (headers, body) = match text.strip_prefix('\n') {
        Some(body) => ("", body),
        None => text.split_once("\n\n").unwrap_or((text, "")),
    };
    let kind = header(headers, "content-type").unwrap_or_else(|| "text/plain".to_owned());
    if kind.to_ascii_lowercase().starts_with("multipart/") {
        let boundary = boundary(&kind)
            .ok_or_else(|| ParseFault::Yaml("the MIME message names no boundary".to_owned()))?;
        let mut found = Vec::new();
        for part in between(body, &boundary) {
            found.extend(entity(&part)?);
        }
        return Ok(found);
    }
    let encoding = header(headers, "content-transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let decoded = match encoding.as_str() {
        "" | "7bit" | "8bit" | "binary" => body.to_owned(),
        "base64" => {
            let joined: String = body.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(joined).ok();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| ParseFault::Yaml("a MIME part is no base64 of text".to_owned()))?
        }
        other => {
            return Err(ParseFault::Yaml(format!(
                "MIME transfer encoding {other:?} is not understood; use base64"
            )));
        }
    };
    Ok(vec![decoded])
}

/// The pieces between lines `--boundary`; what stands before the first and behind the closing one is no part.
fn between(body: &str, boundary: &str) -> Vec<String> {
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for line in body.lines() {
        if line.trim_end() == close {
            break;
        }
        if line.trim_end() == open {
            inside = true;
            found.push(String::new());
        } else if let Some(part) = found.last_mut().filter(|_| inside) {
            part.push_str(line);
            part.push('\n');
        }
    }
    found
}

/// The value of a header, with the lines that continue it.
fn header(headers: &str, wanted: &str) -> Option<String> {
    let mut lines = headers.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if !name.eq_ignore_ascii_case(wanted) {
            continue;
        }
        let mut value = value.trim().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            value.push(' ');
            value.push_str(more.trim());
        }
        return Some(value);
    }
    None
}

fn boundary(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty()).then(|| value.to_owned())
    })
}
