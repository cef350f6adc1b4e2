//! Tables of Markdown.

use std::fmt::Write as _;

use crate::summary::Summary;

/// A table.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!(
        "| {} |\n|{}\n",
        header.join(" | "),
        "---|".repeat(header.len())
    );
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// Median, least and greatest.
pub fn range(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or("–".to_owned(), |s| {
        format!(
            "{:.digits$} ({:.digits$}–{:.digits$})",
            s.median, s.min, s.max
        )
    })
}

/// A number, or that there is none.
pub fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
}

/// Thousands apart.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A picture.
pub fn plot(name: &str, about: &str) -> String {
    format!("![{about}]({}/{name}.svg)\n", super::PLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_numbers_have_their_form() {
        let text = table(&["a", "b"], [vec!["1".to_owned(), "2".to_owned()]]);
        assert_eq!(text, "| a | b |\n|---|---|\n| 1 | 2 |\n");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((grouped(12), grouped(0)), ("12".to_owned(), "0".to_owned()));
        assert_eq!(range(Summary::of([1.0, 2.0, 4.0]), 1), "2.0 (1.0–4.0)");
        assert_eq!(number(None, 1), "–");
    }
}
