//! Beside another program, in turns.

use super::mark;
use super::markdown::{grouped, range, table};
use crate::frames::Label;
use crate::results::Comparison;
use crate::results::comparison::{Contest, One, Pair};

/// How many times as fast as Debian's Open vSwitch we mean to be, devices included.
const AIMS: &[(&str, u32, f64)] = &[
    ("decap", 1000, 2.5),
    ("decap", 100_000, 5.0),
    ("encap", 1000, 2.0),
    ("encap", 100_000, 5.0),
    ("routed", 1000, 2.0),
    ("routed", 100_000, 4.0),
    ("snat", 64_000, 4.0),
    ("snat", 1_000_000, 4.0),
];

fn aim(label: &Label) -> Option<f64> {
    let found = AIMS
        .iter()
        .find(|(workload, size, _)| *workload == label.workload && *size == label.size);
    found.map(|(.., aim)| *aim)
}

pub fn section(all: &Comparison) -> String {
    let line = |contest: &Contest| {
        let pairs = &contest.pairs;
        let cycles = |one: fn(&Pair) -> &One| {
            let cycles = pairs.summary(one, |one| Some(one.measured.cycles?.median));
            range(cycles, 0)
        };
        let aim = aim(&contest.label);
        vec![
            format!("{}{}", contest.label, mark(!pairs.doubts.is_empty())),
            cycles(|pair| &pair.a),
            cycles(|pair| &pair.b),
            range(pairs.ratio, 2),
            aim.map_or("–".to_owned(), |aim| format!("≥ {aim}")),
            range(pairs.ratio_without_io, 2),
            pairs.counted.to_string(),
            grouped(contest.compared),
        ]
    };
    let header = [
        "workload",
        "A, cycles",
        "B, cycles",
        "times",
        "aim",
        "without `io`",
        "pairs",
        "frames compared",
    ];
    let mut text = format!(
        "## Beside others\n\n\
         A: {}. B: {}. Pairs of fresh processes in turns, A B A B …, on the same frames and devices (`perf/compare`); *times* is \
         B's cycles over A's, the median of the pairs, least and greatest in parentheses. All that came out of either was \
         compared first.\n\n{}",
        all.a,
        all.b,
        table(&header, all.contests.iter().map(line))
    );
    if !all.settings.is_empty() {
        let settings = all.settings.join("`, `");
        text += &format!("\nB is as it is installed but for: `{settings}`.\n");
    }
    for (label, why) in &all.failed {
        let why = why.lines().next().unwrap_or_default();
        text += &format!("\nNot measured: {label}: {why}\n");
    }
    text
}

/// Ratios that are missed.
pub fn missed(all: &Comparison) -> Vec<String> {
    let missed = all.contests.iter().filter_map(|contest| {
        let (aim, ratio) = (aim(&contest.label)?, contest.pairs.ratio?);
        (ratio.median < aim).then(|| {
            format!(
                "{}: {:.2} times as fast as {} (at least {aim}).",
                contest.label, ratio.median, all.b
            )
        })
    });
    missed.collect()
}

/// What makes ratios doubtful.
pub fn doubts(all: &Comparison) -> Vec<String> {
    let of = |contest: &Contest| {
        let doubts = contest.pairs.doubts.iter();
        let name = contest.label.to_string();
        let told = doubts.map(|doubt| format!("{name}, beside others: {doubt}"));
        told.collect::<Vec<_>>()
    };
    all.contests.iter().flat_map(of).collect()
}
