//! Plots, as SVG.

mod churn;
mod latency;
pub mod sizes;
mod stages;

use kuva::prelude::{Layout, LinePlot, Palette, Plot};

use crate::results::Results;

/// A picture.
pub struct Drawn {
    /// Its file, without what follows the dot.
    pub name: &'static str,
    /// Its text.
    pub svg: String,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;

/// All for which there are figures.
pub fn all(results: &Results) -> Vec<Drawn> {
    let drawn = [
        ("stages", stages::draw(results)),
        ("sizes", sizes::draw(results)),
        ("churn", churn::draw(results)),
        ("latency", latency::draw(results)),
    ];
    let drawn = drawn.into_iter();
    drawn
        .filter_map(|(name, svg)| Some(Drawn { name, svg: svg? }))
        .collect()
}

/// A colour that most people can tell from the others.
fn colour(number: usize) -> String {
    let palette = Palette::tol_bright();
    palette[number % palette.len()].to_owned()
}

/// A line with its name.
fn line(number: usize, name: &str, points: Vec<(f64, f64)>) -> LinePlot {
    LinePlot::new()
        .with_data(points)
        .with_color(colour(number))
        .with_legend(name)
}

fn svg(plots: Vec<Plot>, about: impl FnOnce(Layout) -> Layout) -> String {
    let layout = Layout::auto_from_plots(&plots)
        .with_width(WIDTH)
        .with_height(HEIGHT);
    kuva::render_to_svg(plots, about(layout))
}
