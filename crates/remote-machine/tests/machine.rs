//! The run on a host with systemd that loses its power, and its undoing by a user with sudo. Needs root.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use remote_machine::data::Payload;
use remote_machine::facts::Role;
use remote_machine::failure::{Failure, Reason};
use remote_machine::host::{Access, CleanUp, Job, clean_up, provision};
use remote_machine::ssh::{Target, Trust, UserKey, pins};
use testbed::machine::{Machine, MachineFile, MachineOptions, Network};

/// The least of k0s that leaves a systemd unit, a process and data.
const K0S: &str = r#"#!/bin/sh
set -e
unit=/etc/systemd/system/k0sworker.service
case "$1" in
install)
  mkdir -p /var/lib/k0s; echo installed >> /var/lib/k0s/installs
  printf '[Service]\nExecStart=/usr/local/bin/k0s-sleep 1000000\n' > $unit; cp /bin/sleep /usr/local/bin/k0s-sleep
  systemctl daemon-reload ;;
start) systemctl start k0sworker ;;
reset) [ "$(systemctl is-active k0sworker)" != active ]; rm -rf /var/lib/k0s/* $unit /usr/local/bin/k0s-sleep; systemctl daemon-reload ;;
esac
"#;

const DATA: &str = "#cloud-config
write_files:
- {path: /etc/k0s.token, content: super-secret-join-token, permissions: '0600'}
runcmd:
- k0s install worker --token-file /etc/k0s.token
- echo waits >> /var/log/steps; until [ -e /var/go ]; do sleep 0.1; done
- [k0s, start]
- mkdir -p /run/cluster-api && touch /run/cluster-api/bootstrap-success.complete
";

struct Bed {
    machine: Machine,
    key: UserKey,
    _network: Network,
}

impl Bed {
    async fn start() -> Self {
        let keys = tempfile::tempdir().unwrap();
        let path = keys.path().join("key");
        keygen(&path);
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let network = Network::scratch().await.unwrap();
        let options = MachineOptions {
            name: "host".to_owned(),
            authorized_keys: vec![public.trim().to_owned()],
            files: vec![MachineFile {
                path: "/usr/local/bin/k0s".to_owned(),
                content: K0S.to_owned(),
                mode: 0o755,
            }],
            ..MachineOptions::default()
        };
        let machine = Machine::start(&network, options).await.unwrap();
        machine.wait_for_ssh().await.unwrap();
        let key = UserKey::parse(&std::fs::read_to_string(path).unwrap(), None, None).unwrap();
        Self { machine, key, _network: network }
    }

    fn access(&self, user: &str) -> Access {
        let address = self.machine.address().to_string();
        let pinned = pins(&self.machine.host_keys().unwrap(), None, &address, 22).unwrap();
        Access {
            target: Target { address, port: 22, user: user.to_owned(), connect: Duration::from_secs(5) },
            trust: Trust::Only(pinned),
            key: self.key.clone(),
            privileged: user != "root",
        }
    }
}

fn keygen(path: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
}

fn job() -> Job {
    let data = [("value".to_owned(), ByteString(DATA.as_bytes().to_vec()))].into();
    let payload = Payload::read(&data, Some(Role::Worker)).unwrap();
    Job {
        owner: "uid".to_owned(),
        run: payload.run_id("uid"),
        working_dir: "/etc/k0smotron".to_owned(),
        payload,
        as_script: false,
        command_limit: Duration::from_mins(2),
        total_limit: Duration::from_mins(5),
        force: false,
    }
}

async fn attempt(access: Access) -> Result<(), Failure> {
    provision(&access, &job(), &|_| {}).await.map(drop)
}

#[tokio::test]
async fn r2_a_host_that_loses_its_power_in_the_middle_goes_on_at_the_unfinished_step_and_is_cleaned() {
    let bed = Bed::start().await;
    let before = bed.machine.exec("find /etc /var/lib/k0s 2>/dev/null | sort || true").await.unwrap();
    let running = tokio::spawn(attempt(bed.access("ubuntu")));
    let end = Instant::now() + Duration::from_mins(1);
    while bed.machine.exec("cat /var/log/steps").await.is_err() {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bed.machine.kill().await.unwrap();
    bed.machine.start_again().await.unwrap();
    bed.machine.wait_for_ssh().await.unwrap();
    let cut = tokio::time::timeout(Duration::from_mins(2), running).await.unwrap().unwrap();
    assert_eq!(cut.unwrap_err().reason, Reason::ConnectFailed);
    bed.machine.exec("touch /var/go").await.unwrap();
    attempt(bed.access("ubuntu")).await.unwrap();
    assert_eq!(bed.machine.exec("cat /var/lib/k0s/installs").await.unwrap(), "installed\n");
    assert_eq!(bed.machine.exec("cat /var/log/steps").await.unwrap(), "waits\nwaits\n");
    assert_eq!(bed.machine.exec("systemctl is-active k0sworker").await.unwrap(), "active\n");

    let undo = CleanUp {
        owner: "uid".to_owned(),
        working_dir: "/etc/k0smotron".to_owned(),
        facts: job().payload.facts,
        commands: None,
        leave_etcd: false,
        limit: Duration::from_mins(1),
    };
    clean_up(&bed.access("ubuntu"), &undo).await.unwrap();
    assert_eq!(bed.machine.exec("find /etc /var/lib/k0s 2>/dev/null | sort || true").await.unwrap(), before);
    // A user whom sudo asks for a terminal, and one without sudo.
    for user in ["strict", "guest"] {
        let denied = attempt(bed.access(user)).await.unwrap_err();
        assert_eq!(denied.reason, Reason::PrivilegeDenied, "{denied}");
    }
}
