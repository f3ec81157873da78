//! The run on a host and its undoing, against a genuine sshd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test ends at the first surprise, and passes what it makes"
)]

mod support;

use std::sync::Mutex;
use std::time::Duration;

use bootstrap_data::{Command, File, NodeSetup, Permissions, to_json};
use k8s_openapi::ByteString;
use remote_machine::data::Payload;
use remote_machine::facts::Role;
use remote_machine::failure::{Failure, Reason};
use remote_machine::host::{Access, CleanUp, Done, Job, Progress, clean_up, provision};
use remote_machine::ssh::{Connection, Target, Trust, UserKey, fingerprint_of, pins};
use support::cable::Cable;
use support::{Host, until};

fn target(port: u16) -> Target {
    Target { address: "127.0.0.1".into(), port, user: "root".into(), connect: Duration::from_secs(5) }
}

fn access(host: &Host, port: u16) -> Access {
    let pins = pins(&[host.host_key_line()], None, "127.0.0.1", port).unwrap();
    let key = UserKey::parse(&host.key(), None, None).unwrap();
    Access { target: target(port), trust: Trust::Only(pins), key, privileged: false }
}

const SENTINEL: &str = "mkdir -p /run/cluster-api && touch /run/cluster-api/bootstrap-success.complete";

fn payload(files: Vec<File>, steps: &[&str]) -> Payload {
    let commands = steps.iter().map(|step| Command::Script((*step).to_owned())).collect();
    let setup = NodeSetup { files, commands, custom: None };
    let data = [("setup".to_owned(), ByteString(to_json(&setup).expose().to_vec()))].into();
    Payload::read(&data, Some(Role::Worker)).unwrap()
}

fn job(payload: Payload) -> Job {
    Job {
        owner: "uid-1".into(),
        run: payload.run_id("uid-1"),
        working_dir: "/etc/k0smotron".into(),
        payload,
        as_script: false,
        command_limit: Duration::from_secs(30),
        total_limit: Duration::from_mins(1),
        force: false,
    }
}

fn undo(job: &Job) -> CleanUp {
    CleanUp {
        owner: job.owner.clone(),
        working_dir: job.working_dir.clone(),
        facts: job.payload.facts.clone(),
        commands: None,
        leave_etcd: false,
        limit: Duration::from_secs(30),
    }
}

async fn run(access: &Access, job: &Job) -> Result<Done, Failure> {
    provision(access, job, &|_| {}).await
}

fn worker() -> Payload {
    let token = File::new("/etc/k0s.token", Permissions::PRIVATE, b"super-secret-join-token".to_vec());
    payload(
        vec![token, File::new("/opt/app/conf/app.conf", Permissions::PUBLIC, b"x\n".to_vec())],
        &[
            "/usr/local/bin/k0s install worker --token-file /etc/k0s.token --kubelet-root-dir '/var/lib/my kubelet'",
            "/usr/local/bin/k0s start",
            SENTINEL,
        ],
    )
}

#[tokio::test]
async fn r1_a_host_shows_its_key_before_anybody_logs_in() {
    let host = Host::start();
    let shown = fingerprint_of(&target(host.port)).await.unwrap();
    assert!(pins(&[host.host_key_line()], None, "127.0.0.1", host.port).unwrap().contains(&shown));
}

#[tokio::test]
async fn r1_a_changed_host_key_stops_everything_before_a_byte_of_the_payload() {
    let host = Host::start();
    let cable = Cable::to(host.port).await;
    let access = access(&host, cable.port);
    let job = job(worker());
    host.change_host_key();
    let before = cable.sent();
    let failure = run(&access, &job).await.unwrap_err();
    assert_eq!(failure.reason, Reason::HostKeyMismatch, "{failure}");
    assert_eq!(failure.message.matches("SHA256:").count(), 2, "{failure}");
    // Key exchanges only: for the wanted kinds of keys, each about two KiB.
    assert!(cable.sent() - before < 16 * 1024);
    assert_eq!(clean_up(&access, &undo(&job)).await.unwrap_err().reason, Reason::HostKeyMismatch);
    assert!(!host.test("[ -e /etc/k0smotron ]"));
    let any = Access { trust: Trust::Any, ..access };
    host.add_k0s();
    run(&any, &job).await.unwrap();
}

