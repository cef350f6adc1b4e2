//! Printing in the form asked for.

use std::io::{self, Write};

use serde_json::Value;

use crate::client::Error;
use crate::options::Format;
use crate::table;

/// Prints a value; `view` names the columns it has as a table.
pub fn print(format: Format, view: &str, value: Value) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut stdout, &value).map_err(io::Error::from)?;
            writeln!(stdout)?;
        }
        Format::Yaml => {
            let text = yaml_serde::to_string(&value);
            let text = text.map_err(|error| io::Error::other(error.to_string()))?;
            stdout.write_all(text.as_bytes())?;
        }
        Format::Table => {
            let rows = match value {
                Value::Array(rows) => rows,
                one => vec![one],
            };
            writeln!(stdout, "{}", table::render(view, &rows))?;
        }
    }
    Ok(())
}
