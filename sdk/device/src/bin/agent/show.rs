//! `sync`, `activate`, `status` and `messages`: what people and programs are shown.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use jiff::Timestamp;
use syncline_device::{
    config::Config,
    disk,
    local::{self, Reply, Status},
    state::{StateFolder, messages},
};

use crate::{
    outcome::{CliError, Result},
    run::on_runtime,
};

/// Prints a text with a line end; a reader that went away (`| head`) ends the process quietly.
pub fn line(text: impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| CliError::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Prints an error on standard error.
pub fn error(error: &CliError) {
    // Where standard error is closed, the exit code still tells.
    let _ = writeln!(io::stderr().lock(), "error: {error}");
}

fn ask(config: &Config, request: &str) -> Result<Reply> {
    let unreachable = |error| {
        let socket = config.socket.display();
        CliError::unreachable(format!(
            "the agent does not answer at {socket} ({error}): is the service running?"
        ))
    };
    on_runtime(async { local::ask(&config.socket, request).await.map_err(unreachable) })
}

/// Forces a sync.
pub fn sync(config: &Config, json: bool) -> Result<()> {
    let reply = ask(config, "sync")?;
    if json {
        line(to_json(&reply)?)?;
    }
    match reply {
        Reply::Synchronised if json => Ok(()),
        Reply::Synchronised => line("This device is up to date."),
        Reply::Failed(why) => Err(CliError::failed(why)),
        Reply::Status(_) => {
            Err(CliError::failed("the agent answers something else: is it of another version?"))
        }
    }
}

/// Activates a user: the code is laid down for the agent, which is then asked for a sync.
pub fn activate(config: &Config, code: &str) -> Result<()> {
    let code = code.trim();
    if code.is_empty() || code.len() > 100 || code.chars().any(char::is_control) {
        return Err(CliError::usage("this is no activation code: it has letters, digits and dashes"));
    }
    let state = StateFolder::peek(&config.state);
    let id = uuid::Uuid::new_v4();
    let path = state.at(&format!("inbox/{id}"));
    disk::replace(&path, code.as_bytes(), disk::Access::PRIVATE).map_err(|error| {
        CliError::failed(format!("cannot write {}: {error}; run this as the agent's user", path.display()))
    })?;
    let reply = ask(config, "sync");
    let record = format!("activation-{}.json", id.simple());
    if let Some((activated, text)) = state.read::<(bool, String)>(&record)? {
        state.remove(&record)?;
        return if activated { line(plain(&text)) } else { Err(CliError::failed(plain(&text))) };
    }
    match reply {
        Ok(_) => line("The code is sent; `syncline-agent messages` shows what becomes of it."),
        Err(error) => Err(CliError { message: format!("{error}; the code is kept until it is"), ..error }),
    }
}

/// Shows how the device stands; without the agent, from its records.
pub fn status(config: &Config, json: bool) -> Result<()> {
    let status = match ask(config, "status") {
        Ok(Reply::Status(status)) => *status,
        Ok(Reply::Failed(why)) => return Err(CliError::failed(why)),
        Ok(Reply::Synchronised) => return Err(CliError::failed("the agent answers something else")),
        Err(error) => local::status(&config.state, false).map_err(|_| error)?,
    };
    if json { line(to_json(&status)?) } else { line(text_of(&status)) }
}

fn text_of(status: &Status) -> String {
    let contact = &status.contact;
    let word = |yes, one: &str, other: &str| if yes { one.to_owned() } else { other.to_owned() };
    let mut lines = vec![
        format!("agent:         {} {}", status.version, word(status.running, "running", "not running")),
        format!("device:        {}", word(status.enrolled, "enrolled", "not enrolled")),
        format!("server:        {}", plain(&status.server)),
        format!("connection:    {}", word(contact.connected, &contact.transport, "none")),
        format!("last contact:  {}", moment(contact.last_contact)),
        format!("next contact:  {}", moment(contact.next_contact)),
        format!("last sync:     {}", moment(contact.last_sync)),
    ];
    if !contact.error.is_empty() {
        lines.push(format!("error:         {}", plain(&contact.error)));
    }
    for one in &status.applications {
        let error = if one.error.is_empty() { String::new() } else { format!("  {}", plain(&one.error)) };
        lines.push(format!("{}  {}  {}{error}", plain(&one.name), one.state, moment(one.applied_at)));
    }
    lines.join("\n")
}

/// Shows what was said, newest first.
pub fn messages(config: &Config, more: bool, json: bool) -> Result<()> {
    let mut all = messages::read(&StateFolder::peek(&config.state))?;
    all.reverse();
    if json {
        return line(to_json(&all)?);
    }
    if all.is_empty() {
        return line("There are no messages.");
    }
    for message in all {
        let direction = format!("{:?}", message.direction).to_lowercase();
        let (title, outcome) = (plain(&message.title), plain(&message.outcome));
        line(
            format!("{}  {direction:8}  {:10}  {title}  {outcome}", moment(message.at), plain(&message.kind))
                .trim_end(),
        )?;
        for (name, value) in message.details.iter().filter(|_| more) {
            line(format!("    {}: {}", plain(name), plain(value)))?;
        }
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| CliError::failed(format!("cannot write JSON: {error}")))
}

fn moment(unix_ms: u64) -> String {
    let at =
        i64::try_from(unix_ms).ok().filter(|at| *at > 0).and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "never".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Text from outside with its control characters made visible: a message must not steer a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_does_not_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
        assert_eq!((moment(0), moment(1_000).as_str()), ("never".to_owned(), "1970-01-01T00:00:01Z"));
    }
}
