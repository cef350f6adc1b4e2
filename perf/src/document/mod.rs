//! The page about performance and its plots, made of results alone.
//!
//! ```text
//!   Results ─┬─ sections: tables and sentences ─► docs/performance.md
//!   [`aims`] ┤
//!            └─ plots: SVG ───────────────────► docs/performance/*.svg
//! ```
//!
//! Nothing here reads a clock or the machine: the same results give the same bytes, which a
//! test holds the page in the repository to.

pub mod aims;
mod comparison;
mod latency;
mod loading;
mod markdown;
mod plots;
mod sections;
mod summary;
mod tables;
mod weak;

use crate::results::{Measured, Results, Row};

/// A file and what is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Relative to the folder of documents.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The folder of the plots, beside the page.
pub const PLOTS: &str = "performance";

/// All pages.
#[must_use]
pub fn pages(results: &Results) -> Vec<Page> {
    let plots = plots::all(results);
    let plot = |name: &str| plots.iter().any(|plot| plot.name == name);
    let mut text = sections::head();
    let parts = [
        summary::section(results),
        results.comparison.as_ref().map(comparison::section),
        sections::machine(results),
        sections::forwarding(results, &plot),
        sections::translation(results),
        sections::flood(results),
        sections::churn(results, &plot),
        sections::scale(results),
        latency::section(results, &plot),
        loading::load(results),
        loading::routes(results),
        results.tables.as_ref().map(tables::section),
        weak::section(results),
        Some(sections::method()),
    ];
    for part in parts.into_iter().flatten() {
        text.push('\n');
        text.push_str(&part);
    }
    let page = Page {
        path: "performance.md".to_owned(),
        text,
    };
    let plots = plots.into_iter().map(|plot| Page {
        path: format!("{PLOTS}/{}.svg", plot.name),
        text: plot.svg + "\n",
    });
    std::iter::once(page).chain(plots).collect()
}

/// All rows with cycles per packet.
fn rows(results: &Results) -> impl Iterator<Item = &Row> {
    let nat = results.nat.iter().map(|nat| &nat.row);
    results.forward.iter().chain(nat)
}

/// The mark behind figures that are doubtful.
fn mark(doubtful: bool) -> &'static str {
    if doubtful { " ?" } else { "" }
}

/// Cycles of a packet in a stage.
fn stage(row: &Row, name: &str) -> f64 {
    let mut stages = row.measured.stages.iter();
    let stage = stages.find(|(own, _)| own == name);
    stage.map_or(0.0, |(_, cycles)| *cycles)
}

fn is_doubtful(row: &Row) -> bool {
    let doubtful = |measured: &Measured| !measured.doubts.is_empty();
    doubtful(&row.measured) || row.io.as_ref().is_some_and(doubtful)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Label;
    use crate::results::churn::{Churn, Moment};
    use crate::results::latency::{Latency, Point};
    use crate::summary::Summary;

    fn measured(cycles: f64, doubts: &[&str]) -> Measured {
        Measured {
            mpps: Summary::of([2600.0 / cycles]),
            cycles: Summary::of([cycles]),
            stages: vec![("input".to_owned(), cycles / 2.0), ("age".to_owned(), 0.0)],
            quiet: 1,
            taken: 1,
            other_core: 0.0,
            doubts: doubts.iter().map(|doubt| (*doubt).to_owned()).collect(),
        }
    }

    fn row(workload: &str, size: u32, variant: &str, cycles: f64, doubts: &[&str]) -> Row {
        Row {
            label: Label::new(workload, size, variant),
            compared: 8192,
            measured: measured(cycles, doubts),
            io: Some(measured(40.0, &[])),
        }
    }

    fn page(results: &Results) -> String {
        pages(results).remove(0).text
    }

    #[test]
    fn aims_are_judged_and_what_is_doubtful_has_its_mark_and_reason() {
        let results = Results {
            forward: vec![
                row("decap", 1000, "learning off", 119.0, &[]),
                row(
                    "decap",
                    100_000,
                    "learning off",
                    190.0,
                    &["the machine was busy"],
                ),
            ],
            ..Results::default()
        };
        let page = page(&results);
        assert!(
            page.contains("| decap 1k, learning off | 79 | ≤ 80 | reached |"),
            "{page}"
        );
        assert!(page.contains("| decap 100k, learning off | 150 ? | ≤ 100 | 50 % over |"));
        assert!(page.contains("- decap 100k, learning off: the machine was busy"));
        assert!(page.contains("1.50 times off the aim; most of it, 95 cycles, goes to input"));
        // 150 are 1.9 times 79.
        assert!(page.contains("100k cost 1.90 times what 1k cost"));
        assert!(!page.contains("| age |"));
    }

    #[test]
    fn what_is_lost_slow_or_failed_is_told() {
        let slow = Churn {
            by: "REST".to_owned(),
            macs: 100,
            wanted_rate: 100_000,
            rate: Summary::of([50_000.0]),
            compared: 1,
            dropped: 3,
            quiet: measured(100.0, &[]),
            churning: measured(120.0, &[]),
            slowdown: Summary::of([1.2]),
            series: vec![Moment {
                at: 1.0,
                mpps: 10.0,
                changes: 5.0,
            }],
        };
        let latency = |workload, us| Latency {
            label: Label::new(workload, 1000, ""),
            no_loss_mpps: 5.0,
            source_was_limit: false,
            points: vec![Point {
                load: 50,
                mpps: 2.5,
                lost: 0,
                percentiles: vec![(50.0, 1.0), (99.9, us)],
                pauses: vec![(99.9, 1.0)],
                doubts: Vec::new(),
            }],
        };
        let results = Results {
            churn: vec![slow],
            latency: vec![latency("decap", 40.0), latency("io", 10.0)],
            failed: vec![("mix".to_owned(), "no memory\nat all".to_owned())],
            ..Results::default()
        };
        let page = page(&results);
        for told in [
            "- churn by REST: 3 packets were dropped.",
            "- churn by REST: packets cost 20 % more (at most 5).",
            "- churn by REST: 50000 changes a second of 100000 asked for.",
            "p99.9 at half load is 4.0 times that of io",
            "- **mix could not be measured**: no memory\n",
        ] {
            assert!(page.contains(told), "{told} is not in {page}");
        }
    }

    #[test]
    fn the_same_results_give_the_same_bytes_and_a_plot_for_each_kind() {
        let results = Results {
            forward: vec![
                row("encap", 1000, "learning off", 119.0, &[]),
                row("encap", 1_000_000, "learning off", 190.0, &[]),
            ],
            ..Results::default()
        };
        let made = pages(&results);
        assert!(made == pages(&results));
        let names: Vec<&str> = made.iter().map(|page| page.path.as_str()).collect();
        assert_eq!(
            names,
            [
                "performance.md",
                "performance/stages.svg",
                "performance/sizes.svg"
            ]
        );
        assert!(made[1].text.starts_with("<svg") && made[0].text.contains("performance/sizes.svg"));
    }
}
