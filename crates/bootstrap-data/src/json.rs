//! The setup as JSON, under the second key of the Secret, for our own reader: nothing to guess, nothing to parse
//! out of what was printed for others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::SecretBytes;
use serde::{Deserialize, Serialize};

use crate::{Argv, Command, Custom, File, NodeSetup, ParseFault, Permissions, Rendering};

/// A reader refuses what is newer than itself, rather than leave half of it undone.
const FORM: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    form: u32,
    files: Vec<JsonFile>,
    commands: Vec<JsonCommand>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom: Option<Content>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonFile {
    path: String,
    content: Content,
    permissions: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    append: bool,
    #[serde(default, skip_serializing_if = "JsonRendering::is_auto")]
    rendering: JsonRendering,
}

/// Text where it is text, so that a person can read it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Content {
    Text(String),
    Base64(String),
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
enum JsonRendering {
    #[default]
    Auto,
    Literal,
    Jinja,
}

impl JsonRendering {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum JsonCommand {
    Run(JsonArgv),
    Pipe(Vec<JsonArgv>),
    Script(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonArgv {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<(String, String)>,
    words: Vec<String>,
}

/// The JSON text.
pub fn to_json(setup: &NodeSetup) -> SecretBytes {
    let NodeSetup { files, commands, custom } = setup;
    let setup = Setup {
        form: FORM,
        files: files.iter().map(file_out).collect(),
        commands: commands.iter().map(command_out).collect(),
        custom: custom.as_ref().map(|custom| content_out(&custom.text)),
    };
    // Strings, numbers and lists only: there is nothing that JSON could not say.
    serde_json::to_vec(&setup).unwrap_or_default().into()
}

/// Reads what [`to_json`] wrote.
pub fn from_json(text: &[u8]) -> Result<NodeSetup, ParseFault> {
    let Setup { form, files, commands, custom } =
        serde_json::from_slice(text).map_err(|why| ParseFault::Json(why.to_string()))?;
    if form != FORM {
        return Err(ParseFault::Json(format!(
            "form {form} is not known here; this reader knows form {FORM}"
        )));
    }
    let custom = custom.map(content_in).transpose()?.map(|text| Custom { text });
    Ok(NodeSetup {
        files: files.into_iter().map(file_in).collect::<Result<_, _>>()?,
        commands: commands.into_iter().map(command_in).collect(),
        custom,
    })
}

fn file_out(file: &File) -> JsonFile {
    let File { path, content, permissions, owner, append, rendering } = file;
    JsonFile {
        path: path.clone(),
        content: content_out(content),
        permissions: permissions.to_string(),
        owner: owner.clone(),
        append: *append,
        rendering: match rendering {
            Rendering::Auto => JsonRendering::Auto,
            Rendering::Literal => JsonRendering::Literal,
            Rendering::Jinja => JsonRendering::Jinja,
        },
    }
}

fn file_in(file: JsonFile) -> Result<File, ParseFault> {
    let JsonFile { path, content, permissions, owner, append, rendering } = file;
    let permissions: Permissions =
        permissions.parse().map_err(|why: crate::PermissionsFault| ParseFault::Json(why.to_string()))?;
    let rendering = match rendering {
        JsonRendering::Auto => Rendering::Auto,
        JsonRendering::Literal => Rendering::Literal,
        JsonRendering::Jinja => Rendering::Jinja,
    };
    Ok(File { path, content: content_in(content)?, permissions, owner, append, rendering })
}

fn content_out(content: &SecretBytes) -> Content {
    match content.expose_str() {
        Some(text) => Content::Text(text.to_owned()),
        None => Content::Base64(STANDARD.encode(content.expose())),
    }
}

fn content_in(content: Content) -> Result<SecretBytes, ParseFault> {
    match content {
        Content::Text(text) => Ok(text.into()),
        Content::Base64(text) => STANDARD
            .decode(text)
            .map(SecretBytes::from)
            .map_err(|_| ParseFault::Json("a content is no base64".to_owned())),
    }
}

fn command_out(command: &Command) -> JsonCommand {
    let argv = |argv: &Argv| {
        let Argv { env, words } = argv;
        JsonArgv { env: env.clone(), words: words.clone() }
    };
    match command {
        Command::Run(words) => JsonCommand::Run(argv(words)),
        Command::Pipe(stages) => JsonCommand::Pipe(stages.iter().map(argv).collect()),
        Command::Script(text) => JsonCommand::Script(text.clone()),
    }
}

fn command_in(command: JsonCommand) -> Command {
    let argv = |argv: JsonArgv| Argv { env: argv.env, words: argv.words };
    match command {
        JsonCommand::Run(words) => Command::Run(argv(words)),
        JsonCommand::Pipe(stages) => Command::Pipe(stages.into_iter().map(argv).collect()),
        JsonCommand::Script(text) => Command::Script(text),
    }
}
