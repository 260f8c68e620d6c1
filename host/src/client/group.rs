//! `syncline group`: the tree in which devices and users sit.

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use syncline_domain::device::{GroupPath, user::KeySets};

use super::{Client, Paging, http::encode};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all groups, each after those above it
    List,
    /// Make a group; the one above must be there
    Add {
        /// Where it is to be, such as /sales/berlin
        group: GroupPath,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
        /// Key sets of the users in it and below it
        #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
        keys: Option<Value>,
    },
    /// Change what is given, leave the rest
    Set {
        /// The group
        group: GroupPath,
        /// For people
        #[arg(long)]
        description: Option<String>,
        /// Key sets of the users in it and below it, in place of all that were there
        #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
        keys: Option<Value>,
    },
    /// Move a group with all that is in it and below it; what its devices should hold by that is published
    Move {
        /// The group
        group: GroupPath,
        /// Where it is to be
        to: GroupPath,
    },
    /// Remove a group in which and below which there is nothing
    Remove {
        /// The group
        group: GroupPath,
    },
}

/// A group as the API shows it.
#[derive(Debug, Deserialize)]
struct Group {
    path: GroupPath,
    description: String,
    #[serde(default)]
    keys: KeySets,
    created_at: Timestamp,
}

const PATH: &str = "/api/v1/groups";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Add { group, description, keys } => {
            let mut body = json!({ "path": group, "description": description });
            if let Some(keys) = keys {
                body["keys"] = keys;
            }
            out.show(&client.post(PATH, &body)?, details)
        }
        Action::Set { group, description, keys } => {
            let given = [("description", description.map(Value::from)), ("keys", keys)];
            let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            let body: Map<String, Value> = given.collect();
            if body.is_empty() {
                return Err(CliError::usage("nothing to change was given: see `syncline group set --help`"));
            }
            out.show(&client.patch(&at(&group), &Value::Object(body), None)?, details)
        }
        Action::Move { group, to } => {
            out.show(&client.patch(&at(&group), &json!({ "path": to }), None)?, details)
        }
        Action::Remove { group } => {
            client.delete(&at(&group))?;
            out.done(format!("Group {group} was removed."))
        }
    }
}

fn at(group: &GroupPath) -> String {
    format!("{PATH}/{}", encode(group.as_str()))
}

fn table(groups: &[Group]) -> String {
    let mut rows = Rows::new(&["GROUP", "KEY SETS", "MADE", "DESCRIPTION"], "There are no groups.");
    for one in groups {
        rows.add([
            one.path.to_string(),
            list(one.keys.keys()),
            moment(one.created_at),
            one.description.clone(),
        ]);
    }
    rows.render()
}

fn details(one: &Group) -> String {
    fields(&[
        ("group", one.path.to_string()),
        ("key sets", list(one.keys.keys())),
        ("description", one.description.clone()),
        ("made", moment(one.created_at)),
    ])
}
