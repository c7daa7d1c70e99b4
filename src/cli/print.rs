//! What commands print on standard output: rows for people, or JSON; and what they say beside it, on standard error.
//!
//! **Invariant:** names of clients are escaped, so that none of them can move the cursor of a terminal.

use std::fmt::Write as _;
use std::io::{self, Write as _, stderr, stdout};

use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use crate::model::time::Timestamp;

/// Prints a value as JSON.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// Prints rows in columns as wide as their widest cell.
pub(super) fn rows(rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a text cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    print(&text)
}

/// Prints a text as it is.
pub(super) fn text(text: &str) -> io::Result<()> {
    print(text)
}

/// Says a line beside what is printed. Nobody misses one that cannot be written.
pub(super) fn aside(line: &str) {
    let _ = writeln!(stderr().lock(), "longshore: {line}");
}

/// A name as one cell.
pub(super) fn plain(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A date as RFC 3339 has it.
pub(super) fn date(at: Timestamp) -> String {
    at.to_utc().format(&Rfc3339).unwrap_or_default()
}

/// Prints a text; a reader that has closed the pipe has seen enough.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
