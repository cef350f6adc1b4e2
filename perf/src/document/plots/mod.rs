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
    renumbered(&kuva::render_to_svg(plots, about(layout)))
}

/// What the library calls the parts that it cuts off: numbers that go on from picture to picture.
const NUMBERED: &str = "kuva-clip-";

/// The same picture whichever one of the process it is.
fn renumbered(svg: &str) -> String {
    let mut pieces = svg.split(NUMBERED);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    let mut seen: Vec<&str> = Vec::new();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit());
        let (number, rest) = piece.split_at(end.unwrap_or(piece.len()));
        let known = seen.iter().position(|one| *one == number);
        let own = known.unwrap_or_else(|| {
            seen.push(number);
            seen.len() - 1
        });
        text += &format!("clip-{own}{rest}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_anew_and_alike() {
        let svg = "<a id=\"kuva-clip-17\"/><b u=\"#kuva-clip-17\"/><c id=\"kuva-clip-18\"/>";
        let own = "<a id=\"clip-0\"/><b u=\"#clip-0\"/><c id=\"clip-1\"/>";
        assert_eq!(renumbered(svg), own);
        assert_eq!(renumbered("<svg/>"), "<svg/>");
    }
}
