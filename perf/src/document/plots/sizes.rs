//! What larger tables cost.

use kuva::prelude::{Plot, TickFormat};
use std::sync::Arc;

use super::{line, svg};
use crate::document::rows;
use crate::frames::{Label, short};
use crate::results::{Results, Row};

/// What different sizes of one workload have in common.
pub fn series(label: &Label) -> String {
    match label.variant.as_str() {
        "" => label.workload.clone(),
        variant => format!("{}, {variant}", label.workload),
    }
}

/// Workloads with several sizes, those in order.
fn grouped(results: &Results) -> Vec<Vec<&Row>> {
    let mut all: Vec<Vec<&Row>> = Vec::new();
    // A row without its floor says nothing here, and one session is no table.
    let known =
        |row: &&Row| row.measured.above(row.io.as_ref()).is_some() && row.label.size >= 1000;
    for row in rows(results).filter(known) {
        let same = |group: &&mut Vec<&Row>| series(&group[0].label) == series(&row.label);
        match all.iter_mut().find(same) {
            Some(group) => group.push(row),
            None => all.push(vec![row]),
        }
    }
    for group in &mut all {
        group.sort_by_key(|row| row.label.size);
    }
    all.retain(|group| group.len() > 1);
    all
}

/// The least and the greatest size of each.
pub fn ends(results: &Results) -> Vec<(&Row, &Row)> {
    let groups = grouped(results).into_iter();
    groups
        .filter_map(|group| Some((*group.first()?, *group.last()?)))
        .collect()
}

pub fn draw(results: &Results) -> Option<String> {
    let draw = |(number, group): (usize, Vec<&Row>)| {
        let point = |row: &&Row| {
            let above = row.measured.above(row.io.as_ref())?;
            Some((f64::from(row.label.size), above))
        };
        let points = group.iter().filter_map(point).collect();
        let line = line(number, &series(&group[0].label), points);
        Plot::Line(if number >= 7 {
            line.with_dashed()
        } else {
            line
        })
    };
    let plots: Vec<Plot> = grouped(results).into_iter().enumerate().map(draw).collect();
    if plots.is_empty() {
        return None;
    }
    let name = |size: f64| short(size as u32);
    Some(svg(plots, |layout| {
        layout
            .with_title("Cycles per packet above io against the size of the table")
            .with_x_label("entries")
            .with_y_label("cycles of the time stamp counter")
            .with_log_x()
            .with_y_axis_min(0.0)
            .with_x_tick_format(TickFormat::Custom(Arc::new(name)))
    }))
}
