//! The bootstrap script: what it looks like, and how a real shell runs it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use std::path::Path;

use bootstrap_data::{
    Command, Phase, SENTINEL, ScriptOptions, Step, cloud_config, download_commands, shell,
    with_bootstrap_script,
};
use k0s::{Download, NodeArgs, START_WORKER, install_worker};

fn step(phase: Phase, text: &str) -> Step {
    Step { phase, command: Command::Script(text.into()) }
}

fn worker_steps() -> Vec<Step> {
    let version = "v1.31.2+k0s.0".parse().unwrap();
    let download = Download::choose(false, None, Some(&version), "/usr/local/bin").unwrap();
    let args = NodeArgs { machine: Some("m1"), use_system_hostname: false, user: &["--debug".to_owned()] };
    let install = Command::run(install_worker("/usr/local/bin", "/etc/k0s.token", &args));
    let mut steps = vec![step(Phase::Pre, "export A=1\ncd /tmp")];
    steps.extend(
        download_commands(&download).into_iter().map(|command| Step { phase: Phase::Download, command }),
    );
    steps.push(Step { phase: Phase::Install, command: install });
    steps.extend([
        step(Phase::Start, START_WORKER),
        step(Phase::Post, "echo \"$A\""),
        step(Phase::Sentinel, SENTINEL),
    ]);
    steps
}

#[test]
fn a_workers_script_is_one_file_and_one_command() {
    let setup = with_bootstrap_script(Vec::new(), &worker_steps(), ScriptOptions::default()).unwrap();
    assert_eq!(setup.commands, [Command::run(["/bin/sh", "/etc/k0s/k0smotron-bootstrap.sh"])]);
    assert_eq!(setup.files[0].permissions.to_string(), "0700");
    insta::assert_snapshot!(cloud_config(&setup).unwrap().expose_str().unwrap());
}

#[test]
fn the_plain_form_is_the_command_list_of_section_17() {
    let commands: Vec<_> = worker_steps().into_iter().map(|step| step.command).collect();
    insta::assert_snapshot!(shell(&commands));
    let version = "v1.31.2+k0s.0".parse().unwrap();
    let forms = [None, Some("https://h/k0s"), Some("oci://r.example/k0s@sha256:ab")]
        .map(|url| shell(&download_commands(&Download::choose(false, url, Some(&version), "").unwrap())));
    insta::assert_snapshot!(forms.join("\n"));
}

/// Both kinds of templates in one script: the one is filled in, the other arrives as it was (10.1).
#[test]
fn literal_templates_are_kept_from_cloud_init_beside_instance_data() {
    let go = step(Phase::Pre, "docker inspect -f '{{.Id}}' x; echo ${#A}");
    let instance = step(Phase::Post, "echo {{ ds.meta_data.hostname }}");
    let text = |steps: &[Step]| {
        let setup = with_bootstrap_script(Vec::new(), steps, ScriptOptions::default()).unwrap();
        cloud_config(&setup).unwrap().expose_str().unwrap().to_owned()
    };
    let both = text(&[go.clone(), instance]);
    let (_, pre) = both.split_once("k0smotron_phase=pre\n").unwrap();
    insta::assert_snapshot!(pre);
    assert!(text(&[go]).contains("encoding: b64"), "without instance data nothing is a template");
}

/// Runs a script with its paths moved below a directory of the test's own.
fn run(dir: &Path, steps: &[Step], fail_on_command_error: bool) -> i32 {
    let options = ScriptOptions { fail_on_command_error, ..ScriptOptions::default() };
    let setup = with_bootstrap_script(Vec::new(), steps, options).unwrap();
    let text = setup.files[0].content.expose_str().unwrap();
    let moved = text.replace("/var/", &format!("{}/var/", dir.display()));
    let script = dir.join("script.sh");
    std::fs::write(&script, moved).unwrap();
    std::process::Command::new("/bin/sh").arg(&script).output().unwrap().status.code().unwrap()
}

fn state(dir: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(dir.join("var/lib/k0smotron").join(name)).ok()
}

fn new_dir(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("bootstrap-script-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn all_commands_share_one_shell_and_a_complete_run_is_not_repeated() {
    let dir = new_dir("complete");
    let out = dir.join("out");
    let steps = [
        step(Phase::Pre, "export A=1\ncd /"),
        step(Phase::Install, "true"),
        step(Phase::Post, &format!("echo \"$A $PWD\" >>{}", out.display())),
    ];
    assert_eq!(run(&dir, &steps, false), 0);
    assert_eq!(run(&dir, &steps, false), 0);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "1 /\n");
    assert!(state(&dir, "bootstrap.done").is_some());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_failing_command_of_ours_ends_it_and_a_later_run_goes_through() {
    let dir = new_dir("ours");
    let marker = dir.join("marker");
    let later = format!("touch {}", marker.display());
    let failing = [step(Phase::Download, "(exit 7)"), step(Phase::Sentinel, &later)];
    assert_eq!(run(&dir, &failing, false), 7);
    assert_eq!(state(&dir, "bootstrap.failed").as_deref(), Some("download 7\n"));
    assert!(!marker.exists() && state(&dir, "bootstrap.done").is_none());
    let again = [
        step(Phase::Install, "echo Init already exists; false"),
        step(Phase::Start, "echo already running; (exit 1)"),
        step(Phase::Sentinel, &later),
    ];
    assert_eq!(run(&dir, &again, false), 0);
    assert!(marker.exists() && state(&dir, "bootstrap.failed").is_none());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_failing_command_of_the_users_is_recorded_and_ends_it_only_on_request() {
    let dir = new_dir("users");
    let steps = [step(Phase::Pre, "(exit 3)"), step(Phase::Install, "true")];
    assert_eq!(run(&dir, &steps, true), 3);
    assert_eq!(state(&dir, "bootstrap.failed").as_deref(), Some("pre 3\n"));
    assert_eq!(run(&dir, &steps, false), 0);
    assert_eq!(state(&dir, "bootstrap.warnings").as_deref(), Some("pre 3\n"));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_user_who_leaves_the_shell_has_not_finished_the_setup() {
    let dir = new_dir("leaves");
    assert_eq!(run(&dir, &[step(Phase::Pre, "exit 0"), step(Phase::Install, "true")], false), 1);
    assert_eq!(state(&dir, "bootstrap.failed").as_deref(), Some("pre 1\n"));
    std::fs::remove_dir_all(dir).unwrap();
}
