//! What is given out once: printed, or written to a new file that only its owner can read.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use serde::de::DeserializeOwned;

use super::Answer;
use crate::{
    outcome::{CliError, Exit, Result},
    output::Output,
};

/// Asks for it, and writes it to `output`, or prints it where there is none. The file is made before it is asked for: a secret
/// that cannot be written down would be lost and go on to be valid.
pub fn give_out<T: DeserializeOwned>(
    out: Output,
    output: Option<PathBuf>,
    what: &str,
    ask: impl FnOnce() -> Result<Answer>,
    text: impl FnOnce(T) -> String,
) -> Result<Exit> {
    let Some(path) = output else {
        let answer = ask()?;
        if out.is_json() {
            out.line(&answer.text)?;
        } else {
            out.line(text(answer.parse()?))?;
            out.note("This is the only time it is shown.");
        }
        return Ok(Exit::Ok);
    };
    let cannot = |error| CliError::failed(format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(cannot)?;
    let answer = ask().inspect_err(|_| {
        // It is empty, and the error that is reported says what went wrong.
        let _ = fs::remove_file(&path);
    })?;
    let text = text(answer.parse()?);
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(cannot)?;
    out.done(format!("{what} is in {}.", path.display()))
}
