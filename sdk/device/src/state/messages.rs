//! What server and device said to each other, for `syncline-agent messages`.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use serde::{Deserialize, Serialize};

use super::StateFolder;
use crate::error::{Error, Result};

/// From whom a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the server.
    Received,
    /// From this device.
    Sent,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// When, by the device's clock, in milliseconds since 1970.
    pub at: u64,
    /// From whom.
    pub direction: Direction,
    /// Such as `notice` or `sync`.
    pub kind: String,
    /// A few words.
    pub title: String,
    /// What became of it; can be empty.
    #[serde(default)]
    pub outcome: String,
    /// More, by name.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    /// The id of the item that it came in, so that it is not kept twice; can be empty.
    #[serde(default)]
    pub id: String,
}

const FILE: &str = "messages.jsonl";

/// So many are kept at least.
const KEPT: usize = 500;

/// Adds a message, unless there is one with its id.
pub fn add(state: &StateFolder, message: &Message) -> Result<()> {
    let all = read(state)?;
    if !message.id.is_empty() && all.iter().any(|one| one.id == message.id) {
        return Ok(());
    }
    if all.len() >= 2 * KEPT {
        let kept: Vec<String> = all[all.len() - KEPT..].iter().map(line).collect();
        state.write_bytes(FILE, kept.concat().as_bytes())?;
    }
    let path = state.at(FILE);
    let append = || {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.write_all(line(message).as_bytes())?;
        file.sync_all()
    };
    append().map_err(Error::file("write", &path))
}

/// All that are kept, oldest first. A line that was cut off by a crash is passed over.
pub fn read(state: &StateFolder) -> Result<Vec<Message>> {
    let path = state.at(FILE);
    let file = match std::fs::File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::file("read", &path))?,
    };
    let lines = BufReader::new(file).split(b'\n').map_while(std::io::Result::ok);
    Ok(lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect())
}

/// Begins with a line end, so that a line that was cut off does not swallow the next one.
fn line(message: &Message) -> String {
    format!("\n{}\n", serde_json::to_string(message).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> Message {
        Message {
            at: 1,
            direction: Direction::Received,
            kind: "notice".into(),
            title: "Till closes\nat noon".into(),
            outcome: String::new(),
            details: BTreeMap::new(),
            id: id.into(),
        }
    }

    #[test]
    fn messages_are_kept_once_and_survive_a_cut_off_line() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        add(&state, &message("1")).unwrap();
        let mut file = OpenOptions::new().append(true).open(state.at(FILE)).unwrap();
        file.write_all(br#"{"at":5,"dir"#).unwrap();
        for id in ["1", "2", "", ""] {
            add(&state, &message(id)).unwrap();
        }
        let ids: Vec<String> = read(&state).unwrap().into_iter().map(|message| message.id).collect();
        assert_eq!(ids, ["1", "2", "", ""]);
    }

    #[test]
    fn the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let all: Vec<String> = (0..2 * KEPT).map(|at| line(&message(&at.to_string()))).collect();
        state.write_bytes(FILE, all.concat().as_bytes()).unwrap();
        add(&state, &message("new")).unwrap();
        let kept = read(&state).unwrap();
        assert_eq!((kept.len(), kept[0].id.as_str(), kept[KEPT].id.as_str()), (KEPT + 1, "500", "new"));
    }
}
