//! Machines on this box, really started. Needs root; the first run builds their root file system (a minute).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails like a test"
)]

mod machine_support;

use machine_support::{announced, busybox_image, left_behind, options, ssh};
use std::time::{Duration, Instant};
use testbed::machine::{
    Machine, MachineOptions, Mount, Network, NetworkOptions, fleet, rootfs, sweep, sysctls,
};

const NOTHING: Vec<String> = Vec::new();

/// A pod subnet that no other test run has at the same time: the box has one route to each.
fn pod_subnet(network: &Network, number: u8) -> String {
    format!("10.{}.{}.0/24", 214 + number, network.gateway().octets()[2])
}

#[tokio::test]
async fn a_machine_answers_ssh_within_a_minute_for_root_and_for_those_who_need_sudo() {
    rootfs::ensure().await.unwrap();
    let network = Network::scratch().await.unwrap();
    let start = Instant::now();
    let machine = Machine::start(&network, options("host")).await.unwrap();
    machine.wait_for_ssh().await.unwrap();
    eprintln!("ssh answered after {:.1} s", start.elapsed().as_secs_f32());
    assert!(start.elapsed() < Duration::from_mins(1));
    assert_eq!(ssh(&machine, "root", "id -un; hostname").unwrap(), "root\nhost\n");
    assert_eq!(ssh(&machine, "ubuntu", "sudo -n id -un").unwrap(), "root\n");
    let no_terminal = ssh(&machine, "strict", "sudo -n id -un").unwrap_err();
    assert!(no_terminal.contains("tty"), "{no_terminal}");
    assert!(ssh(&machine, "guest", "sudo -n id -un").is_err());
}

#[tokio::test]
async fn cloud_init_does_what_the_user_data_says() {
    let network = Network::scratch().await.unwrap();
    let user_data = "#cloud-config\nwrite_files:\n- {path: /etc/told, content: by cloud-init, permissions: '0600'}\n\
                     runcmd:\n- [sh, -c, 'echo ran > /var/ran']\n";
    let told = MachineOptions { user_data: Some(user_data.to_owned()), ..options("cloudy") };
    let machine = Machine::start(&network, told).await.unwrap();
    machine.wait_for_cloud_init().await.unwrap();
    assert_eq!(machine.read_file("/etc/told").await.unwrap(), "by cloud-init");
    assert_eq!(machine.read_file("/var/ran").await.unwrap(), "ran\n");
    assert_eq!(machine.exec("systemctl --failed --no-legend --plain").await.unwrap(), "", "units failed");
}

#[tokio::test]
async fn three_machines_start_at_once_and_reach_each_other_and_the_box_and_nothing_beyond() {
    let network = Network::scratch().await.unwrap();
    let start = Instant::now();
    let (one, two, three) = tokio::try_join!(
        Machine::start(&network, options("one")),
        Machine::start(&network, options("two")),
        Machine::start(&network, options("three")),
    )
    .unwrap();
    tokio::try_join!(one.wait_for_ssh(), two.wait_for_ssh(), three.wait_for_ssh()).unwrap();
    eprintln!("three answered ssh after {:.1} s", start.elapsed().as_secs_f32());
    for peer in [two.address(), three.address(), network.gateway()] {
        one.exec(&format!("ping -c 1 -W 2 {peer}")).await.unwrap();
    }
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dial = format!("timeout 5 bash -c '</dev/tcp/{}/{port}'", network.gateway());
    let (accepted, dialled) = tokio::join!(listener.accept(), two.exec(&dial));
    dialled.unwrap();
    assert_eq!(accepted.unwrap().1.ip(), two.address());
    // Refused at once: 124 would be the timeout.
    let outside = three.try_exec("timeout 5 bash -c '</dev/tcp/198.51.100.1/80'").await.unwrap();
    assert_eq!(outside.code, 1, "{}", outside.stderr);
}

#[tokio::test]
async fn a_killed_machine_starts_again_with_its_disk_and_its_keys() {
    let network = Network::scratch().await.unwrap();
    let machine = Machine::start(&network, options("phoenix")).await.unwrap();
    machine.wait_for_ssh().await.unwrap();
    let keys = machine.host_keys().unwrap();
    machine.write_file("/etc/kept", "on the root disk").await.unwrap();
    machine.write_file("/var/lib/k0s/kept", "on the k0s disk").await.unwrap();
    machine.write_file("/run/lost", "in memory").await.unwrap();
    machine.kill().await.unwrap();
    assert!(!machine.is_running().unwrap());
    machine.start_again().await.unwrap();
    machine.wait_for_ssh().await.unwrap();
    assert_eq!(machine.read_file("/etc/kept").await.unwrap(), "on the root disk");
    assert_eq!(machine.read_file("/var/lib/k0s/kept").await.unwrap(), "on the k0s disk");
    assert!(machine.read_file("/run/lost").await.is_err());
    assert_eq!(machine.host_keys().unwrap(), keys);
    assert_eq!(ssh(&machine, "root", "hostname").unwrap(), "phoenix\n");
    machine.power_off().await.unwrap();
    assert!(!machine.is_running().unwrap());
}

