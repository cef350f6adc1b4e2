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
