//! The user's own text beside ours: merged if it is a YAML mapping, else a part of a MIME message (10.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::SecretBytes;
use serde_json::{Map, Value};

use crate::RenderFault;

/// The line between parts. Ours is YAML whose lines never begin so, and a user's part is base64 or was checked.
const BOUNDARY: &str = "==k0smotron-bootstrap-part==";
/// How cloud-init merges a later part into the former: lists are appended, maps merged.
const MERGE_TYPE: &str = "list(append)+dict(recurse_list)+str()";

pub(crate) enum UserText {
    /// Keys for our document.
    Mapping(Map<String, Value>),
    /// A part of its own.
    Other(Kind),
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A MIME message with its own headers.
    Mime,
    /// Anything that cloud-init tells by its first line.
    Plain,
}

pub(crate) fn read(text: &SecretBytes) -> Result<UserText, RenderFault> {
    let Some(text) = text.expose_str() else {
        return Ok(UserText::Other(Kind::Plain));
    };
    if is_mime(text) {
        if text.contains(BOUNDARY) {
            return Err(RenderFault::Custom("its MIME boundary is ours; choose another".to_owned()));
        }
        return Ok(UserText::Other(Kind::Mime));
    }
    if text.trim().is_empty() {
        return Ok(UserText::Mapping(Map::new()));
    }
    if ["#!", "#include", "#cloud-boothook"].iter().any(|mark| text.starts_with(mark)) {
        return Ok(UserText::Other(Kind::Plain));
    }
    match serde_saphyr::from_str_with_options::<Value>(text, yaml_1_1()) {
        Ok(Value::Object(mapping)) => Ok(UserText::Mapping(mapping)),
        Ok(Value::Null) => Ok(UserText::Mapping(Map::new())),
        _ => Ok(UserText::Other(Kind::Plain)),
    }
}

/// cloud-init reads YAML 1.1, where `0644` is an octal number.
pub(crate) fn yaml_1_1() -> serde_saphyr::Options {
    serde_saphyr::options! { legacy_octal_numbers: true }
}

pub(crate) fn is_mime(text: &str) -> bool {
    let first = text.trim_start().lines().next().unwrap_or_default().to_ascii_lowercase();
    ["mime-version:", "content-type:"].iter().any(|header| first.starts_with(header))
}

/// Ours first, then the user's, which cloud-init merges into ours.
pub(crate) fn multipart(ours: &[u8], users: &[u8], kind: Kind) -> SecretBytes {
    let mut text = Vec::new();
    let mut line = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        text.push(b'\n');
    };
    line(format!("Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"").as_bytes());
    line(b"MIME-Version: 1.0\n");
    line(format!("--{BOUNDARY}").as_bytes());
    line(b"Content-Type: text/plain; charset=\"utf-8\"");
    line(b"Content-Transfer-Encoding: 8bit\n");
    line(ours);
    line(format!("--{BOUNDARY}").as_bytes());
    match kind {
        Kind::Mime => line(users.trim_ascii_start()),
        Kind::Plain => {
            line(b"Content-Type: text/plain; charset=\"utf-8\"");
            line(format!("Merge-Type: {MERGE_TYPE}").as_bytes());
            line(b"Content-Transfer-Encoding: base64\n");
            for piece in STANDARD.encode(users).as_bytes().chunks(76) {
                line(piece);
            }
        }
    }
    line(format!("--{BOUNDARY}--").as_bytes());
    text.into()
}
