//! What the commands print: tables for people, the API's JSON for programs, notes and progress on standard error.
//!
//! All that goes to standard output goes through [`Output`]; a reader that went away (`| head`) ends the process quietly.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Read, Write},
};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::{
    client::Answer,
    outcome::{CliError, Exit, Result},
};

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON where asked for, tables otherwise.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads along.
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress can be shown: a person looks at standard error.
    pub fn shows_progress(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Prints a text with a line end.
    pub fn line(self, text: impl Display) -> Result<()> {
        write_line(io::stdout().lock(), text)
    }

    /// Prints what comes, as it is, until it ends.
    pub fn copy(self, mut from: impl Read) -> Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) => return Err(CliError::unreachable(format!("the answer broke off: {error}"))),
            };
            print(io::stdout().lock().write_all(&buffer[..count]).and_then(|()| io::stdout().flush()))?;
        }
    }

    /// Tells a person something beside the result: on standard error, and not where a program reads along.
    pub fn note(self, text: impl Display) {
        if !self.json {
            // A note that cannot be shown is no reason to fail what was done.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Prints an answer: as it came for programs, rendered for people.
    pub fn show<T: DeserializeOwned>(
        self,
        answer: &Answer,
        render: impl FnOnce(&T) -> String,
    ) -> Result<Exit> {
        if self.json {
            self.line(&answer.text)?;
        } else {
            self.line(render(&answer.parse()?))?;
        }
        Ok(Exit::Ok)
    }

    /// Says that something without an answer was done. Programs see it by the exit code.
    pub fn done(self, text: impl Display) -> Result<Exit> {
        if !self.json {
            self.line(text)?;
        }
        Ok(Exit::Ok)
    }
}

/// Prints an error on standard error.
pub fn print_error(error: &CliError) {
    // Where standard error is closed, the exit code still tells.
    let _ = writeln!(io::stderr().lock(), "error: {error}");
}

fn write_line(mut out: impl Write, text: impl Display) -> Result<()> {
    print(writeln!(out, "{text}").and_then(|()| out.flush()))
}

fn print(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| CliError::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// A table without lines, as wide as its contents: easy to read, to copy and to cut.
#[derive(Debug)]
pub struct Rows {
    table: Table,
    /// What is said instead of an empty table.
    none: &'static str,
}

impl Rows {
    /// A table with these headings; those that end in `>` are for numbers and stand on the right.
    pub fn new(headings: &[&str], none: &'static str) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().map(|heading| heading.trim_end_matches('>')));
        for (at, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(at) {
                column.set_padding((0, 2));
                if heading.ends_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { table, none }
    }

    /// Adds a row.
    pub fn add<const N: usize>(&mut self, cells: [String; N]) {
        self.table.add_row(cells.map(|cell| plain(&cell)));
    }

    /// The text, without spaces at line ends.
    pub fn render(&self) -> String {
        if self.table.is_empty() {
            return self.none.to_owned();
        }
        let lines: Vec<String> = self.table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

/// Lines of `name: value`, aligned; values that are empty are left out.
pub fn fields(fields: &[(&str, String)]) -> String {
    let shown: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let one = |(name, value): &&(&str, String)| format!("{:<width$} {}", format!("{name}:"), plain(value));
    shown.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Text from outside with its control characters made visible: a file's name must not steer a terminal.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

/// A count of bytes for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let (mut whole, mut tenths, mut unit) = (count, 0, 0);
    for at in 0..UNITS.len() {
        tenths = (whole % 1_024) * 10 / 1_024;
        whole /= 1_024;
        unit = at;
        if whole < 1_024 {
            break;
        }
    }
    format!("{whole}.{tenths} {}", UNITS[unit])
}

/// A moment for people, to the second.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment that may be absent.
pub fn moment_or(at: Option<Timestamp>, absent: &str) -> String {
    at.map_or_else(|| absent.to_owned(), moment)
}

/// Words joined by commas.
pub fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short_and_never_rounded_up() {
        let shown = [0, 1_023, 1_024, 1_536, 1_048_575, 1_048_576, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1023.9 KiB", "1.0 MiB", "16383.9 PiB"]);
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        let mut rows = Rows::new(&["PATH", "SIZE>"], "nothing");
        assert_eq!(rows.render(), "nothing");
        rows.add(["a\u{1b}[2Jb\nc".into(), "7".into()]);
        rows.add(["long enough to align".into(), "1200".into()]);
        insta::assert_snapshot!(rows.render(), @r"
        PATH                  SIZE
        a\u{1b}[2Jb\nc           7
        long enough to align  1200
        ");
    }

    #[test]
    fn empty_fields_are_left_out() {
        let shown = fields(&[("name", "a".into()), ("why", String::new()), ("description", "b".into())]);
        assert_eq!(shown, "name:        a\ndescription: b");
    }
}
