//! Cycles per packet by stage, a bar for each workload.

use kuva::prelude::{BarPlot, Plot};

use super::{colour, svg};
use crate::document::{rows, stage};
use crate::results::{Results, Row};

/// Height of a bar and what is between it and the next.
const BAR: f64 = 22.0;
/// Height of all else.
const AROUND: f64 = 130.0;

pub fn draw(results: &Results) -> Option<String> {
    // Of new sessions and of floods, a packet is something else.
    let one_for_one = |row: &&Row| {
        !["new-sessions", "flood"].contains(&row.label.workload.as_str())
            && !row.measured.stages.is_empty()
    };
    let rows: Vec<&Row> = rows(results).filter(one_for_one).collect();
    let first = rows.first()?;
    let spent = |name: &&str| rows.iter().any(|row| stage(row, name) >= 0.5);
    let names = first.measured.stages.iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.filter(spent).collect();
    let mut bars = BarPlot::new().with_stacked().with_horizontal(true);
    // The first is drawn at the bottom.
    for row in rows.iter().rev() {
        let stages = names.iter().enumerate();
        let stages = stages.map(|(number, name)| (stage(row, name), colour(number)));
        bars = bars.with_group(row.label.to_string(), stages.collect::<Vec<_>>());
    }
    let plots = vec![Plot::Bar(bars.with_legend(names))];
    Some(svg(plots, |layout| {
        layout
            .with_height(BAR * rows.len() as f64 + AROUND)
            .with_title("Cycles per packet by stage, devices included")
            .with_x_label("cycles of the time stamp counter")
    }))
}
