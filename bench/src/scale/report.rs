//! The tables of `bench scale`.

use std::collections::{BTreeMap, BTreeSet};

use super::Storage;
use super::keys::Keys;
use super::story::{Cost, Told};
use crate::requests::Requests;
use crate::table::{Table, as_f64, median, percentile};

/// Prints them.
#[allow(clippy::print_stdout)] // what a person came for
pub fn print(told: &[Told], keys: &Keys) {
    type Part = (&'static str, fn(&Told) -> &Cost);
    println!("\n{}", costs(told, keys));
    let parts: [Part; 4] = [
        ("creation", |told| &told.creation),
        ("idle window", |told| &told.idle),
        ("restart", |told| &told.restart),
        ("deletion", |told| &told.deletion),
    ];
    for (name, part) in parts {
        println!("Requests of the manager, {name}: count (per cluster)\n\n{}", requests(told, part));
    }
}

fn head(first: &str, told: &[Told]) -> Table {
    let columns = told.iter().map(|told| format!("{} {}", told.count, told.storage.name()));
    Table::new(std::iter::once(first.to_owned()).chain(columns))
}

fn costs(told: &[Told], keys: &Keys) -> Table {
    let mut table = head("", told);
    let mut row = |what: &str, figure: &dyn Fn(&Told) -> String| table.row(what, told.iter().map(figure));
    let per = |told: &Told, figure: f64| figure / as_f64(told.count);
    row("create: all Available, s", &|told| format!("{:.1}", told.created.all));
    row("create: each Available, median s", &|told| format!("{:.1}", median(&told.created.each)));
    row("create: each Available, p99 s", &|told| format!("{:.1}", percentile(&told.created.each, 99.0)));
    row("create: writes per cluster", &|told| {
        let writes = per(told, as_f64(told.creation.requests.writes));
        format!("{writes:.1} (most {})", told.storage.most_writes())
    });
    row("create: reads per cluster", &|told| {
        format!("{:.1}", per(told, as_f64(told.creation.requests.reads)))
    });
    row("create: requests to its own API and etcd, per cluster", &|told| {
        format!("{:.1}", per(told, as_f64(told.creation.child_requests)))
    });
    row("create: passes per cluster", &|told| format!("{:.1}", per(told, told.creation.passes)));
    row("create: failed passes", &|told| format!("{}", told.creation.errors));
    row("create: CPU per cluster, ms", &|told| format!("{:.0}", 1e3 * per(told, told.creation.cpu)));
    row("create: of it keys, measured apart, ms", &|told| {
        let keys = match told.storage {
            Storage::Kine => keys.kine,
            Storage::Etcd => keys.etcd,
        };
        format!("{:.0}", 1e3 * keys)
    });
    row("memory: empty, MiB RSS", &|told| format!("{:.1}", told.empty.rss));
    row("memory: empty, of it anonymous", &|told| format!("{:.1}", told.empty.own));
    row("memory: settled, MiB RSS", &|told| format!("{:.1}", told.idle.usage.rss));
    row("memory: settled, of it anonymous", &|told| format!("{:.1}", told.idle.usage.own));
    row("memory: peak, MiB RSS", &|told| format!("{:.1}", told.idle.usage.peak));
    row("memory: KiB per cluster", &|told| {
        format!("{:.0}", 1024.0 * per(told, told.idle.usage.rss - told.empty.rss))
    });
    row("idle: seconds", &|told| format!("{:.0}", told.idle.seconds));
    row("idle: writes", &|told| told.idle.requests.writes.to_string());
    row("idle: reads besides watches", &|told| told.idle.requests.reads.to_string());
    row("idle: requests to clusters' own APIs and etcds", &|told| told.idle.child_requests.to_string());
    row("idle: watches begun", &|told| told.idle.requests.watches.to_string());
    row("idle: passes/s per cluster", &|told| {
        format!("{:.4}", per(told, told.idle.passes / told.idle.seconds))
    });
    row("idle: CPU, milli-cores", &|told| format!("{:.1}", 1e3 * told.idle.cpu / told.idle.seconds));
    row("restart: SIGTERM to end, s", &|told| format!("{:.1}", told.ended));
    row("restart: start to synced, s", &|told| format!("{:.2}", told.synced));
    row("restart: start to a new cluster's finalizer, s", &|told| format!("{:.2}", told.probe));
    row("restart: writes", &|told| told.restart.requests.writes.to_string());
    row("restart: reads", &|told| told.restart.requests.reads.to_string());
    row("restart: requests to clusters' own APIs and etcds, with the new one's", &|told| {
        told.restart.child_requests.to_string()
    });
    row("restart: CPU, s", &|told| format!("{:.2}", told.restart.cpu));
    row("restart: peak, MiB RSS", &|told| format!("{:.1}", told.restart.usage.peak));
    row("delete: all gone, s", &|told| format!("{:.1}", told.deletion.seconds));
    table
}

fn requests(told: &[Told], part: fn(&Told) -> &Cost) -> Table {
    let counts: Vec<&BTreeMap<String, usize>> =
        told.iter().map(|told| &part(told).requests.by_kind).collect();
    let kinds: BTreeSet<&String> = counts.iter().flat_map(|counts| counts.keys()).collect();
    let mut table = head("request", told);
    for kind in kinds {
        let cells = told.iter().zip(&counts).map(|(told, counts)| match counts.get(kind) {
            None => "0".to_owned(),
            Some(count) => format!("{count} ({:.1})", as_f64(*count) / as_f64(told.count)),
        });
        table.row(kind, cells);
    }
    let whole = |told: &Told| Requests::all(&part(told).requests).to_string();
    table.row("all besides watches", told.iter().map(whole));
    table
}
