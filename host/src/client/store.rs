//! `syncline store`: folders that syncs read or fill.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use syncline_domain::{
    Name,
    place::{StoreRecord, StoreStatus},
};

use super::{Client, Paging};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, bytes, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all stores, and whether each can be used now
    List,
    /// Show one, and whether it can be used now
    Show {
        /// Name of the store
        name: Name,
    },
    /// Register a folder; it is marked, so that it is known again
    Add(Add),
    /// Change what is given, leave the rest
    Change(Change),
    /// Say that what stands in the store's folder now is the store, and mark it anew
    Adopt {
        /// Name of the store
        name: Name,
    },
    /// Forget a store; its files stay
    Remove {
        /// Name of the store
        name: Name,
    },
}

/// A new store.
#[derive(Debug, Args)]
pub struct Add {
    /// Name of the new store
    name: Name,
    /// Absolute path of a folder that the server sees
    path: String,
    /// Every node sees this same folder at this path
    #[arg(long)]
    shared: bool,
    /// A label for plugins, such as component=patches; can be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = args::pair)]
    labels: Vec<(String, String)>,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
    /// Most bytes a second that are written to it
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<u64>,
}

/// A change.
#[derive(Debug, Args)]
pub struct Change {
    /// Name of the store
    name: Name,
    /// Set a label; can be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = args::pair)]
    labels: Vec<(String, String)>,
    /// Take a label away; can be repeated
    #[arg(long = "remove-label", value_name = "NAME")]
    remove_labels: Vec<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Most bytes a second that are written to it; 0 takes the limit away
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<u64>,
    /// Whether every node sees this same folder
    #[arg(long, value_name = "true|false")]
    shared: Option<bool>,
}

/// A store as the API shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(flatten)]
    record: StoreRecord,
    status: Option<StoreStatus>,
}

const PATH: &str = "/api/v1/stores";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => {
            client.show_list(out, PATH, &[("status", Some("true".to_owned()))], &Paging::ALL, table)
        }
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add(add) => {
            let mut body = json!({
                "name": add.name,
                "kind": "folder",
                "path": add.path,
                "shared": add.shared,
                "labels": add.labels.into_iter().collect::<BTreeMap<_, _>>(),
                "description": add.description,
            });
            if let Some(limit) = add.bytes_per_second {
                body["bytes_per_second"] = limit.into();
            }
            out.show(&client.post(PATH, &body)?, details)
        }
        Action::Change(change) => self::change(change, client, out),
        Action::Adopt { name } => out.show(&client.post_empty(&format!("{PATH}/{name}/adopt"))?, details),
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Store {name} was removed; its files stay."))
        }
    }
}

fn change(change: Change, client: &Client, out: Output) -> Result<Exit> {
    let path = format!("{PATH}/{}", change.name);
    let mut body = Map::new();
    let mut etag = None;
    if !change.labels.is_empty() || !change.remove_labels.is_empty() {
        let answer = client.get(&path)?;
        let mut labels = answer.parse::<Shown>()?.record.labels;
        labels.retain(|name, _| !change.remove_labels.contains(name));
        labels.extend(change.labels);
        body.insert("labels".to_owned(), json!(labels));
        etag = answer.etag;
    }
    let rest = [
        ("description", change.description.map(Value::from)),
        ("bytes_per_second", change.bytes_per_second.map(Value::from)),
        ("shared", change.shared.map(Value::from)),
    ];
    body.extend(rest.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    if body.is_empty() {
        return Err(CliError::usage("nothing to change was given: see `syncline store change --help`"));
    }
    out.show(&client.patch(&path, &Value::Object(body), etag.as_deref())?, details)
}

fn table(stores: &[Shown]) -> String {
    let mut rows = Rows::new(&["NAME", "STATE", "SHARED", "PATH", "LABELS"], "There are no stores.");
    for Shown { record, status } in stores {
        rows.add([
            record.name.to_string(),
            status.as_ref().map_or("", word).to_owned(),
            if record.shared { "yes" } else { "no" }.to_owned(),
            record.path.clone(),
            labels(record),
        ]);
    }
    rows.render()
}

fn details(shown: &Shown) -> String {
    let Shown { record, status } = shown;
    let why = match status {
        Some(StoreStatus::Unavailable { failure }) => failure.message.clone(),
        _ => String::new(),
    };
    fields(&[
        ("name", record.name.to_string()),
        ("state", status.as_ref().map_or("", word).to_owned()),
        ("why", why),
        ("path", record.path.clone()),
        ("shared", if record.shared { "yes, every node sees it" } else { "no" }.to_owned()),
        ("node", if record.shared { String::new() } else { record.node.to_string() }),
        ("labels", labels(record)),
        (
            "rate",
            record.bytes_per_second.map(|limit| format!("{} a second", bytes(limit))).unwrap_or_default(),
        ),
        ("description", record.description.clone()),
        ("id", record.id.to_string()),
        ("registered", moment(record.created_at)),
    ])
}

fn labels(record: &StoreRecord) -> String {
    list(record.labels.iter().map(|(name, value)| format!("{name}={value}")))
}

const fn word(status: &StoreStatus) -> &'static str {
    match status {
        StoreStatus::Available => "available",
        StoreStatus::Unavailable { .. } => "unavailable",
        StoreStatus::OnAnotherNode { .. } => "on another node",
    }
}
