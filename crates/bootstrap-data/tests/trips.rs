//! What is written is read back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use bootstrap_data::{
    Argv, Command, File, NodeSetup, Permissions, Rendering, cloud_config, from_json, parse, quote_posix,
    to_json,
};
use pki::SecretBytes;
use proptest::prelude::*;

/// Texts that YAML, shells and template engines are known to stumble over.
const NASTY: [&str; 44] = [
    "",
    " ",
    "\n",
    "\n\n",
    "a\n",
    "\na",
    "a\n\n\n",
    "  leading",
    "trailing  ",
    "trailing \n",
    "\ttab\n\tx",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "~",
    "null",
    "True",
    "0644",
    "0o644",
    "1e3",
    "1_000",
    "12:30:45",
    "0x1F",
    ".inf",
    "2026-03-01",
    "- a",
    "a: b",
    "# no comment",
    "a #b",
    "*a",
    "&a",
    "!tag",
    "%x",
    "@x",
    "`x`",
    "'\"\\",
    "{}",
    "[]",
    "\u{feff}bom",
    "line\u{2028}sep\u{85}nel",
    "äöü 漢字 🦀",
];

fn nasty() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        3 => prop::sample::select(NASTY.to_vec()).prop_map(str::to_owned),
        2 => "[ -~äß\\n\\t]{0,40}",
        1 => "\\PC{0,20}",
        1 => Just("docker inspect -f '{{.Id}}' {% x %} {# y #}".to_owned()),
        1 => Just("echo {{ ds.meta_data.hostname }}".to_owned()),
        1 => Just("a\r\nb\u{7f}\u{1b}[0m".to_owned()),
    ];
    prop::collection::vec(line, 1..4).prop_map(|lines| lines.join("\n"))
}

fn content() -> impl Strategy<Value = SecretBytes> {
    prop_oneof![
        4 => nasty().prop_map(SecretBytes::from),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(SecretBytes::from),
    ]
}

fn file() -> impl Strategy<Value = File> {
    let path = "/[a-zA-Z0-9 ._'\"#:äß-]{1,20}";
    let owner = prop::option::of(prop::sample::select(vec!["root:root".to_owned(), "yes".to_owned()]));
    (path, content(), 0_u16..0o10000, owner, any::<bool>()).prop_map(
        |(path, content, mode, owner, append)| {
            let permissions: Permissions = format!("{mode:04o}").parse().unwrap();
            File { owner, append, ..File::new(path, permissions, content) }
        },
    )
}

/// A text with both kinds of templates cannot be kept literal and filled in at once: not for these trips.
fn mixed(text: &str) -> bool {
    text.contains("ds.meta_data") && (text.contains('\r') || text.contains("{%"))
}

fn setup() -> impl Strategy<Value = NodeSetup> {
    let files = prop::collection::vec(file(), 0..4);
    let commands = prop::collection::vec(nasty().prop_filter("mixed", |text| !mixed(text)), 0..4);
    (files, commands).prop_map(|(files, commands)| NodeSetup {
        files,
        commands: commands.into_iter().map(Command::Script).collect(),
        custom: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn cloud_config_is_read_back(setup in setup()) {
        // A file with instance data that is no plain text has an error of its own.
        if let Ok(text) = cloud_config(&setup) {
            prop_assert_eq!(parse(text.expose()).unwrap(), setup, "{}", text.expose_str().unwrap());
        } else {
            let instance = |file: &File| file.content.expose_str().is_some_and(|text| text.contains("ds.meta_data"));
            let any = setup.files.iter().any(instance);
            prop_assert!(any);
        }
    }

    #[test]
    fn json_is_read_back_with_words_and_rendering(mut setup in setup(), words in prop::collection::vec(nasty(), 1..4)) {
        for (file, rendering) in
            setup.files.iter_mut().zip([Rendering::Literal, Rendering::Jinja, Rendering::Auto])
        {
            file.rendering = rendering;
        }
        let argv = Argv::new(words).with_env("A", "b c");
        setup.commands.extend([Command::Run(argv.clone()), Command::Pipe(vec![argv.clone(), argv])]);
        prop_assert_eq!(from_json(to_json(&setup).expose()).unwrap(), setup);
    }

    /// Asked of a real shell: every word arrives as it was.
    #[test]
    fn a_shell_reads_the_words_back(words in prop::collection::vec(nasty(), 1..5)) {
        let words: Vec<_> = words.into_iter().map(|word| word.replace('\0', "")).collect();
        let text: Vec<_> = words.iter().map(|word| quote_posix(word)).collect();
        let script = format!("printf '%s\\0' {}", text.join(" "));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let read: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
        prop_assert_eq!(&read[..read.len() - 1], words.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn no_text_makes_the_reader_fall_over(text in "\\PC{0,60}", prefix in prop::sample::select(vec!["", "runcmd: ", "write_files: ", "Content-Type: multipart/mixed; boundary=a\n\n--a\n"])) {
        let _ = parse(format!("{prefix}{text}").as_bytes());
    }
}

#[test]
fn each_nasty_text_arrives_as_content_and_as_command() {
    for text in NASTY {
        let setup = NodeSetup {
            files: vec![File::new("/x", Permissions::PRIVATE, text.to_owned())],
            commands: vec![Command::Script(text.to_owned())],
            custom: None,
        };
        let rendered = cloud_config(&setup).unwrap();
        assert_eq!(parse(rendered.expose()).unwrap(), setup, "{}", rendered.expose_str().unwrap());
    }
}
