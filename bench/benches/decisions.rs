//! What a pass over a settled hosted cluster decides, from observation to plan, without the I/O around it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)] // criterion's macros; a benchmark may stop

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use k0smotron_control_plane::cluster;
use k0smotron_control_plane::cluster::decide::decide;
use k0smotron_control_plane::cluster::plan::plan;
use k0smotron_control_plane::cluster::situation::Situation;

// The very observations that the controller's own tests play.
#[allow(dead_code, missing_docs, clippy::pedantic)]
#[path = "../../crates/k0smotron-control-plane/src/cluster/tests/world.rs"]
mod world;

const SPECS: [(&str, &str); 3] = [
    ("kine", "version: v1.36.3+k0s.2\nstorage: {type: kine}\nservice: {type: ClusterIP}"),
    ("etcd 1", "version: v1.36.3+k0s.2\nstorage: {type: etcd}\nservice: {type: ClusterIP}"),
    ("etcd 3", "version: v1.36.3+k0s.2\nreplicas: 3\nstorage: {type: etcd}\nservice: {type: ClusterIP}"),
];

fn settled(criterion: &mut Criterion) {
    for (name, spec) in SPECS {
        let seen = world::serving(spec);
        criterion.bench_function(
            &format!("hosted cluster, settled, {name}: observation to step"),
            |bencher| {
                bencher.iter(|| decide(&Situation::of(black_box(&seen)).unwrap()));
            },
        );
        criterion.bench_function(
            &format!("hosted cluster, settled, {name}: observation to plan"),
            |bencher| {
                bencher.iter(|| plan(black_box(&seen)));
            },
        );
    }
}

criterion_group!(benches, settled);
criterion_main!(benches);
