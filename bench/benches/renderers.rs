//! Bootstrap data of a host: rendered as cloud-config, and read back.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)] // criterion's macros; a benchmark may stop

use std::hint::black_box;

use bootstrap_data::{Command, File, NodeSetup, Permissions, cloud_config, parse, shell, to_json};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// A worker with so many files of its user's, one KiB each.
fn worker(files: usize) -> NodeSetup {
    let mut setup = NodeSetup {
        files: vec![File::new("/etc/k0s.token", Permissions::PRIVATE, "H4sIAAAAAAAC/".repeat(150))],
        commands: vec![
            Command::run(["curl", "-sSfL", "--retry", "5", "https://get.k0s.sh", "-o", "/tmp/get-k0s.sh"]),
            Command::run([
                "k0s",
                "install",
                "worker",
                "--token-file",
                "/etc/k0s.token",
                "--labels",
                "a=b c's",
            ]),
            Command::run(["k0s", "start"]),
        ],
        custom: None,
    };
    setup.files.extend((0..files).map(|number| {
        let content = format!("line of file {number}: \"quoted\" and {{{{ literal }}}}\n").repeat(22);
        File::new(format!("/etc/user/{number}.conf"), Permissions::PUBLIC, content)
    }));
    setup
}

fn renderers(criterion: &mut Criterion) {
    for files in [0, 10, 100] {
        let setup = worker(files);
        let text = cloud_config(&setup).unwrap();
        let mut group = criterion.benchmark_group(format!("worker with {files} files"));
        group.throughput(Throughput::Bytes(text.len().try_into().unwrap()));
        group.bench_function("cloud-config", |bencher| {
            bencher.iter(|| cloud_config(black_box(&setup)).unwrap());
        });
        group.bench_function("cloud-config read back", |bencher| {
            bencher.iter(|| parse(black_box(text.expose())).unwrap());
        });
        group.bench_function("json", |bencher| bencher.iter(|| to_json(black_box(&setup))));
        group.bench_function("shell of its commands", |bencher| {
            bencher.iter_batched(
                || setup.commands.clone(),
                |commands| shell(&commands),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, renderers);
criterion_main!(benches);
