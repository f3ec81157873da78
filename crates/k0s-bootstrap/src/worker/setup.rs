//! From the parts of a config to the setup of its host (control-plane-and-bootstrap 7).

use std::collections::BTreeMap;

use anyhow::Context as _;
use api::K0sWorkerConfigSpec;
use bootstrap_data::{
    Command, Custom, File, NodeSetup, Permissions, Phase, SENTINEL, ScriptOptions, Step, download_commands,
    with_bootstrap_script,
};
use pki::SecretBytes;

use super::parts::Parts;

/// The setup of a worker. `contents` are the texts of what `contentFrom` names, by field.
pub fn setup(
    spec: &K0sWorkerConfigSpec,
    parts: &Parts,
    contents: &BTreeMap<String, SecretBytes>,
    token: SecretBytes,
    script: bool,
) -> anyhow::Result<NodeSetup> {
    let files = files(spec, parts, contents, token)?;
    let steps = steps(spec, parts);
    let mut setup = if script {
        let options = ScriptOptions {
            working_dir: spec.working_dir.as_deref(),
            fail_on_command_error: spec.fail_on_command_error == Some(true),
        };
        with_bootstrap_script(files, &steps, options)?
    } else {
        NodeSetup { files, commands: steps.into_iter().map(|step| step.command).collect(), custom: None }
    };
    setup.custom =
        contents.get("spec.provisioner.customUserDataRef").map(|text| Custom { text: text.clone() });
    Ok(setup)
}

/// The token first, for its owner alone; then the user's files.
fn files(
    spec: &K0sWorkerConfigSpec,
    parts: &Parts,
    contents: &BTreeMap<String, SecretBytes>,
    token: SecretBytes,
) -> anyhow::Result<Vec<File>> {
    let mut files = vec![File::new(&*parts.token_path, Permissions::PRIVATE, token)];
    for (part, given) in parts.files.iter().zip(&spec.files) {
        let content = match &part.source {
            Some(field) => contents.get(field).with_context(|| format!("{field}: not read"))?.clone(),
            // A file without content is refused before.
            None => given.content.as_deref().unwrap_or_default().to_owned().into(),
        };
        let mut file = File::new(&*part.path, part.permissions, content);
        file.rendering = part.rendering;
        files.push(file);
    }
    Ok(files)
}

/// The commands, in the order of section 7.
fn steps(spec: &K0sWorkerConfigSpec, parts: &Parts) -> Vec<Step> {
    let users = |phase: Phase, commands: &[String]| -> Vec<Step> {
        commands.iter().map(|text| Step { phase, command: Command::Script(text.clone()) }).collect()
    };
    let download = download_commands(&parts.download)
        .into_iter()
        .map(|command| Step { phase: Phase::Download, command });
    let mut steps = users(Phase::Pre, &spec.pre_k0s_commands);
    steps.extend(download);
    steps.push(Step { phase: Phase::Install, command: Command::run(parts.install.clone()) });
    steps.push(Step { phase: Phase::Start, command: Command::Script(k0s::START_WORKER.to_owned()) });
    steps.extend(users(Phase::Post, &spec.post_k0s_commands));
    steps.push(Step { phase: Phase::Sentinel, command: Command::Script(SENTINEL.to_owned()) });
    steps
}
