//! The cloud-config renderer (10.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::SecretBytes;
use serde::Serialize;
use serde_json::{Map, Value};
use serde_saphyr::LitString;

use crate::user_text::{self, UserText};
use crate::{Command, File, NodeSetup, Rendering, jinja, posix};

/// cloud-init reads the first line; users rely on instance data, so it always says that templates apply.
pub(crate) const HEADER: &str = "## template: jinja\n#cloud-config\n";

/// Why a setup cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderFault {
    /// A file without a usable path.
    #[error(
        "files[{index}].path {path:?} must be absolute, without control characters, and without template delimiters unless it uses instance data"
    )]
    Path {
        /// Place in the list.
        index: usize,
        /// What stands there.
        path: String,
    },
    /// A command that no shell can be given.
    #[error("commands[{index}] holds a NUL byte, which no command line can carry; remove it")]
    Nul {
        /// Place in the list.
        index: usize,
    },
    /// A command that is literal and holds the end of a raw block.
    #[error(
        "commands[{index}] holds both template delimiters and the end of a raw block; put it into a file"
    )]
    Template {
        /// Place in the list.
        index: usize,
    },
    /// A file that must pass through the template engine, and cannot.
    #[error("files[{index}] ({path}) is to be rendered with instance data but is not plain text")]
    NoText {
        /// Place in the list.
        index: usize,
        /// Its path.
        path: String,
    },
    /// The user's text.
    #[error("custom user data: {0}")]
    Custom(String),
    /// The serialiser refused; not expected.
    #[error("cannot write YAML: {0}")]
    Yaml(String),
}

/// The order of keys is the order in the text: `write_files` first, as people expect; the user's own in between;
/// `runcmd` last, which also keeps the text's last newline from mattering (the template engine drops it).
#[derive(Serialize)]
struct Document<'a> {
    write_files: Vec<Entry<'a>>,
    #[serde(flatten)]
    others: Map<String, Value>,
    runcmd: Vec<Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Ours(WriteFile<'a>),
    Users(Value),
}

#[derive(Serialize)]
struct WriteFile<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    content: Text,
    permissions: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    append: bool,
}

/// Several lines read best as a block.
#[derive(Serialize)]
#[serde(untagged)]
enum Text {
    Line(String),
    Block(LitString),
}

/// The text for cloud-init.
pub fn cloud_config(setup: &NodeSetup) -> Result<SecretBytes, RenderFault> {
    let NodeSetup { files, commands, custom } = setup;
    let write_files =
        files.iter().enumerate().map(|(index, file)| write_file(index, file)).collect::<Result<_, _>>()?;
    let runcmd =
        commands.iter().enumerate().map(|(index, command)| run(index, command)).collect::<Result<_, _>>()?;
    let mut document = Document { write_files, others: Map::new(), runcmd };
    match custom.as_ref().map(|custom| user_text::read(&custom.text)).transpose()? {
        None => text(&document),
        Some(UserText::Mapping(users)) => {
            append(&mut document, users);
            text(&document)
        }
        Some(UserText::Other(kind)) => {
            let text = text(&document)?;
            let custom = custom.as_ref().map(|custom| custom.text.expose()).unwrap_or_default();
            Ok(user_text::multipart(text.expose(), custom, kind))
        }
    }
}

fn text(document: &Document<'_>) -> Result<SecretBytes, RenderFault> {
    // Only file contents are blocks: folding would change commands, and a raw block must not end a line.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: false };
    let yaml = serde_saphyr::to_string_with_options(document, options)
        .map_err(|why| RenderFault::Yaml(why.to_string()))?;
    Ok(format!("{HEADER}{yaml}").into())
}

/// Lists of the user's are appended to ours, maps and scalars are the user's.
fn append(document: &mut Document<'_>, users: Map<String, Value>) {
    for (key, value) in users {
        match (key.as_str(), value) {
            ("write_files", Value::Array(files)) => {
                document.write_files.extend(files.into_iter().map(Entry::Users));
            }
            ("runcmd", Value::Array(commands)) => document.runcmd.extend(commands),
            ("write_files" | "runcmd", Value::Null) => {}
            (_, value) => {
                document.others.insert(key, value);
            }
        }
    }
}

fn write_file(index: usize, file: &File) -> Result<Entry<'_>, RenderFault> {
    let File { path, content, permissions, owner, append, rendering } = file;
    let literal = !jinja::has_delimiters(path) || jinja::uses_instance_data(path);
    if !path.starts_with('/') || path.chars().any(char::is_control) || !literal {
        return Err(RenderFault::Path { index, path: path.clone() });
    }
    let plain = content.expose_str().filter(|text| text.chars().all(printable));
    let templated = |text: &str| match rendering {
        Rendering::Jinja => true,
        Rendering::Literal => false,
        Rendering::Auto => jinja::uses_instance_data(text),
    };
    let kept = plain.filter(|text| templated(text) || !jinja::has_delimiters(text));
    if kept.is_none() && content.expose_str().map_or(*rendering == Rendering::Jinja, templated) {
        return Err(RenderFault::NoText { index, path: path.clone() });
    }
    let (encoding, content) = match kept {
        Some(text) if text.contains('\n') => (None, Text::Block(LitString(text.to_owned()))),
        Some(text) => (None, Text::Line(text.to_owned())),
        None => (Some("b64"), Text::Line(STANDARD.encode(content.expose()))),
    };
    Ok(Entry::Ours(WriteFile {
        path,
        encoding,
        content,
        permissions: permissions.to_string(),
        owner: owner.as_deref(),
        append: *append,
    }))
}

fn run(index: usize, command: &Command) -> Result<Value, RenderFault> {
    let text = posix::text(command);
    if text.contains('\0') {
        return Err(RenderFault::Nul { index });
    }
    if !jinja::has_delimiters(&text) || jinja::uses_instance_data(&text) {
        return Ok(text.into());
    }
    jinja::raw(&text).map(Value::from).ok_or(RenderFault::Template { index })
}

/// What a YAML 1.1 reader gives back unchanged from a block: no control characters, no other line breaks than
/// newline, no byte order mark. Contents with anything else travel as base64.
fn printable(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}')
}
