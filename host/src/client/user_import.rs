//! `syncline user import`: users out of a table, in parts that one request holds.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Client;
use crate::{
    outcome::{CliError, Exit, Result},
    output::{Output, Rows},
};

/// Users of one request; the server takes no more.
const AT_A_TIME: usize = 1_000;

/// What to import.
#[derive(Debug, Args)]
pub struct Import {
    /// CSV with a line of headings: name, and any of display_name, email and group; `-` for standard input
    file: PathBuf,
    /// What becomes of users who are there already
    #[arg(long, value_enum, default_value = "refuse")]
    existing: Existing,
    /// What separates the columns
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = separator)]
    separator: u8,
}

#[derive(Debug, Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Existing {
    /// They are refused
    Refuse,
    /// They stay as they are
    Keep,
    /// They get what the table gives; an empty field leaves a value as it is
    Change,
}

/// A line of the table. What is empty is not given.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Imported {
    created: usize,
    changed: usize,
    unchanged: usize,
    refused: usize,
    users: Vec<Value>,
}

/// Does it. The exit code is 3 if some were refused and 1 if all were.
pub fn run(import: &Import, client: &Client, out: Output) -> Result<Exit> {
    let lines = read(&import.file, import.separator)?;
    let mut all = Imported::default();
    for part in lines.chunks(AT_A_TIME) {
        let body = json!({ "users": part, "existing": import.existing });
        let one: Imported = client.post("/api/v1/users/import", &body)?.parse()?;
        all.created += one.created;
        all.changed += one.changed;
        all.unchanged += one.unchanged;
        all.refused += one.refused;
        all.users.extend(one.users);
    }
    if out.is_json() {
        out.line(json!(all))?;
    } else {
        out.line(told(&all))?;
    }
    Ok(match all.refused {
        0 => Exit::Ok,
        refused if refused == all.users.len() => Exit::Failed,
        _ => Exit::Partial,
    })
}

fn read(file: &Path, separator: u8) -> Result<Vec<Line>> {
    let shown = file.display();
    let failed = |error: io::Error| CliError::usage(format!("{shown} cannot be read: {error}"));
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(failed)?)
    };
    lines(input, separator).map_err(|why| CliError::usage(format!("{shown}: {why}")))
}

fn lines(input: impl Read, separator: u8) -> Result<Vec<Line>, String> {
    let mut table = csv::ReaderBuilder::new().delimiter(separator).trim(csv::Trim::All).from_reader(input);
    let mut headings = table.headers().map_err(|error| error.to_string())?.clone();
    // Spreadsheets begin a file with a mark of its encoding.
    if let Some(first) = headings.get(0).and_then(|first| first.strip_prefix('\u{feff}')) {
        headings = std::iter::once(first).chain(headings.iter().skip(1)).collect();
    }
    if !headings.iter().any(|heading| heading == "name") {
        let found: Vec<_> = headings.iter().collect();
        return Err(format!(
            "no column is named name; the first line has {:?}: give a line of headings, and the --separator",
            found.join(" | ")
        ));
    }
    table.set_headers(headings);
    let lines: Vec<Line> =
        table.deserialize().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if lines.is_empty() { Err("there is no user in it".to_owned()) } else { Ok(lines) }
}

fn separator(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ if text.len() == 1 => Ok(text.as_bytes()[0]),
        _ => Err(format!("{text:?} is not one ASCII character: use one such as ; or tab")),
    }
}

fn told(all: &Imported) -> String {
    let sum = format!(
        "{} created, {} changed, {} unchanged, {} refused.",
        all.created, all.changed, all.unchanged, all.refused
    );
    let mut rows = Rows::new(&["NAME", "WHY NOT"], "");
    for user in all.users.iter().filter(|user| user["outcome"] == "refused") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rows.add([text(&user["name"]), text(&user["problem"]["detail"])]);
    }
    if all.refused == 0 { sum } else { format!("{}\n\n{sum}", rows.render()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_with_quotes_marks_and_empty_fields() {
        let table = "\u{feff}name;email;display_name\nann;ann@x.org;\"Ann; A.\"\nbob;;\n";
        let line = |name: &str, email: Option<&str>, display_name: Option<&str>| Line {
            name: name.to_owned(),
            display_name: display_name.map(str::to_owned),
            email: email.map(str::to_owned),
            group: None,
        };
        let wanted = [line("ann", Some("ann@x.org"), Some("Ann; A.")), line("bob", None, None)];
        assert_eq!(lines(table.as_bytes(), b';').unwrap(), wanted);
    }

    #[test]
    fn a_table_that_makes_no_sense_says_where() {
        let why = |table: &str| lines(table.as_bytes(), b',').unwrap_err();
        assert!(why("name;email\nann;a@x.org\n").contains("\"name;email\""));
        assert!(why("name,phone\nann,1\n").contains("phone"));
        assert!(why("name,email\nann\n").contains("line: 2"));
        assert_eq!(why("name,email\n"), "there is no user in it");
    }
}
