//! `syncline selection`: saved queries over devices.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_domain::{
    Name,
    device::selection::{Condition, Selection},
    ids::DeviceId,
};

use super::{Client, Paging};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all selections
    List,
    /// Show one
    Show {
        /// Name of the selection
        name: Name,
    },
    /// Save a selection
    Add {
        /// Name of the new selection
        name: Name,
        /// What devices are selected by, such as {"fact": {"name": "os.type", "equals": "linux"}}
        #[arg(long, value_name = "JSON|@FILE|-", value_parser = condition)]
        condition: Condition,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Change what is given, leave the rest
    Set {
        /// Name of the selection
        name: Name,
        /// What devices are selected by
        #[arg(long, value_name = "JSON|@FILE|-", value_parser = condition)]
        condition: Option<Condition>,
        /// For people
        #[arg(long)]
        description: Option<String>,
    },
    /// Forget a selection that no policy holds on
    Remove {
        /// Name of the selection
        name: Name,
    },
    /// Print the ids of the devices that it gives now, one a line
    Run {
        /// Name of the selection
        name: Name,
    },
}

#[derive(Deserialize)]
struct Selected {
    devices: Vec<DeviceId>,
}

const PATH: &str = "/api/v1/selections";

fn condition(text: &str) -> Result<Condition, String> {
    Condition::from_value(&args::json(text)?).map_err(|error| error.to_string())
}

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add { name, condition, description } => {
            let body = json!({ "name": name, "condition": condition, "description": description });
            out.show(&client.post(PATH, &body)?, details)
        }
        Action::Set { name, condition, description } => set(&name, condition, description, client, out),
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Selection {name} was removed."))
        }
        Action::Run { name } => {
            let answer = client.post_empty(&format!("{PATH}/{name}/run"))?;
            if !out.is_json() && answer.parse::<Selected>()?.devices.is_empty() {
                out.note(format!("Selection {name} gives no device."));
                return Ok(Exit::Ok);
            }
            out.show(&answer, |selected: &Selected| list(&selected.devices).replace(", ", "\n"))
        }
    }
}

fn set(
    name: &Name,
    condition: Option<Condition>,
    description: Option<String>,
    client: &Client,
    out: Output,
) -> Result<Exit> {
    if condition.is_none() && description.is_none() {
        return Err(CliError::usage("nothing to change was given: see `syncline selection set --help`"));
    }
    let path = format!("{PATH}/{name}");
    let answer = client.get(&path)?;
    let before: Selection = answer.parse()?;
    let body = json!({
        "condition": condition.unwrap_or(before.condition),
        "description": description.unwrap_or(before.description),
    });
    out.show(&client.put(&path, &body, answer.etag.as_deref())?, details)
}

fn table(selections: &[Selection]) -> String {
    let mut rows = Rows::new(&["NAME", "CONDITION", "DESCRIPTION"], "There are no selections.");
    for one in selections {
        rows.add([one.name.to_string(), text(&one.condition), one.description.clone()]);
    }
    rows.render()
}

fn details(one: &Selection) -> String {
    fields(&[
        ("name", one.name.to_string()),
        ("condition", text(&one.condition)),
        ("description", one.description.clone()),
        ("made", moment(one.created_at)),
        ("changed", moment(one.updated_at)),
    ])
}

fn text(condition: &Condition) -> String {
    Value::from(condition.clone()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_before_it_is_sent() {
        assert_eq!(
            text(&condition(r#"{"not": {"group": "/sales"}}"#).unwrap()),
            r#"{"not":{"group":"/sales"}}"#
        );
        let error = condition(r#"{"colour": "pink"}"#).unwrap_err();
        assert!(error.contains("at /colour") && error.contains("orange"), "{error}");
    }
}
