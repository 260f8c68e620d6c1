//! `syncline application`: what is configured on devices.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use syncline_domain::{Name, device::policy::Application};

use super::{Client, Paging};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all applications
    List,
    /// Show one
    Show {
        /// Name of the application
        name: Name,
    },
    /// Make an application known; agents know it by this name
    Add {
        /// Name of the new application
        name: Name,
        /// Plugin that turns its policies into a document
        #[arg(long, default_value = "device-policy")]
        plugin: Name,
        #[command(flatten)]
        spec: Spec,
    },
    /// Change what is given, leave the rest; what devices should hold by that is published
    Set {
        /// Name of the application
        name: Name,
        /// Plugin that turns its policies into a document
        #[arg(long)]
        plugin: Option<Name>,
        #[command(flatten)]
        spec: Spec,
        /// Check settings against no schema any more
        #[arg(long, conflicts_with = "schema")]
        no_schema: bool,
    },
    /// Forget an application that has no policies and that no device holds
    Remove {
        /// Name of the application
        name: Name,
    },
}

/// What can be set of an application.
#[derive(Debug, Args)]
pub struct Spec {
    /// JSON Schema (2020-12) that settings must fit
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
    schema: Option<Value>,
    /// Settings that hold where no policy says anything else
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
    defaults: Option<Value>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

const PATH: &str = "/api/v1/applications";

/// What an API answer has beside what can be set.
const NOT_SET_BY_PEOPLE: [&str; 4] = ["name", "created_at", "updated_at", "revision"];

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add { name, plugin, spec } => {
            let mut body = Map::from_iter([("name".to_owned(), json!(name))]);
            spec.write_into(&mut body, Some(plugin));
            out.show(&client.post(PATH, &Value::Object(body))?, details)
        }
        Action::Set { name, plugin, spec, no_schema } => {
            let path = format!("{PATH}/{name}");
            let answer = client.get(&path)?;
            let mut body: Map<String, Value> = answer.parse()?;
            body.retain(|member, _| !NOT_SET_BY_PEOPLE.contains(&member.as_str()));
            let before = body.clone();
            spec.write_into(&mut body, plugin);
            if no_schema {
                body.remove("schema");
            }
            if body == before {
                return Err(CliError::usage(format!(
                    "nothing of application {name} would change: see `syncline application set --help`"
                )));
            }
            out.show(&client.put(&path, &Value::Object(body), answer.etag.as_deref())?, details)
        }
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Application {name} was removed."))
        }
    }
}

impl Spec {
    /// Sets what is given.
    fn write_into(self, body: &mut Map<String, Value>, plugin: Option<Name>) {
        let given = [
            ("plugin", plugin.map(|name| json!(name))),
            ("schema", self.schema),
            ("defaults", self.defaults),
            ("description", self.description.map(Value::from)),
        ];
        body.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
}

fn table(applications: &[Application]) -> String {
    let headings = ["NAME", "PLUGIN", "SCHEMA", "CHANGED", "DESCRIPTION"];
    let mut rows = Rows::new(&headings, "There are no applications.");
    for Application { name, spec, updated_at, .. } in applications {
        rows.add([
            name.to_string(),
            spec.plugin.to_string(),
            if spec.schema.is_some() { "yes" } else { "no" }.to_owned(),
            moment(*updated_at),
            spec.description.clone(),
        ]);
    }
    rows.render()
}

fn details(one: &Application) -> String {
    let Application { name, spec, .. } = one;
    fields(&[
        ("name", name.to_string()),
        ("plugin", spec.plugin.to_string()),
        ("schema", spec.schema.as_ref().map(Value::to_string).unwrap_or_default()),
        ("defaults", spec.defaults.to_string()),
        ("description", spec.description.clone()),
        ("made", moment(one.created_at)),
        ("changed", moment(one.updated_at)),
    ])
}
