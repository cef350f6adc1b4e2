//! What a write changed, field by field.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// Prints the summary of a write, and with `shows_changes` each change before it.
pub fn print(out: &mut impl Write, summary: &Value, shows_changes: bool) -> io::Result<()> {
    let entries = summary["diff"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if shows_changes {
        entries
            .iter()
            .try_for_each(|entry| print_entry(out, entry))?;
    }
    let count = |name: &str| summary[name].as_u64().unwrap_or(0);
    let words = [
        ("created", "created"),
        ("changed", "changed"),
        ("deleted", "deleted"),
    ];
    let mut parts: Vec<String> = words
        .iter()
        .filter(|(name, _)| count(name) > 0)
        .map(|(name, word)| format!("{} {word}", count(name)))
        .collect();
    if count("unchanged") > 0 || parts.is_empty() {
        parts.push(format!("{} unchanged", count("unchanged")));
    }
    let preview = match summary["dry_run"] == true {
        true => " (dry run: nothing was changed)",
        false => "",
    };
    writeln!(out, "{}{preview}", parts.join(", "))
}

fn print_entry(out: &mut impl Write, entry: &Value) -> io::Result<()> {
    let name = format!(
        "{}/{}",
        entry["kind"].as_str().unwrap_or(""),
        entry["id"].as_str().unwrap_or("")
    );
    match (entry["old"].as_object(), entry["new"].as_object()) {
        (None, Some(new)) => {
            writeln!(out, "+ {name}")?;
            new.iter()
                .try_for_each(|(field, value)| writeln!(out, "    {field}: {value}"))
        }
        (Some(_), None) => writeln!(out, "- {name}"),
        (Some(old), Some(new)) => {
            writeln!(out, "~ {name}")?;
            print_fields(out, old, new)
        }
        (None, None) => Ok(()),
    }
}

fn print_fields(
    out: &mut impl Write,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> io::Result<()> {
    let added = new.keys().filter(|field| !old.contains_key(*field));
    for field in old.keys().chain(added) {
        let (old, new) = (old.get(field), new.get(field));
        if old != new {
            let show =
                |value: Option<&Value>| value.map_or("(default)".to_owned(), Value::to_string);
            writeln!(out, "    {field}: {} → {}", show(old), show(new))?;
        }
    }
    Ok(())
}
