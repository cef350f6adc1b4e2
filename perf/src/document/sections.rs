//! The sections about packets.

use std::fmt::Write as _;

use super::markdown::{grouped, mib, number, plot, range, table};
use super::{is_doubtful, mark, rows};
use crate::frames::short;
use crate::results::{Churn, Measured, Results, Row, Scale};

/// What the mark says.
pub const MARK: &str = "A question mark stands behind figures that are doubtful, mostly as the machine was busy: the \
     [weak spots](#weak-spots) have the reasons.";

pub fn head() -> String {
    "# Performance\n\n\
     <!-- Made by perf/report from perf/results: change that, not this page. -->\n\n\
     ```\n\
     perf/run --all --json perf/results/run.json    measures everything again, on your machine (about an hour, root)\n\
     perf/compare ovs --json perf/results/ovs.json  the same beside Open vSwitch\n\
     perf/report                                    makes this page of it\n\
     ```\n\n\
     [perf/README.md](../perf/README.md) tells what each workload sends, what must come out, and how it is timed. Before \
     anything is timed, what comes out is compared byte by byte with frames that were computed by other code.\n"
        .to_owned()
}

/// The machine, and how quiet it was.
#[expect(clippy::unnecessary_wraps, reason = "as the other sections")]
pub fn machine(results: &Results) -> Option<String> {
    let about = &results.about;
    let caches = about.caches.iter();
    let caches: Vec<String> = caches
        .map(|(name, size)| format!("{name} {size}"))
        .collect();
    let lines = [
        ("processor", about.cpu.clone()),
        (
            "time stamp counter",
            format!("{:.3} GHz", about.tsc_hz / 1e9),
        ),
        ("caches", caches.join(", ")),
        (
            "cores",
            format!(
                "{}{}",
                about.cores,
                if about.is_virtual {
                    " of a virtual machine"
                } else {
                    ""
                }
            ),
        ),
        ("memory", mib(about.memory)),
        (
            "system",
            format!("{}, kernel {}", about.system, about.kernel),
        ),
        ("DPDK", about.dpdk.clone()),
        ("vtepd", about.revision.clone()),
        (
            "run",
            format!(
                "`perf/{}`, {}, {:.0} minutes",
                about.command, about.began, about.minutes
            ),
        ),
    ];
    let lines = lines.map(|(name, value)| vec![name.to_owned(), value]);
    let measured = || rows(results).map(|row| &row.measured);
    let (quiet, taken) = measured().fold((0, 0), |(quiet, taken), one| {
        (quiet + one.quiet, taken + one.taken)
    });
    let doubtful = measured().filter(|one| !one.doubts.is_empty()).count();
    let spread = measured().filter_map(|one| one.cycles);
    let spread = spread
        .map(|cycles| (cycles.max - cycles.min) / cycles.median)
        .fold(0.0, f64::max);
    Some(format!(
        "## Machine and noise\n\n{}\n\
         A second counts if the worker waited for its core less than 1 % of it and the host took less than 2 %: {quiet} of {taken} \
         seconds did, and {doubtful} of {} rows are doubtful. The widest row has {:.0} % between its least and its greatest second. \
         A virtual machine's clock and memory drift by tens of per cent within minutes: compare figures of one run with each \
         other, and builds in turns.\n",
        table(&["", ""], lines),
        measured().count(),
        spread * 100.0
    ))
}

/// Rows with stages.
fn staged(rows: &[&Row], rate: &str) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    // Stages that none of them has anything to do in are left out.
    let spent = |name: &str| rows.iter().any(|row| super::stage(row, name) >= 0.5);
    let names = first.measured.stages.iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.filter(|name| spent(name)).collect();
    let mut header = vec!["workload", rate, "cycles"];
    header.extend(&names);
    header.extend(["`io`", "above `io`"]);
    let line = |row: &&Row| {
        let Measured { mpps, cycles, .. } = &row.measured;
        let mut line = vec![
            format!("{}{}", row.label, mark(is_doubtful(row))),
            range(*mpps, 2),
            range(*cycles, 0),
        ];
        let stages = names.iter().map(|name| super::stage(row, name));
        line.extend(stages.map(|cycles| format!("{cycles:.0}")));
        let io = row.io.as_ref().and_then(|io| io.cycles);
        line.push(number(io.map(|io| io.median), 0));
        line.push(number(row.measured.above(row.io.as_ref()), 0));
        line
    };
    table(&header, rows.iter().map(line))
}

fn compared(rows: &[&Row]) -> String {
    grouped(rows.iter().map(|row| row.compared).sum())
}

pub fn forwarding(results: &Results, has: &impl Fn(&str) -> bool) -> Option<String> {
    let rows = results.forward.iter();
    let rows: Vec<&Row> = rows.filter(|row| row.label.workload != "flood").collect();
    if rows.is_empty() {
        return None;
    }
    let mut text = format!(
        "## Forwarding\n\n\
         One worker. Cycles per packet: all, by stage, of `io` (testpmd, which does nothing to the same frames), and the \
         difference, which is what vtepd adds. {} frames were compared. Medians, least and greatest second in parentheses.\n\n{}",
        compared(&rows),
        staged(&rows, "Mpps")
    );
    if has("stages") {
        text += &format!("\n{}", plot("stages", "Cycles per packet by stage"));
    }
    if has("sizes") {
        text += &format!(
            "\n{}",
            plot(
                "sizes",
                "Cycles per packet above io against the size of the table"
            )
        );
    }
    Some(text)
}

