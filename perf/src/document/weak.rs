//! What is not good, found in the figures.

use super::aims::Aim;
use super::latency::at;
use super::{comparison, rows, summary};
use crate::frames::short;
use crate::results::{Churn, Results, Row};

/// 1M entries may cost so much of what 1k cost.
const MOST_GROWTH: f64 = 1.5;
/// Changes may slow packets down so much.
const MOST_SLOWDOWN: f64 = 1.05;
/// Two workers must do so much of what one does.
const LEAST_SCALE: f64 = 1.9;
/// The p99.9 at half load may be so much of that of `io`.
const MOST_LATENCY: f64 = 3.0;

pub fn section(results: &Results) -> Option<String> {
    let found = [
        failed(results),
        missed(results),
        results
            .comparison
            .iter()
            .flat_map(comparison::missed)
            .collect(),
        growth(results),
        losses(results),
        changes(results),
        workers(results),
        times(results),
    ];
    let mut text = "## Weak spots\n".to_owned();
    let found: Vec<String> = found.into_iter().flatten().collect();
    if found.is_empty() {
        text += "\nAll aims that were measured are met.\n";
    } else {
        text += &format!("\n- {}\n", found.join("\n- "));
    }
    let doubts = doubts(results);
    if !doubts.is_empty() {
        text += &format!("\nDoubtful:\n\n- {}\n", doubts.join("\n- "));
    }
    Some(text)
}

/// What could not be measured.
fn failed(results: &Results) -> Vec<String> {
    let line = |(title, why): &(String, String)| {
        let why = why.lines().next().unwrap_or_default();
        format!("**{title} could not be measured**: {why}")
    };
    results.failed.iter().map(line).collect()
}

/// Aims that are missed, the worst first, and where the cycles go.
fn missed(results: &Results) -> Vec<String> {
    let far = |row| Some((summary::distance(row)?, row));
    let mut missed: Vec<(f64, &Row)> = rows(results).filter_map(far).collect();
    missed.retain(|(far, _)| *far > 1.0);
    missed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let sentence = |(far, row): &(f64, &Row)| {
        let stages = row.measured.stages.iter();
        let most = stages.max_by(|(_, a), (_, b)| a.total_cmp(b));
        let where_to = most.map_or(String::new(), |(name, cycles)| {
            format!("; most of it, {cycles:.0} cycles, goes to {name}")
        });
        let what = match Aim::of(&row.label) {
            Some(aim) if aim.is_rate() => "sessions a second too few",
            _ => "cycles too many",
        };
        format!(
            "{}: {what}, {far:.2} times off the aim{where_to}.",
            row.label
        )
    };
    missed.iter().map(sentence).collect()
}

/// Workloads whose greatest size costs more than it may.
fn growth(results: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for (least, most) in super::plots::sizes::ends(results) {
        let above = |row: &Row| row.measured.above(row.io.as_ref());
        let (Some(few), Some(many)) = (above(least), above(most)) else {
            continue;
        };
        if many > few * MOST_GROWTH {
            found.push(format!(
                "{}: {} cost {:.2} times what {} cost (at most {MOST_GROWTH}).",
                super::plots::sizes::series(&least.label),
                short(most.label.size),
                many / few,
                short(least.label.size)
            ));
        }
    }
    found
}

fn losses(results: &Results) -> Vec<String> {
    let lost = results.churn.iter().filter(|churn| churn.dropped > 0);
    lost.map(|churn| {
        format!(
            "churn by {}: {} packets were dropped.",
            churn.by, churn.dropped
        )
    })
    .collect()
}

fn changes(results: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for churn in &results.churn {
        let Churn {
            by, rate, slowdown, ..
        } = churn;
        if let Some(slowdown) = slowdown.filter(|slowdown| slowdown.median > MOST_SLOWDOWN) {
            let percent = (slowdown.median - 1.0) * 100.0;
            found.push(format!(
                "churn by {by}: packets cost {percent:.0} % more (at most 5)."
            ));
        }
        if let Some(rate) = rate.filter(|rate| rate.median < f64::from(churn.wanted_rate) * 0.95) {
            let (is, wanted) = (rate.median, churn.wanted_rate);
            found.push(format!(
                "churn by {by}: {is:.0} changes a second of {wanted} asked for."
            ));
        }
    }
    found
}

fn workers(results: &Results) -> Vec<String> {
    let slow = results.scale.iter();
    let slow = slow.filter(|scale| scale.on_core_ratio.median < LEAST_SCALE);
    slow.map(|scale| {
        format!(
            "scale, {}: two workers did {:.2} times what one did in the time that they had their cores (at least {LEAST_SCALE}).",
            scale.label, scale.on_core_ratio.median
        )
    })
    .collect()
}

fn times(results: &Results) -> Vec<String> {
    let p999 = |workload: &str| {
        let mut all = results.latency.iter();
        let latency = all.find(|latency| (latency.label.workload == "io") == (workload == "io"))?;
        let point = latency.points.iter().find(|point| point.load == 50)?;
        at(&point.percentiles, 99.9)
    };
    match (p999("decap"), p999("io")) {
        (Some(own), Some(io)) if own > io * MOST_LATENCY => vec![format!(
            "latency: p99.9 at half load is {:.1} times that of io (at most {MOST_LATENCY}).",
            own / io
        )],
        _ => Vec::new(),
    }
}

/// Everything that a doubt was told of.
fn doubts(results: &Results) -> Vec<String> {
    let mut all = Vec::new();
    let mut of = |name: String, doubts: &[String]| {
        all.extend(doubts.iter().map(|doubt| format!("{name}: {doubt}")));
    };
    for row in rows(results) {
        of(row.label.to_string(), &row.measured.doubts);
        if let Some(io) = &row.io {
            of(format!("`io` of {}", row.label), &io.doubts);
        }
    }
    for churn in &results.churn {
        of(
            format!("churn by {}, without changes", churn.by),
            &churn.quiet.doubts,
        );
        of(format!("churn by {}", churn.by), &churn.churning.doubts);
    }
    for scale in &results.scale {
        of(format!("scale, {}", scale.label), &scale.doubts);
    }
    for latency in &results.latency {
        for point in &latency.points {
            of(
                format!("latency of {} at {} %", latency.label, point.load),
                &point.doubts,
            );
        }
    }
    all.extend(results.comparison.iter().flat_map(comparison::doubts));
    all
}
