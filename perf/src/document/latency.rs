//! Time through the box.

use super::mark;
use super::markdown::{plot, table};
use crate::results::Results;
use crate::results::latency::{Latency, Point};

/// The percentiles of the table; the plot has all.
const SHOWN: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

/// Microseconds at a percentile.
pub fn at(percentiles: &[(f64, f64)], percent: f64) -> Option<f64> {
    let found = percentiles
        .iter()
        .find(|(at, _)| (at - percent).abs() < 1e-9);
    found.map(|(_, us)| *us)
}

pub fn section(results: &Results, has: &impl Fn(&str) -> bool) -> Option<String> {
    if results.latency.is_empty() {
        return None;
    }
    let mut lines = Vec::new();
    let mut rates = String::new();
    for latency in &results.latency {
        lines.extend(latency.points.iter().map(|point| line(latency, point)));
        let limit = if latency.source_was_limit {
            " (all that the generator can send: the box can do more)"
        } else {
            ""
        };
        rates += &format!(
            "{}: {:.2} Mpps without loss{limit}. ",
            latency.label, latency.no_loss_mpps
        );
    }
    let mut text = format!(
        "## Latency\n\n\
         From the moment when a packet was to be sent until it was back at the generator, microseconds, by percentile; a packet \
         that had to wait for the generator counts from when it was due. The devices are `net_memif`, whose two sides are two \
         processes: the generator sends and receives on core 0, the box polls on core 1. `io` is testpmd in the box's place. \
         The last column is the generator's own: the longest that 99.9 % of its turns took.\n\n{}\n{}\n",
        table(
            &[
                "",
                "load",
                "Mpps",
                "lost",
                "p50",
                "p90",
                "p99",
                "p99.9",
                "p99.99",
                "pauses p99.9"
            ],
            lines
        ),
        rates.trim()
    );
    if has("latency") {
        text += &format!("\n{}", plot("latency", "Latency by percentile and load"));
    }
    Some(text)
}

fn line(latency: &Latency, point: &Point) -> Vec<String> {
    let us = |percentiles: &[(f64, f64)], percent| {
        at(percentiles, percent).map_or("–".to_owned(), |us| format!("{us:.1}"))
    };
    let mut line = vec![
        format!("{}{}", latency.label, mark(!point.doubts.is_empty())),
        format!("{} %", point.load),
        format!("{:.2}", point.mpps),
        point.lost.to_string(),
    ];
    line.extend(SHOWN.map(|percent| us(&point.percentiles, percent)));
    line.push(us(&point.pauses, 99.9));
    line
}