pub fn translation(results: &Results) -> Option<String> {
    let rows: Vec<&Row> = results.nat.iter().map(|nat| &nat.row).collect();
    if rows.is_empty() {
        return None;
    }
    let (opening, passing): (Vec<&Row>, Vec<&Row>) = rows
        .iter()
        .partition(|row| row.label.workload == "new-sessions");
    let mut text = format!(
        "## Translation\n\n\
         `vxlan`: the stations are behind VTEPs; `vlan`: on the access port. {} frames were compared.\n\n{}",
        compared(&rows),
        staged(&passing, "Mpps")
    );
    if !opening.is_empty() {
        text += &format!(
            "\nEvery packet opens a session, until there are so many:\n\n{}",
            staged(&opening, "million sessions/s")
        );
    }
    let of_sessions = results
        .nat
        .iter()
        .filter(|nat| nat.row.label.workload != "fip");
    let most = of_sessions.max_by_key(|nat| nat.row.label.size);
    if let Some(most) = most {
        let each = most.session_bytes as f64 / f64::from(most.row.label.size);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n{} sessions take {}, {each:.0} bytes each.\n",
            short(most.row.label.size),
            mib(most.session_bytes)
        );
    }
    Some(text)
}

pub fn flood(results: &Results) -> Option<String> {
    let rows = results.forward.iter();
    let rows: Vec<&Row> = rows.filter(|row| row.label.workload == "flood").collect();
    if rows.is_empty() {
        return None;
    }
    Some(format!(
        "## Flooding\n\n\
         Broadcasts of a station, one copy for each VTEP of its network. All figures are of a copy: what is done once for \
         a broadcast is divided among its copies. There is no `io` for that. {} copies were compared.\n\n{}",
        compared(&rows),
        staged(&rows, "million copies/s")
    ))
}

pub fn churn(results: &Results, has: &impl Fn(&str) -> bool) -> Option<String> {
    if results.churn.is_empty() {
        return None;
    }
    let line = |churn: &Churn| {
        let doubtful = !churn.churning.doubts.is_empty() || !churn.quiet.doubts.is_empty();
        vec![
            format!("{}{}", churn.by, mark(doubtful)),
            range(churn.rate, 0),
            range(churn.quiet.cycles, 0),
            range(churn.churning.cycles, 0),
            range(churn.slowdown, 3),
            grouped(churn.dropped),
            grouped(churn.compared),
        ]
    };
    let header = [
        "changes by",
        "changes/s",
        "cycles without",
        "cycles with",
        "ratio, by pairs",
        "dropped",
        "compared during changes",
    ];
    let mut text = format!(
        "## Changes under traffic\n\n\
         `decap` at full rate, while other MACs of the same tables are made, moved to another VTEP and removed: by REST, or by a \
         writer in the worker's own process, which no JSON and no disk slow down. What comes out meanwhile is compared: none \
         may be missing, wrong or out of order.\n\n{}",
        table(&header, results.churn.iter().map(line))
    );
    if has("churn") {
        text += &format!(
            "\n{}",
            plot("churn", "Throughput against time while the table changes")
        );
    }
    Some(text)
}

pub fn scale(results: &Results) -> Option<String> {
    if results.scale.is_empty() {
        return None;
    }
    let line = |scale: &Scale| {
        vec![
            format!("{}{}", scale.label, mark(!scale.doubts.is_empty())),
            range(Some(scale.one), 2),
            range(Some(scale.two), 2),
            range(Some(scale.ratio), 2),
            range(Some(scale.on_core_ratio), 2),
        ]
    };
    let header = [
        "workload",
        "one worker, Mpps",
        "two, Mpps",
        "ratio, by pairs",
        "by time on core",
    ];
    Some(format!(
        "## Two workers\n\n\
         Processes with one worker and with two, in turns. This machine has two cores: **the second worker shares its own with \
         everything else**, the program that measures included, so that the ratio is what was left of it. The last column \
         counts only the time that the workers were on their cores.\n\n{}",
        table(&header, results.scale.iter().map(line))
    ))
}

pub fn method() -> String {
    "## Method\n\n\
     One worker polls on core 1, everything else runs on core 0. `net_pcap` repeats a file for ever, `net_null` takes what is \
     sent: both run on the worker, so the source is never the limit and no packet can be lost between them; what they cost \
     is `io`. Every flow has addresses of its own and comes in random order, never twice in a row. Each row is a fresh process \
     whose tables are full before the clock runs; packets are counted from outside, by DPDK's telemetry. `latency` needs a \
     real hand-over and has a generator process beside the box, joined by `net_memif`. [perf/README.md](../perf/README.md) \
     has the rest, and what each workload leaves out.\n"
        .to_owned()
}
