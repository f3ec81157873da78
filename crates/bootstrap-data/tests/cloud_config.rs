//! The cloud-config that a person approved, and what is refused (10.1, section 17).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use bootstrap_data::{
    Argv, Command, Custom, File, NodeSetup, ParseFault, Permissions, RenderFault, Rendering, cloud_config,
    parse, quote_posix, quote_systemd,
};
use pki::SecretBytes;

fn golden() -> NodeSetup {
    NodeSetup {
        files: vec![File::new("/etc/x", Permissions::PRIVATE, "hi".to_owned())],
        commands: vec![Command::run(["true"])],
        custom: None,
    }
}

fn with_custom(text: &str) -> String {
    let custom = Some(Custom { text: text.to_owned().into() });
    render(&NodeSetup { custom, ..golden() })
}

fn render(setup: &NodeSetup) -> String {
    cloud_config(setup).unwrap().expose_str().unwrap().to_owned()
}

#[test]
fn the_golden_vector_and_the_empty_setup() {
    insta::assert_snapshot!(render(&golden()));
    insta::assert_snapshot!(render(&NodeSetup::default()));
}

#[test]
fn contents_are_blocks_or_base64_and_commands_stay_on_a_line() {
    let file = |path: &str, content: &[u8]| File::new(path, Permissions::PUBLIC, content.to_vec());
    let setup = NodeSetup {
        files: vec![
            file("/etc/config", b"a: 1\n  indented\n\nlast\n"),
            File { owner: Some("root:root".into()), append: true, ..file("/etc/append", b"x\n") },
            file("/etc/binary", &[0, 159, 146, 150]),
            file("/etc/crlf", b"a\r\nb\r\n"),
            file("/etc/template", b"{{ .Values.x }}\n"),
            file("/etc/instance", b"{{ ds.meta_data.hostname }}\n"),
            File { rendering: Rendering::Literal, ..file("/etc/literal", b"{{ ds.meta_data.hostname }}\n") },
        ],
        commands: vec![
            Command::run([
                "k0s",
                "install",
                "worker",
                "--taints=a=b c:NoSchedule",
                "--kubelet-extra-args=--v=2 --x=\"$y\"",
            ]),
            Command::Script("docker inspect -f '{{.Id}}' x".into()),
            Command::Script("echo {{ v1.local_hostname }}".into()),
            Command::Script("cat <<E\nyes\nE".into()),
            Command::Script("yes".into()),
        ],
        custom: None,
    };
    insta::assert_snapshot!(render(&setup));
    assert!(cloud_config(&setup).is_ok());
}

#[test]
fn a_users_mapping_is_merged_and_its_lists_follow_ours() {
    insta::assert_snapshot!(with_custom("#cloud-config\nruncmd: [b]\npackages: [c]\n"));
    let merged = with_custom(
        "## template: jinja\n#cloud-config\nwrite_files:\n- {path: /u, content: u, permissions: 0640}\nssh_pwauth: yes\nuser: 'yes'\n",
    );
    insta::assert_snapshot!(merged);
    let read = parse(merged.as_bytes()).unwrap();
    assert_eq!(read.files[1].permissions.to_string(), "0640");
}

#[test]
fn anything_else_of_the_users_is_a_part_of_its_own() {
    insta::assert_snapshot!(with_custom("#!/bin/sh\necho hi\n"));
    let mime = with_custom(
        "Content-Type: multipart/mixed; boundary=u\n\n--u\n\n#cloud-config\nruncmd: [theirs]\n--u--\n",
    );
    let read = parse(mime.as_bytes()).unwrap();
    assert_eq!(read.commands, [Command::Script("true".into()), Command::Script("theirs".into())]);
    assert_eq!(read.files, golden().files);
}

