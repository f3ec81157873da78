//! Reading cloud-config: what we wrote, and what users write for hosts that we reach by SSH (remote-machine 5.3).

mod mime;

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use pki::SecretBytes;
use serde::Deserialize;
use serde_json::Value;

use crate::{Argv, Command, File, NodeSetup, Permissions, Rendering, jinja, user_text};

/// Secrets hold at most 1 MiB; a file that unpacks to a hundred times that is an attempt on our memory.
const LARGEST: u64 = 100 << 20;

/// Why a text is no setup. Never holds a piece of the text: it is full of secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// Not text.
    #[error("bootstrap data is not UTF-8 text")]
    NoText,
    /// Not YAML, or not of this shape.
    #[error("bootstrap data is no cloud-config: {0}")]
    Yaml(String),
    /// An entry that means nothing.
    #[error("{path}: {why}")]
    Field {
        /// Such as `write_files[2].encoding`.
        path: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A part of a MIME message that cannot be carried out here.
    #[error("part {index} of the MIME message is {kind}; only cloud-config parts are understood here")]
    Part {
        /// Counted from 1.
        index: usize,
        /// What it is.
        kind: String,
    },
    /// The JSON form.
    #[error("bootstrap data (JSON): {0}")]
    Json(String),
}

#[derive(Deserialize)]
struct Document {
    write_files: Option<Vec<WriteFile>>,
    runcmd: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct WriteFile {
    path: String,
    content: Option<String>,
    permissions: Option<Value>,
    encoding: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    append: bool,
}

/// The files and commands of a cloud-config: one YAML document, several, or a MIME message of such, in order. Keys
/// other than `write_files` and `runcmd` are passed over. Templates stay as they are, apart from the raw blocks
/// that we write.
pub fn parse(text: &[u8]) -> Result<NodeSetup, ParseFault> {
    let text = std::str::from_utf8(text).map_err(|_| ParseFault::NoText)?;
    let mut setup = NodeSetup::default();
    if user_text::is_mime(text) {
        for (index, part) in mime::parts(text)?.iter().enumerate() {
            let kind = part.lines().next().unwrap_or_default();
            if kind.starts_with("#!") || kind.starts_with("#include") || kind.starts_with("#cloud-boothook") {
                return Err(ParseFault::Part { index: index + 1, kind: kind.to_owned() });
            }
            documents(part, &mut setup)?;
        }
    } else {
        documents(text, &mut setup)?;
    }
    Ok(setup)
}

fn documents(text: &str, setup: &mut NodeSetup) -> Result<(), ParseFault> {
    let documents: Vec<Option<Document>> =
        serde_saphyr::from_multiple_with_options(text, user_text::yaml_1_1()).map_err(|why| {
            let why = why.without_snippet().to_string();
            ParseFault::Yaml(why.lines().next().unwrap_or_default().to_owned())
        })?;
    for Document { write_files, runcmd } in documents.into_iter().flatten() {
        for entry in write_files.into_iter().flatten() {
            setup.files.push(file(setup.files.len(), entry)?);
        }
        for entry in runcmd.into_iter().flatten() {
            setup.commands.push(command(setup.commands.len(), entry)?);
        }
    }
    Ok(())
}

fn file(index: usize, entry: WriteFile) -> Result<File, ParseFault> {
    let WriteFile { path, content, permissions, encoding, owner, append } = entry;
    let fault =
        |field: &str, why: String| ParseFault::Field { path: format!("write_files[{index}].{field}"), why };
    if path.is_empty() {
        return Err(fault("path", "it is empty; give an absolute path".to_owned()));
    }
    let content = content.unwrap_or_default();
    let content = decode(&content, encoding.as_deref()).map_err(|why| fault("encoding", why))?;
    let permissions = mode(permissions).map_err(|why| fault("permissions", why))?;
    Ok(File { path, content, permissions, owner, append, rendering: Rendering::Auto })
}

/// As cloud-init does: text is octal, a number is the mode itself.
fn mode(value: Option<Value>) -> Result<Permissions, String> {
    let text = match value {
        None | Some(Value::Null) => return Ok(Permissions::default()),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => format!("{:o}", number.as_u64().unwrap_or(u64::MAX)),
        Some(_) => return Err("it must be text; write it like \"0644\"".to_owned()),
    };
    text.parse().map_err(|why: crate::PermissionsFault| why.to_string())
}

fn decode(content: &str, encoding: Option<&str>) -> Result<SecretBytes, String> {
    let base64 = |text: &str| {
        let joined: String = text.split_ascii_whitespace().collect();
        STANDARD.decode(joined).map_err(|_| "the content is no base64".to_owned())
    };
    match encoding.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "text/plain" => Ok(content.to_owned().into()),
        "b64" | "base64" => Ok(base64(content)?.into()),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => {
            let mut unpacked = Vec::new();
            GzDecoder::new(base64(content)?.as_slice())
                .take(LARGEST)
                .read_to_end(&mut unpacked)
                .map_err(|_| "the content does not unpack (gzip)".to_owned())?;
            Ok(unpacked.into())
        }
        other => Err(format!("{other:?} is not known; use b64 or gz+b64, or none for plain text")),
    }
}

fn command(index: usize, entry: Value) -> Result<Command, ParseFault> {
    let fault = |why: &str| ParseFault::Field { path: format!("runcmd[{index}]"), why: why.to_owned() };
    let word = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(fault("each word must be text; quote it")),
    };
    match entry {
        Value::String(text) => Ok(Command::Script(jinja::unraw(&text).to_owned())),
        Value::Array(words) if words.is_empty() => Err(fault("it is an empty list; name a program")),
        Value::Array(words) => {
            let words = words.into_iter().map(word).collect::<Result<Vec<_>, _>>()?;
            Ok(Command::Run(Argv::new(words)))
        }
        _ => Err(fault("it must be text or a list of words; quote it")),
    }
}
