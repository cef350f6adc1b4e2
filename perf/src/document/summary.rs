//! Aims and figures side by side.

use super::aims::{AIMS, Aim};
use super::markdown::{number, table};
use super::{is_doubtful, mark, rows};
use crate::results::{Results, Row};

/// How far a row is from its aim: 1 is there, more is missed.
pub fn distance(row: &Row) -> Option<f64> {
    let (aim, is) = (Aim::of(&row.label)?, figure(row)?);
    Some(if aim.is_rate() {
        aim.aim / is
    } else {
        is / aim.aim
    })
}

/// What an aim is about.
fn figure(row: &Row) -> Option<f64> {
    if row.label.workload == "new-sessions" {
        return Some(row.measured.mpps?.median);
    }
    row.measured.above(row.io.as_ref())
}

pub fn section(results: &Results) -> Option<String> {
    let line = |aim: &Aim| {
        let row = rows(results).find(|row| Aim::of(&row.label).is_some_and(|of| of.is(aim)))?;
        let digits = usize::from(aim.is_rate()) * 2;
        let verdict = match distance(row) {
            Some(far) if far <= 1.0 => "reached".to_owned(),
            Some(far) if aim.is_rate() => format!("{:.0} % short", (1.0 - 1.0 / far) * 100.0),
            Some(far) => format!("{:.0} % over", (far - 1.0) * 100.0),
            None => "–".to_owned(),
        };
        Some(vec![
            row.label.to_string(),
            number(figure(row), digits) + mark(is_doubtful(row)),
            if aim.is_rate() {
                format!("≥ {}", aim.aim)
            } else {
                format!("≤ {}", aim.aim)
            },
            verdict,
            aim.vpp_best.to_owned(),
            aim.vpp.to_owned(),
            aim.ovs.to_owned(),
        ])
    };
    let lines: Vec<_> = AIMS.iter().filter_map(line).collect();
    if lines.is_empty() {
        return None;
    }
    let header = [
        "workload",
        "vtepd",
        "aim",
        "",
        "VPP, best configuration (best window / median)",
        "VPP, as installed",
        "OVS-DPDK, Debian's / tuned, with its devices",
    ];
    Some(format!(
        "## In short\n\n\
         Cycles of the time stamp counter per packet, one worker, medians, what [`io`](#forwarding) needs being subtracted; of \
         `new-sessions`, million a second. {}\n\n{}\n\
         VPP 26.06 (its pipeline, without its generator) and Open vSwitch were measured once, on a machine of this kind with a \
         counter of 2.1 GHz: their columns are typed, and not of this run. What is measured beside Open vSwitch in the same \
         minutes is what `perf/compare` prints.\n",
        super::sections::MARK,
        table(&header, lines)
    ))
}
