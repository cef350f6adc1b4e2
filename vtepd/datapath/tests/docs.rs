//! `docs/operations.md` has a row for every drop reason, in the code's words and order.

use vtepd_datapath::DropReason;

/// The cells of the rows of the table below a heading.
fn rows<'t>(text: &'t str, heading: &str) -> Vec<Vec<&'t str>> {
    text.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_drop_reason_is_documented_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = rows(&text, "## Drop reasons");
    for (reason, row) in DropReason::ALL.iter().zip(&rows) {
        let [name, meaning, action] = row[..] else {
            panic!("a row of three cells is needed: {row:?}");
        };
        assert_eq!(name, format!("`{}`", reason.name()));
        assert_eq!(meaning, reason.description(), "{name}");
        assert!(action.len() > 10, "{name}: what is to be done?");
    }
    assert_eq!(rows.len(), DropReason::COUNT);
}