#[tokio::test]
async fn an_unplugged_or_paused_machine_is_silent_until_it_is_plugged_in_or_resumed() {
    let network = Network::scratch().await.unwrap();
    let machine = Machine::start(&network, options("mute")).await.unwrap();
    machine.wait_for_ssh().await.unwrap();
    machine.unplug().await.unwrap();
    assert!(ssh(&machine, "root", "true").is_err());
    machine.exec("true").await.unwrap();
    machine.plug().await.unwrap();
    ssh(&machine, "root", "true").unwrap();
    machine.pause().await.unwrap();
    assert!(ssh(&machine, "root", "true").is_err());
    machine.resume().await.unwrap();
    ssh(&machine, "root", "true").unwrap();
    machine.pause().await.unwrap();
    machine.kill().await.unwrap();
    assert!(!machine.is_running().unwrap());
}

#[tokio::test]
async fn rotated_host_keys_are_what_the_host_then_shows() {
    let network = Network::scratch().await.unwrap();
    let machine = Machine::start(&network, options("changeling")).await.unwrap();
    machine.wait_for_ssh().await.unwrap();
    let before = machine.host_keys().unwrap();
    let after = machine.rotate_host_keys().await.unwrap();
    assert!(before.iter().all(|key| !after.contains(key)));
    // The client checks what the host shows against `after`.
    ssh(&machine, "root", "true").unwrap();
}

#[tokio::test]
async fn containerd_in_a_worker_runs_a_container_on_overlayfs_and_lent_files_are_there() {
    let network = Network::scratch().await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let tool = scratch.path().join("tool");
    std::fs::write(&tool, "#!/bin/sh\necho lent\n").unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let worker = MachineOptions {
        worker: true,
        mounts: vec![Mount { source: tool, target: "/usr/local/bin/tool".into(), read_only: true }],
        pod_subnet: Some(pod_subnet(&network, 0)),
        ..options("worker")
    };
    let machine = Machine::start(&network, worker).await.unwrap();
    machine.wait_for_ssh().await.unwrap();
    assert_eq!(machine.exec("tool").await.unwrap(), "lent\n");
    assert!(machine.exec("echo over > /usr/local/bin/tool").await.is_err());
    machine.exec("timeout 30 sh -c 'until ctr version; do sleep 0.2; done'").await.unwrap();
    machine.import_image(&busybox_image(scratch.path(), "localhost/busybox:test")).await.unwrap();
    let said = machine
        .exec("ctr -n k8s.io run --rm --snapshotter overlayfs localhost/busybox:test first /bin/busybox echo inside")
        .await
        .unwrap();
    assert_eq!(said, "inside\n");
    // What kube-proxy and network add-ons call.
    machine.exec("iptables -t nat -S && nft list ruleset && ipset list && conntrack -L").await.unwrap();
    assert_eq!(machine.exec("ctr plugins ls | awk '$2 == \"cri\" {print $NF}'").await.unwrap(), "ok\n");
}

#[tokio::test]
async fn pods_of_two_machines_and_the_box_reach_each_other() {
    let network = Network::scratch().await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let image = busybox_image(scratch.path(), "localhost/busybox:test");
    let worker = |number: u8| MachineOptions {
        worker: true,
        pod_subnet: Some(pod_subnet(&network, number)),
        ..options(&format!("worker-{number}"))
    };
    let (one, two) =
        tokio::try_join!(Machine::start(&network, worker(1)), Machine::start(&network, worker(2))).unwrap();
    for machine in [&one, &two] {
        machine.exec("timeout 30 sh -c 'until ctr version; do sleep 0.2; done'").await.unwrap();
        machine.import_image(&image).await.unwrap();
        // The first address that host-local gives out is .2: .1 is the bridge's.
        machine
            .exec("ctr -n k8s.io run -d --cni --snapshotter overlayfs localhost/busybox:test pod /bin/busybox httpd -f -p 80")
            .await
            .unwrap();
    }
    let address = |number| pod_subnet(&network, number).replace(".0/24", ".2");
    let ping =
        format!("ctr -n k8s.io task exec --exec-id ping pod /bin/busybox ping -c 1 -W 3 {}", address(2));
    one.exec(&ping).await.unwrap();
    let dial = tokio::net::TcpStream::connect(address(1) + ":80");
    tokio::time::timeout(Duration::from_secs(5), dial).await.unwrap().unwrap();
}

