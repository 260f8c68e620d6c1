//! Messages between the server and a device, as people read them.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;
use syncline_domain::device::message::{Direction, Message, MessageOutcome};

use super::{Client, Paging, device::PATH, named};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, moment, plain},
};

/// A new message.
#[derive(Debug, Args)]
pub struct NewMessage {
    /// Name or id of the device
    device: String,
    /// A few words
    title: String,
    /// Sentences; from standard input for -
    #[arg(long, value_name = "TEXT|-", default_value = "")]
    text: String,
    /// How bad it is
    #[arg(long, value_enum, default_value = "info")]
    severity: Severity,
    /// Let it be over after this time, if the device has not had it by then
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    expires: Option<Duration>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Severity {
    /// Good to know
    Info,
    /// Someone should look at it some day
    Warning,
    /// Something does not work
    Error,
    /// Nothing works, or data are being lost
    Critical,
}

/// Which messages.
#[derive(Debug, Args)]
pub struct Wanted {
    /// Name or id of the device
    device: String,
    /// Of this direction: to-device, from-device
    #[arg(long)]
    direction: Option<Direction>,
    /// With this outcome, such as waiting
    #[arg(long)]
    outcome: Option<MessageOutcome>,
    /// Show all that is in them
    #[arg(long)]
    more: bool,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Deserialize)]
struct Sent {
    devices: u64,
}

/// Leaves a message for a device.
pub fn send(message: NewMessage, client: &Client, out: Output) -> Result<Exit> {
    let id = named::device(client, &message.device)?;
    let text = match message.text.as_str() {
        "-" => String::from_utf8(args::read_file("-")?)
            .map_err(|_| CliError::usage("the text of a message must be UTF-8"))?,
        text => text.to_owned(),
    };
    let severity = match message.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Critical => "critical",
    };
    let mut body = json!({ "severity": severity, "title": message.title, "text": text });
    if let Some(after) = message.expires {
        body["expires_at"] = json!(args::from_now(after)?);
    }
    let answer = client.post(&format!("{PATH}/{id}/messages"), &body)?;
    out.show(&answer, |sent: &Sent| match sent.devices {
        0 => "The device takes no messages.".to_owned(),
        _ => "The message was left for the device.".to_owned(),
    })
}

/// Lists messages.
pub fn list(wanted: &Wanted, client: &Client, out: Output) -> Result<Exit> {
    let id = named::device(client, &wanted.device)?;
    let query = [
        ("direction", wanted.direction.map(|one| one.to_string())),
        ("outcome", wanted.outcome.map(|one| one.to_string())),
    ];
    let render = if wanted.more { opened } else { table };
    client.show_list(out, &format!("{PATH}/{id}/messages"), &query, &wanted.paging, render)
}

const NONE: &str = "There are no messages.";

fn table(messages: &[Message]) -> String {
    let mut rows = Rows::new(&["AT", "FROM", "KIND", "OUTCOME", "SUMMARY"], NONE);
    for one in messages {
        rows.add([
            moment(one.at),
            from(one.direction).to_owned(),
            one.kind.clone(),
            one.outcome.to_string(),
            one.summary.clone(),
        ]);
    }
    rows.render()
}

/// Each with its details.
fn opened(messages: &[Message]) -> String {
    if messages.is_empty() {
        return NONE.to_owned();
    }
    let one = |message: &Message| {
        let Message { kind, summary, outcome, .. } = message;
        let details = serde_json::to_string_pretty(&message.details).unwrap_or_default();
        let details: String = details.lines().map(|line| format!("\n  {}", plain(line))).collect();
        let at = moment(message.at);
        let since = moment(message.outcome_at);
        let head = format!("{at} {} {kind} {}: {summary}", from(message.direction), message.id);
        format!("{}\n  {outcome} since {since}{details}", plain(&head))
    };
    messages.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

const fn from(direction: Direction) -> &'static str {
    match direction {
        Direction::ToDevice => "server",
        Direction::FromDevice => "device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_opens_to_all_that_is_in_it() {
        let message: Message = serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000001", "device": "01930000-0000-7000-8000-000000000002",
            "direction": "to-device", "kind": "notice", "summary": "Restart\u{7} tonight",
            "details": {"severity": "warning", "text": "At ten."}, "at": "2026-11-22T10:00:00Z", "expires_at": null,
            "outcome": "acknowledged", "outcome_at": "2026-11-22T10:00:05Z",
        }))
        .unwrap();
        insta::assert_snapshot!(format!(
            "{}\n\n{}",
            table(std::slice::from_ref(&message)),
            opened(&[message])
        ));
    }
}
