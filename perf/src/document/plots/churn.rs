//! Throughput against time while the table changes.

use kuva::prelude::{Plot, ShadedRegion};

use super::{line, svg};
use crate::frames::short;
use crate::results::churn::Moment;
use crate::results::{Churn, Results};

pub fn draw(results: &Results) -> Option<String> {
    let drawn: Vec<&Churn> = results
        .churn
        .iter()
        .filter(|churn| !churn.series.is_empty())
        .collect();
    let draw = |(number, churn): (usize, &&Churn)| {
        let points = churn.series.iter().map(|moment| (moment.at, moment.mpps));
        let name = format!("{}, {} changes/s", churn.by, short(churn.wanted_rate));
        Plot::Line(line(number, &name, points.collect()))
    };
    let plots: Vec<Plot> = drawn.iter().enumerate().map(draw).collect();
    let first = drawn.first()?;
    let moments = drawn.iter().flat_map(|churn| &churn.series);
    let most = moments.map(|moment| moment.mpps).fold(0.0, f64::max);
    let shaded = changing(&first.series);
    Some(svg(plots, |layout| {
        let layout = layout
            .with_title("Throughput; changes are made in the shaded seconds")
            .with_x_label("seconds")
            .with_y_label("Mpps")
            .with_y_axis_min(0.0)
            .with_y_axis_max(most * 1.1);
        shaded.into_iter().fold(layout, |layout, (begin, end)| {
            let region = ShadedRegion::vertical(begin, end);
            layout.with_shaded_region(region.with_color("#999999"))
        })
    }))
}

/// When changes were made.
fn changing(series: &[Moment]) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = Vec::new();
    let mut begin = 0.0;
    for moment in series {
        if moment.changes > 0.0 {
            match all.last_mut() {
                Some((_, end)) if *end == begin => *end = moment.at,
                _ => all.push((begin, moment.at)),
            }
        }
        begin = moment.at;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_with_changes_that_follow_each_other_are_one() {
        let at = |at, changes| Moment {
            at,
            mpps: 1.0,
            changes,
        };
        let series = [
            at(1.0, 0.0),
            at(2.0, 5.0),
            at(3.0, 5.0),
            at(4.0, 0.0),
            at(5.0, 5.0),
        ];
        assert_eq!(changing(&series), [(1.0, 3.0), (4.0, 5.0)]);
    }
}