#[tokio::test]
async fn nothing_is_left_when_machine_and_network_go_in_either_order_or_in_a_panic() {
    let network = Network::scratch().await.unwrap();
    let (tag, folder) = (network.tag(), network.folder().to_owned());
    let machine = Machine::start(&network, options("brief")).await.unwrap();
    let longer = Machine::start(&network, options("longer")).await.unwrap();
    assert_ne!(left_behind(&tag, &folder), NOTHING, "a network that is there would be found");
    machine.remove().await.unwrap();
    network.remove().await.unwrap();
    drop(longer);
    assert_eq!(left_behind(&tag, &folder), NOTHING);

    let network = Network::scratch().await.unwrap();
    let (tag, folder) = (network.tag(), network.folder().to_owned());
    let failing = tokio::spawn(async move {
        let _machine = Machine::start(&network, options("doomed")).await.unwrap();
        panic!("a test fails, as this one is meant to");
    });
    failing.await.unwrap_err();
    assert_eq!(left_behind(&tag, &folder), NOTHING);
}

#[tokio::test]
async fn a_sweep_removes_what_a_killed_process_left_and_nothing_of_the_living() {
    let living = Network::scratch().await.unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_is_killed", "--ignored", "--nocapture"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (tag, folder) = announced(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    // A test beside this one may be sweeping too, and have claimed it first.
    let start = Instant::now();
    while left_behind(&tag, &folder) != NOTHING && start.elapsed() < Duration::from_secs(20) {
        sweep().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left_behind(&tag, &folder), NOTHING);
    assert_ne!(left_behind(&living.tag(), living.folder()), NOTHING);
}

#[tokio::test]
#[ignore = "run by the test above, which kills it"]
async fn a_process_that_is_killed() {
    let network = Network::scratch().await.unwrap();
    let _machine = Machine::start(&network, options("orphan")).await.unwrap();
    println!("\nstarted {} {}", network.tag(), network.folder().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_fleet_outlives_its_maker_is_found_by_name_and_goes_down() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path();
    let made = fleet::up(1, state, false, &MachineOptions::default()).await.unwrap();
    let again = fleet::up(1, state, false, &MachineOptions::default()).await.unwrap();
    assert_eq!(made, again);
    sweep().await.unwrap();
    assert_eq!(fleet::list(state).unwrap(), made);
    let machine = Machine::attach(&made[0].network, "machine-1").unwrap();
    assert_eq!(machine.exec("hostname").await.unwrap(), "machine-1\n");
    assert!(fleet::ssh_key(state).exists());
    let network = Network::attach(&made[0].network).unwrap();
    let (tag, folder) = (network.tag(), network.folder().to_owned());
    drop((machine, network));
    fleet::down(state).await.unwrap();
    assert_eq!(left_behind(&tag, &folder), NOTHING);
    assert_eq!(fleet::list(state).unwrap(), Vec::new());
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_field_and_the_value() {
    let subnet = Some("10.1.2.3".into());
    let options_of_network = NetworkOptions { name: "refused".into(), subnet, ..NetworkOptions::default() };
    let error = Network::create(options_of_network).await.unwrap_err().to_string();
    assert!(error.contains("subnet \"10.1.2.3\""), "{error}");
    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("thesis.txt"), "years of work").unwrap();
    let folder = Some(full.path().to_owned());
    let precious = NetworkOptions { name: "precious".into(), folder, ..NetworkOptions::default() };
    let error = Network::create(precious).await.unwrap_err().to_string();
    assert!(error.contains("\"thesis.txt\", which is no machine"), "{error}");
    assert!(full.path().join("thesis.txt").exists());
    let network = Network::scratch().await.unwrap();
    let far = MachineOptions { ip: Some([192, 0, 2, 7].into()), ..options("far") };
    let nowhere = Mount { source: "/nowhere".into(), target: "/x".into(), read_only: true };
    let poor = MachineOptions { mounts: vec![nowhere], ..options("poor") };
    for (refused, why) in [
        (options("Big"), "machine name \"Big\""),
        (far, "192.0.2.7 is outside"),
        (poor, "/nowhere does not exist"),
    ] {
        let error = Machine::start(&network, refused).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_kernel_setting_goes_back_when_its_last_holder_lets_go() {
    let read = || {
        let text = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    let before = read();
    let wanted = (before + 1000).to_string();
    let setting = [("fs.inotify.max_queued_events", wanted.as_str())];
    sysctls::hold("test-one", &setting).unwrap();
    sysctls::remember("test-two", &[setting[0].0]).unwrap();
    assert_eq!(read(), before + 1000);
    sysctls::release("test-one").unwrap();
    assert_eq!(read(), before + 1000);
    sysctls::release("test-two").unwrap();
    assert_eq!(read(), before);
}
