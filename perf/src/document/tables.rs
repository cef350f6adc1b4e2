//! Tables alone, beside other tables.

use super::markdown::{range, table};
use crate::frames::short;
use crate::results::Tables;
use crate::results::tables::{FdbRow, RouteRow};

pub fn section(tables: &Tables) -> String {
    let mut text = "## Tables alone\n\n\
                    Look-ups by 64 keys in random order, all contenders in one process and in turns. An insert is part of filling \
                    from empty, growth included; medians of the rounds.\n"
        .to_owned();
    if !tables.fdb.is_empty() {
        let header = [
            "entries",
            "table",
            "insert, ns",
            "hit, cycles",
            "miss, cycles",
            "hit / FDB",
        ];
        text += &format!("\n{}", table(&header, tables.fdb.iter().map(fdb)));
    }
    if !tables.route.is_empty() {
        let header = [
            "routes",
            "table",
            "insert, ns",
            "look-up, cycles",
            "a change, µs",
            "10k changes, ms",
            "bytes of a route, read + kept",
        ];
        text += &format!("\n{}", table(&header, tables.route.iter().map(route)));
    }
    text
}

fn fdb(row: &FdbRow) -> Vec<String> {
    vec![
        short(row.entries as u32),
        row.table.clone(),
        range(Some(row.insert_ns), 0),
        range(Some(row.hit_cycles), 1),
        range(Some(row.miss_cycles), 1),
        range(Some(row.hit_ratio), 2),
    ]
}

fn route(row: &RouteRow) -> Vec<String> {
    let bytes = row
        .bytes
        .map(|(read, kept)| format!("{read:.1} + {kept:.1}"));
    vec![
        format!("{} {}", short(row.routes as u32), row.family),
        row.table.clone(),
        range(Some(row.insert_ns), 0),
        range(Some(row.look_up_cycles), 1),
        range(row.change_us, 1),
        range(row.batch_ms, 1),
        bytes.unwrap_or_else(|| "–".to_owned()),
    ]
}
