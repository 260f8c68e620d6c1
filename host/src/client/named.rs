//! Devices and users as people name them: by id, or by a name that one alone has.

use std::{fmt::Display, str::FromStr};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use syncline_domain::{
    Name,
    device::GroupPath,
    ids::{DeviceId, UserId},
};

use super::{Client, Paging};
use crate::outcome::{CliError, Result};

/// Most items that are looked through for a name: the API finds devices by a part of theirs.
const MOST: Paging = Paging { limit: 1_000, after: None };

#[derive(Deserialize)]
struct Found {
    id: String,
    name: String,
    #[serde(default)]
    state: String,
}

/// The device of this id or name. Those that were decommissioned have no name beside another that has it.
pub fn device(client: &Client, text: &str) -> Result<DeviceId> {
    find(client, "device", text)
}

/// The user of this id or name.
pub fn user(client: &Client, text: &str) -> Result<UserId> {
    find(client, "user", text)
}

fn find<I: FromStr<Err: Display>>(client: &Client, what: &str, text: &str) -> Result<I> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let path = format!("/api/v1/{what}s");
    let (items, next) = client.read_list(&path, &[("name", Some(text.to_owned()))], &MOST)?;
    let makes_no_sense =
        |error: &dyn Display| CliError::failed(format!("the server's list makes no sense: {error}"));
    let mut found: Vec<Found> =
        serde_json::from_value(Value::Array(items)).map_err(|error| makes_no_sense(&error))?;
    found.retain(|one| one.name == text);
    if found.iter().any(|one| one.state != "decommissioned") {
        found.retain(|one| one.state != "decommissioned");
    }
    match found.as_slice() {
        [one] => one.id.parse().map_err(|error: I::Err| makes_no_sense(&error)),
        [] if next.is_some() => {
            Err(CliError::failed(format!("too many {what}s have {text:?} in their name"))
                .hint(format!("give the id: `syncline {what} list --name {text:?}` shows it")))
        }
        [] => Err(CliError::failed(format!("there is no {what} {text:?}"))
            .hint(format!("`syncline {what} list` shows names and ids"))),
        several => {
            let ids: Vec<&str> = several.iter().map(|one| one.id.as_str()).collect();
            Err(CliError::failed(format!("{} {what}s are called {text:?}", ids.len()))
                .hint(format!("give the id of one: {}", ids.join(", "))))
        }
    }
}

/// Devices, a group or a selection, as the API takes them.
pub fn scope(
    client: &Client,
    devices: &[String],
    group: Option<&GroupPath>,
    selection: Option<&Name>,
) -> Result<Map<String, Value>> {
    let (member, value) = match (group, selection) {
        (Some(group), _) => ("group", json!(group)),
        (None, Some(selection)) => ("selection", json!(selection)),
        (None, None) => {
            let ids = devices.iter().map(|text| device(client, text)).collect::<Result<Vec<_>>>()?;
            ("devices", json!(ids))
        }
    };
    Ok(Map::from_iter([(member.to_owned(), value)]))
}
