//! What people read.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vtepd_perf::results::comparison::{Comparison, Contest, One, Pair};
use vtepd_perf::summary::Summary;

use crate::terminal::range;

/// To standard output.
pub fn print(all: &Comparison) {
    print_ratios(all);
    print_stages(all);
    println!("A: {}; B: {}.", all.a, all.b);
    println!(
        "Each pair is two fresh processes, A then B, on the same frames and devices. times: cycles per packet of B above those of A, the devices' own included;\n\
         median of the pairs' ratios, least and greatest in parentheses. Before timing, every frame that came out of either was compared with what must."
    );
    if !all.settings.is_empty() {
        println!(
            "Open vSwitch is as installed but for: {}; its timing begins when its caches are warm.",
            all.settings.join(" ")
        );
    }
    for contest in &all.contests {
        for doubt in &contest.pairs.doubts {
            println!("DOUBTFUL {}: {doubt}", contest.label);
        }
        for doubt in contest.io.iter().flat_map(|io| &io.doubts) {
            println!("DOUBTFUL io of {}: {doubt}", contest.label);
        }
    }
    for (label, error) in &all.failed {
        println!("FAILED {label}: {error}");
    }
}

fn print_ratios(all: &Comparison) {
    let warms_up = |contest: &Contest| warm_up(contest).is_some();
    let warms_up = all.contests.iter().any(warms_up);
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut header = vec![
        "workload",
        "A, Mpps",
        "A, cycles",
        "B, Mpps",
        "B, cycles",
        "io",
        "times",
        "without io",
        "pairs",
    ];
    if warms_up {
        header.push("B warm after, s");
    }
    table.set_header(header);
    for contest in &all.contests {
        let pairs = &contest.pairs;
        let figure = |one: fn(&Pair) -> &One, digits| {
            let cycles = pairs.summary(one, |one| Some(one.measured.cycles?.median));
            let mpps = pairs.summary(one, |one| Some(one.measured.mpps?.median));
            [median(mpps, digits), range(cycles, 0)]
        };
        let io = contest.io.as_ref().and_then(|io| io.cycles);
        let mut row = vec![contest.label.to_string()];
        row.extend(figure(|pair| &pair.a, 2));
        row.extend(figure(|pair| &pair.b, 2));
        row.extend([
            median(io, 0),
            range(pairs.ratio, 2),
            range(pairs.ratio_without_io, 2),
            pairs.counted.to_string(),
        ]);
        if warms_up {
            row.push(range(warm_up(contest), 0));
        }
        table.add_row(row);
    }
    println!("{table}");
}

fn warm_up(contest: &Contest) -> Option<Summary> {
    contest.pairs.summary(|pair| &pair.b, |one| one.warm_up)
}

/// Of our own builds, which say where their cycles go.
fn print_stages(all: &Comparison) {
    let Some(first) = all.contests.iter().find(|one| !one.pairs.stages.is_empty()) else {
        return;
    };
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let names = first.pairs.stages.iter().map(|(name, _)| name.as_str());
    table.set_header(["A, B (times) by stage"].into_iter().chain(names.clone()));
    for contest in &all.contests {
        let cell = |name: &str| {
            let of = |one: fn(&Pair) -> &One| {
                let cycles = contest.pairs.summary(one, |one| one.stage(name));
                median(cycles, 0)
            };
            let mut stages = contest.pairs.stages.iter();
            let ratio = stages.find(|(own, _)| own == name).map(|(_, ratio)| *ratio);
            let (a, b) = (of(|pair| &pair.a), of(|pair| &pair.b));
            format!("{a}, {b} ({})", median(ratio, 2))
        };
        let cells = names.clone().map(cell);
        table.add_row([contest.label.to_string()].into_iter().chain(cells));
    }
    println!("{table}");
}

fn median(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or("-".to_owned(), |s| format!("{:.digits$}", s.median))
}