#[tokio::test]
async fn r28_keys_of_many_kinds_log_in() {
    let host = Host::start();
    let trust = access(&host, host.port).trust;
    for (args, passphrase) in [
        (&["-t", "ed25519"][..], None),
        (&["-t", "ecdsa", "-b", "256"], None),
        (&["-t", "ecdsa", "-b", "384", "-m", "PEM"], None),
        (&["-t", "ecdsa", "-b", "521", "-m", "PKCS8"], None),
        (&["-t", "rsa", "-b", "2048"], None),
        (&["-t", "rsa", "-b", "3072", "-m", "PEM"], None),
        (&["-t", "rsa", "-b", "4096", "-m", "PKCS8"], None),
        (&["-t", "rsa", "-b", "2048", "-N", "pass phrase"], Some("pass phrase")),
        (&["-t", "ed25519", "-N", "pass phrase"], Some("pass phrase")),
    ] {
        let text = host.new_key(args);
        let key = UserKey::parse(&text, passphrase, None).unwrap_or_else(|fault| panic!("{args:?}: {fault}"));
        let connection = Connection::open(&target(host.port), &trust, &key).await;
        connection.unwrap_or_else(|failure| panic!("{args:?}: {failure}")).close().await;
        if passphrase.is_some() {
            assert!(UserKey::parse(&text, Some("wrong"), None).is_err(), "{args:?}");
            assert!(
                UserKey::parse(&text, None, None).unwrap_err().to_string().contains("passphrase"),
                "{args:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_key_a_dead_port_and_a_silent_host_are_three_reasons() {
    let (host, other) = (Host::start(), Host::start());
    let mut wrong = access(&host, host.port);
    wrong.key = UserKey::parse(&other.key(), None, None).unwrap();
    let failure = run(&wrong, &job(worker())).await.unwrap_err();
    assert_eq!(failure.reason, Reason::AuthFailed);
    assert!(failure.message.contains("root") && failure.message.contains("authorized_keys"), "{failure}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stalled = access(&host, silent.local_addr().unwrap().port());
    stalled.target.connect = Duration::from_secs(1);
    let failure = run(&stalled, &job(worker())).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ConnectFailed);
    assert!(failure.message.contains("handshake"), "{failure}");
    drop(silent);
    let failure = run(&stalled, &job(worker())).await.unwrap_err();
    assert!(failure.message.contains("cannot connect"), "{failure}");
    assert!(UserKey::parse("hello", None, None).is_err());
}

#[tokio::test]
async fn r2_r8_files_and_commands_arrive_and_nothing_runs_twice() {
    let host = Host::start();
    host.add_k0s();
    host.sh("echo old > /etc/k0s.token; chmod 644 /etc/k0s.token");
    let (access, job) = (access(&host, host.port), job(worker()));
    let told = Mutex::new(Vec::new());
    let done =
        provision(&access, &job, &|progress| told.lock().unwrap().push(progress.clone())).await.unwrap();
    assert_eq!(done.host.operating_system, "linux");
    assert!(told.lock().unwrap().iter().any(|progress| matches!(progress, Progress::Step(_))));
    assert_eq!(host.sh("stat -c %a /etc/k0s.token"), "600\n");
    assert_eq!(host.sh("cat /etc/k0s.token"), "super-secret-join-token");
    assert_eq!(host.sh("stat -c %a /opt/app/conf/app.conf /opt/app"), "644\n755\n");
    // The report of success was lost: the next attempt, and a manager with other data for the same machine, find it.
    run(&access, &job).await.unwrap();
    host.sh("rm /run/cluster-api/bootstrap-success.complete");
    run(&access, &job).await.unwrap();
    assert_eq!(host.sh("cat /var/lib/k0s/installs"), "installed\n");
    assert!(!host.test("grep -rq super-secret /etc/k0smotron"));
    assert_eq!(host.sh("ls /run/k0smotron 2>/dev/null || true"), "");
}

#[tokio::test]
async fn r13_clean_up_leaves_the_host_as_before_and_a_second_machine_joins_at_once() {
    let host = Host::start();
    host.add_k0s();
    let everything = "find /etc /run /var/lib /opt -not -path '/run/sshd*' | sort | sha256sum";
    let before = host.sh(everything);
    let (access, first) = (access(&host, host.port), job(worker()));
    run(&access, &first).await.unwrap();
    assert_ne!(host.sh(everything), before);
    assert_eq!(clean_up(&access, &undo(&first)).await.unwrap(), Vec::<String>::new());
    assert_eq!(host.sh(everything), before);
    assert_eq!(host.sh("cat /var/tmp/reset-args"), "--kubelet-root-dir /var/lib/my kubelet\n");
    // Once more: it is clean already.
    clean_up(&access, &undo(&first)).await.unwrap();
    let second = Job { owner: "uid-2".into(), run: worker().run_id("uid-2"), ..job(worker()) };
    run(&access, &second).await.unwrap();
    // The first machine's late clean-up leaves nothing of the second's run behind either way: it is another's.
    let failure =
        run(&access, &Job { owner: "uid-3".into(), run: "3".into(), ..job(worker()) }).await.unwrap_err();
    assert_eq!(failure.reason, Reason::HostNotClean, "{failure}");
}

#[tokio::test]
async fn r4_a_reset_that_fails_is_reported_without_secrets() {
    let host = Host::start();
    host.add_k0s();
    let (access, job) = (access(&host, host.port), job(worker()));
    run(&access, &job).await.unwrap();
    host.sh("touch /run/reset-fails");
    let failure = clean_up(&access, &undo(&job)).await.unwrap_err();
    assert_eq!(failure.reason, Reason::CleanUpFailed);
    assert!(failure.message.contains("k0s reset ended with exit code 1"), "{failure}");
    assert!(!failure.message.contains("0123456789abcdef"), "{failure}");
    host.sh("rm /run/reset-fails");
    clean_up(&access, &undo(&job)).await.unwrap();
}

#[tokio::test]
async fn r6_r12_a_failing_command_is_named_without_its_secrets_and_the_run_resumes_there() {
    let host = Host::start();
    let token = File::new("/etc/secret", Permissions::PRIVATE, b"super-secret-join-token".to_vec());
    let step = "echo second >> /var/tmp/log; [ -e /var/tmp/go ] || { cat /etc/secret; echo password=hunter2; cat /etc/secret; exit 7; }";
    let job = job(payload(vec![token], &["echo first >> /var/tmp/log", step, SENTINEL]));
    let access = access(&host, host.port);
    let failure = run(&access, &job).await.unwrap_err();
    assert_eq!(failure.reason, Reason::CommandFailed);
    assert!(failure.message.contains("command 2 of 3 ended with exit code 7"), "{failure}");
    assert!(!failure.message.contains("super-secret") && !failure.message.contains("hunter2"), "{failure}");
    assert_eq!(host.sh("stat -c %a /etc/k0smotron/run/*/2.out"), "600\n");
    host.sh("touch /var/tmp/go");
    run(&access, &job).await.unwrap();
    assert_eq!(host.sh("cat /var/tmp/log"), "first\nsecond\nsecond\n");
}

#[tokio::test]
async fn a_run_without_sentinel_is_no_success() {
    let host = Host::start();
    let failure = run(&access(&host, host.port), &job(payload(vec![], &["true"]))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::SentinelMissing, "{failure}");
}

#[tokio::test]
async fn r2_a_run_goes_on_without_us_and_is_found_again() {
    let host = Host::start();
    let cable = Cable::to(host.port).await;
    let slow = "echo ran >> /var/tmp/log; until [ -e /var/tmp/go ]; do sleep 0.1; done";
    let job = job(payload(vec![], &[slow, "echo after >> /var/tmp/log", SENTINEL]));
    let through = access(&host, cable.port);
    let through = Access { trust: access(&host, host.port).trust, ..through };
    let running = tokio::spawn({
        let (access, job) = (through.clone(), job.clone());
        async move { run(&access, &job).await }
    });
    until("the first step", || host.test("[ -e /var/tmp/log ]")).await;
    cable.unplug();
    assert_eq!(running.await.unwrap().unwrap_err().reason, Reason::ConnectFailed);
    // Another manager, and another machine, while it runs.
    let other = Job { owner: "uid-2".into(), run: "2".into(), ..job.clone() };
    let busy = run(&access(&host, host.port), &other).await.unwrap_err();
    assert_eq!(busy.reason, Reason::HostBusy, "{busy}");
    cable.plug();
    let again = tokio::spawn(async move { run(&through, &job).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    host.sh("touch /var/tmp/go");
    again.await.unwrap().unwrap();
    assert_eq!(host.sh("cat /var/tmp/log"), "ran\nafter\n");
}

#[tokio::test]
async fn r2_two_managers_at_once_run_each_command_once() {
    let host = Host::start();
    let access = access(&host, host.port);
    let job = job(payload(vec![], &["sleep 1; echo ran >> /var/tmp/log", SENTINEL]));
    let results = futures::future::join_all((0..4).map(|_| run(&access, &job))).await;
    assert!(results.iter().any(Result::is_ok));
    for failure in results.into_iter().filter_map(Result::err) {
        assert_eq!(failure.reason, Reason::HostBusy, "{failure}");
    }
    assert_eq!(host.sh("cat /var/tmp/log"), "ran\n");
}

#[tokio::test]
async fn deletion_in_the_middle_stops_the_run_and_cleans() {
    let host = Host::start();
    host.add_k0s();
    let before = host.sh("ls -a /etc /run");
    let access = access(&host, host.port);
    let job = job(payload(vec![], &["/usr/local/bin/k0s install worker", "sleep 1000", SENTINEL]));
    let cut = tokio::time::timeout(Duration::from_secs(3), run(&access, &job)).await;
    assert!(cut.is_err());
    assert!(host.test("pgrep -f 'sleep [1]000' > /dev/null"));
    clean_up(&access, &undo(&job)).await.unwrap();
    assert!(!host.test("pgrep -f 'sleep [1]000' > /dev/null"));
    assert_eq!(host.sh("ls -a /etc /run"), before);
}

#[tokio::test]
async fn a_command_over_its_deadline_is_stopped() {
    let host = Host::start();
    let job = Job { command_limit: Duration::from_secs(1), ..job(payload(vec![], &["sleep 1000"])) };
    let failure = run(&access(&host, host.port), &job).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Timeout, "{failure}");
    assert!(failure.message.contains("commandSeconds"), "{failure}");
    assert!(!host.test("pgrep -f 'sleep [1]000' > /dev/null"));
}

const AWKWARD: &str = "cd /tmp && echo \"a  'b' $HOME `echo c` \\$d\" | tr a-z A-Z >> /var/tmp/out; echo 'é;&|' >> /var/tmp/out\nx=1\necho \"${x:-2} !\" >> /var/tmp/out\n# comment";

#[tokio::test]
async fn r11_compound_commands_mean_the_same_with_sudo_and_as_script() {
    let host = Host::start();
    host.add_user("deploy", true);
    host.add_user("guest", false);
    let mut expected = String::new();
    for (user, privileged, as_script) in
        [("root", false, false), ("deploy", true, false), ("root", true, true), ("deploy", true, true)]
    {
        let mut access = access(&host, host.port);
        access.target.user = user.into();
        access.privileged = privileged;
        let file = File {
            owner: Some("deploy".into()),
            ..File::new("/etc/by-deploy", Permissions::PRIVATE, b"\x00\xff'\"\n".to_vec())
        };
        let job =
            Job { as_script, ..job(payload(vec![file], &[AWKWARD, "id -u >> /var/tmp/out", SENTINEL])) };
        run(&access, &job).await.unwrap_or_else(|failure| panic!("{user}: {failure}"));
        let out = host.sh("cat /var/tmp/out; rm /var/tmp/out; stat -c '%U %a %s' /etc/by-deploy");
        assert!(out.ends_with("0\ndeploy 600 5\n"), "{user}: {out}");
        if expected.is_empty() {
            expected.clone_from(&out);
        }
        assert_eq!(out.replace("/VAR/TMP", "/ROOT"), expected, "{user}");
        assert!(!host.test("[ -e /etc/k0smotron/k0s_install.sh ]"));
        clean_up(&access, &undo(&job)).await.unwrap();
    }
    let mut access = access(&host, host.port);
    access.target.user = "guest".into();
    access.privileged = true;
    let failure = run(&access, &job(payload(vec![], &["true"]))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::PrivilegeDenied, "{failure}");
    // without sudo nothing asks for it.
    access.privileged = false;
    let job = Job { working_dir: "/var/tmp/k".into(), ..job(payload(vec![], &["id -un > /var/tmp/who"])) };
    host.sh("chmod 777 /var/tmp");
    assert_eq!(run(&access, &job).await.unwrap_err().reason, Reason::SentinelMissing);
    assert_eq!(host.sh("cat /var/tmp/who"), "guest\n");
}

#[tokio::test]
async fn custom_clean_up_commands_are_all_run_and_their_failures_collected() {
    let host = Host::start();
    let (access, job) = (access(&host, host.port), job(payload(vec![], &[SENTINEL])));
    run(&access, &job).await.unwrap();
    let commands = Some(vec!["echo one >> /var/tmp/log; exit 3".into(), "echo two >> /var/tmp/log".into()]);
    let failure = clean_up(&access, &CleanUp { commands, ..undo(&job) }).await.unwrap_err();
    assert!(failure.message.contains("spec.cleanUpCommands[0] ended with exit code 3"), "{failure}");
    assert_eq!(host.sh("cat /var/tmp/log"), "one\ntwo\n");
    assert!(!host.test("[ -e /etc/k0smotron ] || [ -e /run/cluster-api ]"));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named() {
    let host = Host::start();
    let file = File::new("/proc/nothing/here", Permissions::PUBLIC, b"x".to_vec());
    let failure = run(&access(&host, host.port), &job(payload(vec![file], &[SENTINEL]))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::UploadFailed);
    assert!(failure.message.contains("/proc/nothing/here"), "{failure}");
}
