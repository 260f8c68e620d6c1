//! `syncline event`: the Event History, read back or followed live.

use std::{
    io::{BufRead, Read},
    thread,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::Event,
    ids::{DeviceId, NodeId, RunId},
};

use super::{Client, http::with_query, listing::Paging, run::level};
use crate::{
    outcome::{Exit, Result},
    output::{Output, Rows, list, moment, plain},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List events
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Print all events that fit as a file for other programs, the newest first
    Export {
        #[command(flatten)]
        filter: Filter,
        /// In which form
        #[arg(long, value_enum, default_value_t)]
        format: Form,
    },
    /// Print events as they happen, until stopped
    Follow {
        #[command(flatten)]
        filter: Filter,
        /// Begin after this event, by its number; from now on if absent
        #[arg(long, value_name = "NUMBER")]
        since: Option<i64>,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub struct Filter {
    /// Written at this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Written before this time
    #[arg(long, value_name = "TIME")]
    before: Option<Timestamp>,
    /// About this sync
    #[arg(long)]
    sync: Option<Name>,
    /// About this run
    #[arg(long)]
    run: Option<RunId>,
    /// About this store, or distribution server
    #[arg(long, alias = "server")]
    store: Option<Name>,
    /// About this collection, or a sync that reads it
    #[arg(long, alias = "component")]
    collection: Option<Name>,
    /// Written by this node, by its id
    #[arg(long)]
    node: Option<NodeId>,
    /// About this device, by its id
    #[arg(long)]
    device: Option<DeviceId>,
    /// About this plugin
    #[arg(long)]
    plugin: Option<Name>,
    /// Of this kind, such as run.succeeded; with a dot at its end of all that begin so
    #[arg(long)]
    kind: Option<String>,
    /// By this actor: a token's name, or system
    #[arg(long, alias = "person")]
    actor: Option<String>,
    /// Of this level or a more pressing one
    #[arg(long, value_enum)]
    level: Option<Level>,
}

/// How pressing.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Level {
    /// For an operator
    Info,
    /// Should be looked at some day
    Warn,
    /// Something could not do its work
    Error,
}

/// Forms of an export.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Form {
    /// Comma-separated values with headings, for spreadsheets
    #[default]
    Csv,
    /// A JSON document a line
    Ndjson,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

const PATH: &str = "/api/v1/events";
const RECONNECT: Duration = Duration::from_secs(2);
/// Longest line of a stream: an event is far below.
const MAX_LINE: u64 = 4 << 20;

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List { filter, paging } => client.show_list(out, PATH, &filter.query(), &paging, table),
        Action::Export { filter, format } => {
            let path = with_query(PATH, &filter.query());
            out.copy(client.open(&path, None, format.media_type())?)?;
            Ok(Exit::Ok)
        }
        Action::Follow { filter, since } => follow(client, out, &filter, since),
    }
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, Option<String>)> {
        let level =
            self.level.and_then(|level| level.to_possible_value()).map(|value| value.get_name().to_owned());
        vec![
            ("since", self.from.map(|at| at.to_string())),
            ("before", self.before.map(|at| at.to_string())),
            ("collection", self.collection.as_ref().map(Name::to_string)),
            ("node", self.node.map(|id| id.to_string())),
            ("device", self.device.map(|id| id.to_string())),
            ("sync", self.sync.as_ref().map(Name::to_string)),
            ("run", self.run.map(|id| id.to_string())),
            ("store", self.store.as_ref().map(Name::to_string)),
            ("plugin", self.plugin.as_ref().map(Name::to_string)),
            ("kind", self.kind.clone()),
            ("actor", self.actor.clone()),
            ("level", level),
        ]
    }
}

/// Follows the stream. The first connection must succeed; one that breaks later is made again where it broke.
fn follow(client: &Client, out: Output, filter: &Filter, since: Option<i64>) -> Result<Exit> {
    let path = with_query(&format!("{PATH}/stream"), &filter.query());
    let mut last = since;
    let mut stream = client.stream(&path, last)?;
    loop {
        print_stream(&mut stream, out, &mut last)?;
        loop {
            out.note("The connection ended; connecting again.");
            thread::sleep(RECONNECT);
            match client.stream(&path, last) {
                Ok(again) => {
                    stream = again;
                    break;
                }
                Err(error) if error.exit == Exit::Unreachable => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Prints the events of a stream until it ends.
fn print_stream(stream: &mut impl BufRead, out: Output, last: &mut Option<i64>) -> Result<()> {
    let mut parser = Parser::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        match stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        let data = parser.line(text);
        // Also where no data came with it: a stream begins with an id alone, to go on after if it breaks at once.
        if text.is_empty() {
            *last = parser.last_id.or(*last);
        }
        let Some(data) = data else { continue };
        if out.is_json() {
            out.line(data)?;
        } else if let Ok(event) = serde_json::from_str::<Event>(&data) {
            out.line(one_line(&event))?;
        } else {
            // The server says so where events in between are not kept any more.
            out.note(format!("gap: {}", plain(&data)));
        }
    }
}

/// Server-sent events, as far as this server sends them.
#[derive(Debug, Default)]
struct Parser {
    data: Vec<String>,
    last_id: Option<i64>,
}

impl Parser {
    /// Takes a line; gives the data of an event that it ends.
    fn line(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.data.push(value.to_owned()),
            "id" => self.last_id = value.parse().ok().or(self.last_id),
            _ => {}
        }
        None
    }
}

fn table(events: &[Event]) -> String {
    let headings = ["NUMBER>", "AT", "LEVEL", "KIND", "BY", "ABOUT", "MESSAGE"];
    let mut rows = Rows::new(&headings, "There are no such events.");
    for Event { seq, at, event, .. } in events {
        rows.add([
            seq.to_string(),
            moment(*at),
            level(event.level).to_owned(),
            event.kind.clone(),
            event.actor.clone(),
            list([&event.sync, &event.store, &event.plugin].into_iter().flatten()),
            event.message.clone(),
        ]);
    }
    rows.render()
}

fn one_line(Event { seq, at, event, .. }: &Event) -> String {
    let text = format!(
        "{seq} {} {:<5} {} by {}: {}",
        moment(*at),
        level(event.level),
        event.kind,
        event.actor,
        event.message
    );
    plain(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_of_a_stream_with_comments_ids_and_several_data_lines() {
        let mut parser = Parser::default();
        let lines =
            [": keep-alive", "", "id: 7", "event: event", "data: {\"a\":", "data: 1}", "", "data:x", ""];
        let found: Vec<String> = lines.into_iter().filter_map(|line| parser.line(line)).collect();
        assert_eq!(found, ["{\"a\":\n1}", "x"]);
        assert_eq!(parser.last_id, Some(7));
    }

    #[test]
    fn an_id_counts_once_its_message_is_whole() {
        let mut last = None;
        print_stream(&mut ": keep-alive\n\nid: 7\n".as_bytes(), Output::new(true), &mut last).unwrap();
        assert_eq!(last, None);
        print_stream(&mut "id: 7\n\nid: 8\ndata: {".as_bytes(), Output::new(true), &mut last).unwrap();
        assert_eq!(last, Some(7));
    }
}
