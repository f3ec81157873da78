//! The tables of `bench ready`.

use std::collections::BTreeMap;

use super::Args;
use super::bed::Bed;
use super::hosted::Seen;
use super::moments::Moments;
use crate::table::{Table, as_f64, median, percentile};

/// What the issue and H-20 ask of the ratio.
const TARGET: f64 = 1.3;

/// Prints them.
#[allow(clippy::print_stdout)] // what a person came for
pub fn print(args: &Args, bed: &Bed, hands: &[Moments], ours: &[Seen]) {
    let ours_at: Vec<Moments> = ours.iter().map(|seen| seen.moments).collect();
    let storage = args.storage.name();
    println!("\n{} runs of each, {storage}, one replica, images present; {}\n", ours.len(), bed.k0s);
    println!("{}", times(hands, &ours_at));
    println!("Requests of the manager per control plane (mean)\n\n{}", requests(args, ours));
}

fn times(hands: &[Moments], ours: &[Moments]) -> Table {
    let mut table = Table::new(["seconds since the first object was asked for", "by hand", "hosted"]);
    let mut row = |what: &str, of: &dyn Fn(&Moments) -> f64| {
        let cell = |all: &[Moments]| {
            let figures: Vec<f64> = all.iter().map(of).collect();
            format!(
                "{:.2} ({:.2} - {:.2})",
                median(&figures),
                percentile(&figures, 0.0),
                percentile(&figures, 100.0)
            )
        };
        table.row(what, [cell(hands), cell(ours)]);
    };
    row("last object there: median (least - most)", &|at| at.objects);
    row("container runs", &|at| at.runs);
    row("/readyz answers 200", &|at| at.answers);
    row("pod Ready", &|at| at.ready);
    row("Available (by hand there is none)", &|at| at.available);
    row("k0s' share: container runs to /readyz", &|at| at.answers - at.runs);
    row("kubelet's share: last object to container, /readyz to pod Ready", &|at| {
        at.runs - at.objects + at.ready - at.answers
    });
    row("our share: to the last object", &|at| at.objects);
    row("our share: pod Ready to Available", &|at| (at.available - at.ready).max(0.0));
    let hand = median(&hands.iter().map(|at| at.answers).collect::<Vec<_>>());
    let our = median(&ours.iter().map(|at| at.available).collect::<Vec<_>>());
    let ratio = format!("{:.2} (target {TARGET})", our / hand);
    table.row("ratio of medians: Available / by hand to /readyz", [String::new(), ratio]);
    table
}

fn requests(args: &Args, ours: &[Seen]) -> Table {
    let mut table = Table::new(["request", "count"]);
    let mut sums: BTreeMap<&String, usize> = BTreeMap::new();
    for (kind, count) in ours.iter().flat_map(|seen| &seen.requests.by_kind) {
        *sums.entry(kind).or_default() += count;
    }
    let mean = |sum: usize| as_f64(sum) / as_f64(ours.len());
    for (kind, sum) in sums {
        table.row(kind, [format!("{:.1}", mean(sum))]);
    }
    let writes = mean(ours.iter().map(|seen| seen.requests.writes).sum());
    table.row("writes", [format!("{writes:.1} (most {})", args.storage.most_writes())]);
    table.row(
        "reads besides watches",
        [format!("{:.1}", mean(ours.iter().map(|seen| seen.requests.reads).sum()))],
    );
    table
}
