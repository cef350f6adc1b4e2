//! Latency by percentile: each step to the right is a nine more.

use std::sync::Arc;

use kuva::prelude::{Plot, TickFormat};

use super::{line, svg};
use crate::results::Results;

pub fn draw(results: &Results) -> Option<String> {
    let mut plots = Vec::new();
    for latency in &results.latency {
        let is_io = latency.label.workload == "io";
        for (number, point) in latency.points.iter().enumerate() {
            let points = point.percentiles.iter();
            let points = points.map(|(percent, us)| (1.0 / (1.0 - percent / 100.0), us.max(0.1)));
            let name = format!("{} at {} %", latency.label.workload, point.load);
            let line = line(number, &name, points.collect());
            plots.push(Plot::Line(if is_io { line.with_dashed() } else { line }));
        }
    }
    if plots.is_empty() {
        return None;
    }
    let percentile = |x: f64| format!("p{}", ((1.0 - 1.0 / x) * 1e6).round() / 1e4);
    Some(svg(plots, |layout| {
        layout
            .with_title("Time through the box and back, by percentile")
            .with_x_label("percentile")
            .with_y_label("microseconds")
            .with_log_scale()
            .with_x_tick_format(TickFormat::Custom(Arc::new(percentile)))
    }))
}