#[test]
fn what_no_host_could_carry_out_is_refused_by_place() {
    let fault = |setup: NodeSetup| cloud_config(&setup).unwrap_err();
    let file = |path: &str| NodeSetup {
        files: vec![File::new(path, Permissions::PUBLIC, "x".to_owned())],
        ..NodeSetup::default()
    };
    let command = |text: &str| NodeSetup {
        commands: vec![Command::Script("true".into()), Command::Script(text.into())],
        ..NodeSetup::default()
    };
    for path in ["", "relative", "/a\nb", "/a\0b", "/{{x}}"] {
        assert_eq!(fault(file(path)), RenderFault::Path { index: 0, path: path.into() });
    }
    assert_eq!(fault(command("a\0b")), RenderFault::Nul { index: 1 });
    assert_eq!(fault(command("{{x}} {% endraw %}")), RenderFault::Template { index: 1 });
    let binary = File { rendering: Rendering::Jinja, ..File::new("/x", Permissions::PUBLIC, vec![0xff]) };
    let setup = NodeSetup { files: vec![binary], ..NodeSetup::default() };
    assert!(matches!(fault(setup), RenderFault::NoText { index: 0, .. }));
}

/// remote-machine 5.3: users' own cloud-config.
#[test]
fn what_users_write_for_their_hosts_is_understood() {
    let read = parse(
        b"## template: jinja\n#cloud-config\nhostname: x\nwrite_files:\n\
          - path: /a\n  content: |\n    one\n    two\n  permissions: '0600'\n  owner: root:root\n\
          - {path: /b, encoding: b64, content: aGk=, append: true}\n\
          - {path: /c, encoding: gz+b64, content: H4sIAAAAAAAAA8vIBACsKpPYAgAAAA==}\n\
          - {path: /d, permissions: 0755}\n\
          runcmd:\n- echo {{ x }}\n- [ls, -l, 5]\n---\nruncmd: [second]\n",
    );
    let read = match read {
        Ok(read) => read,
        Err(fault) => panic!("{fault}"),
    };
    assert_eq!(read.files[0].content, SecretBytes::from("one\ntwo\n".to_owned()));
    assert_eq!(read.files[0].owner.as_deref(), Some("root:root"));
    assert_eq!(read.files[1].content, SecretBytes::from("hi".to_owned()));
    assert!(read.files[1].append);
    assert_eq!(read.files[3].permissions.to_string(), "0755");
    assert_eq!(
        read.commands,
        [
            Command::Script("echo {{ x }}".into()),
            Command::Run(Argv::new(["ls", "-l", "5"])),
            Command::Script("second".into())
        ]
    );
}

#[test]
fn what_cannot_be_read_is_refused_without_printing_it() {
    let fault = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
    assert!(
        fault("write_files: [{path: /a, encoding: rot13, content: secret}]")
            .starts_with("write_files[0].encoding: \"rot13\"")
    );
    assert!(
        fault("write_files: [{path: /a, permissions: '999'}]").starts_with("write_files[0].permissions:")
    );
    assert!(fault("runcmd: [a, true]").starts_with("runcmd[1]:"));
    assert!(fault("runcmd: [[]]").starts_with("runcmd[0]:"));
    let broken = fault("write_files:\n- content: hunter2\n  path: [hunter2\n");
    assert!(!broken.contains("hunter2"), "{broken}");
    let shape = fault("write_files: hunter2\n");
    assert!(!shape.contains("hunter2"), "{shape}");
    assert_eq!(parse(&[0xff]), Err(ParseFault::NoText));
    let part =
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n#!/bin/sh\nrm x\n--b--\n";
    assert!(fault(part).starts_with("part 1 of the MIME message is #!/bin/sh"));
}

#[test]
fn words_are_quoted_for_shells_and_for_systemd() {
    assert_eq!(quote_posix("--labels=a=b"), "--labels=a=b");
    assert_eq!(quote_posix("it's"), r"'it'\''s'");
    assert_eq!(quote_posix(""), "''");
    assert_eq!(quote_posix("--kubelet-extra-args=--v=2"), "--kubelet-extra-args=\"--v=2\"");
    assert_eq!(quote_systemd("/opt/a b/%x$y"), "\"/opt/a b/%%x$$y\"");
    assert_eq!(quote_systemd("/etc/k0s/k0smotron-bootstrap.sh"), "/etc/k0s/k0smotron-bootstrap.sh");
}
