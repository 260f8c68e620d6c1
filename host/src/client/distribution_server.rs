//! `syncline distribution-server`: stores that are kept up to date from the library.

use clap::{Args, Subcommand};
use jiff::{Timestamp, civil::Time};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use syncline_domain::{Failure, Name, failure::Cause, server::Window};

use super::{
    Client, Paging,
    status_report::{self, Repair, Report},
};
use crate::{
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, bytes, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all distribution servers
    List,
    /// Show one, and what is left of it for later
    Show {
        /// Name of the server
        name: Name,
    },
    /// Register a store, or a folder, as a distribution server
    Add(Box<Add>),
    /// Change what is given, leave the rest
    Change(Box<Change>),
    /// Read and write on a server, as the account that runs use
    Test {
        /// Name of the server
        name: Name,
    },
    /// Forget a server; its files stay
    Remove {
        /// Name of the server
        name: Name,
        /// Also take it out of the schedules that use it
        #[arg(long)]
        force: bool,
    },
    /// Report which downloaded patches are missing or out of date
    Report(Report),
    /// Copy just the patches that are missing or out of date
    Repair(Repair),
}

/// A new server.
#[derive(Debug, Args)]
pub struct Add {
    /// Name of the new server
    name: Name,
    #[command(flatten)]
    place: Place,
    /// With a folder: every node sees it at this path
    #[arg(long, requires = "path")]
    shared: bool,
    #[command(flatten)]
    common: Common,
}

/// Where its files stand.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// A store that is registered
    #[arg(long)]
    store: Option<Name>,
    /// Absolute path of a folder that the server sees, which becomes a store
    #[arg(long)]
    path: Option<String>,
}

/// A change.
#[derive(Debug, Args)]
pub struct Change {
    /// Name of the server
    name: Name,
    #[command(flatten)]
    common: Common,
    /// Let it get all components
    #[arg(long, conflicts_with = "components")]
    all_components: bool,
    /// Let runs reach it at any time
    #[arg(long, conflicts_with = "window")]
    no_window: bool,
    /// Take it out of its site
    #[arg(long, conflicts_with = "site")]
    no_site: bool,
}

/// What can be set.
#[derive(Debug, Args)]
pub struct Common {
    /// A component that it should get; can be repeated, all if absent
    #[arg(long = "component", value_name = "COLLECTION")]
    components: Vec<Name>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Where clients find it
    #[arg(long)]
    address: Option<String>,
    /// Where it stands
    #[arg(long)]
    site: Option<Name>,
    /// Most bytes a second that are written to it; 0 takes the limit away
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<u64>,
    /// When runs may reach it, such as 22:00-05:30
    #[arg(long, value_name = "FROM-TO", value_parser = from_to)]
    window: Option<(Time, Time)>,
    /// Zone of --window
    #[arg(long, value_name = "IANA NAME", default_value = "UTC", requires = "window")]
    time_zone: String,
    /// A day on which the window opens, such as mon; can be repeated, every day if absent
    #[arg(long = "day", value_name = "DAY", requires = "window")]
    days: Vec<String>,
}

fn from_to(text: &str) -> Result<(Time, Time), String> {
    let times = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    times.ok_or_else(|| format!("{text:?} is no window: write it as 22:00-05:30"))
}

impl Common {
    /// The fields that were given.
    fn fields(self) -> Map<String, Value> {
        let window = self.window.map(
            |(from, to)| json!({ "from": from, "to": to, "time_zone": self.time_zone, "days": self.days }),
        );
        let given = [
            ("components", (!self.components.is_empty()).then(|| json!(self.components))),
            ("description", self.description.map(Value::from)),
            ("address", self.address.map(Value::from)),
            ("site", self.site.map(|site| json!(site))),
            ("bytes_per_second", self.bytes_per_second.map(Value::from)),
            ("window", window),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// A server as the API shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    name: Name,
    store: Name,
    path: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    components: Vec<Name>,
    address: Option<String>,
    site: Option<Name>,
    window: Option<Window>,
    credentials: Credentials,
    bytes_per_second: Option<u64>,
    can_schedule: bool,
    reason: Option<String>,
    schedules: Vec<String>,
    left: Vec<Left>,
    created_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Credentials {
    secret: Option<Name>,
    account: String,
}

#[derive(Debug, Deserialize)]
struct Left {
    sync: Name,
    next_try: Timestamp,
    reason: String,
}

/// What a test found.
#[derive(Debug, Deserialize)]
struct Tested {
    ok: bool,
    account: String,
    failure: Option<Failure>,
    cause: Option<Cause>,
    rights: Vec<Right>,
    free_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Right {
    right: String,
    place: String,
    ok: bool,
}

const PATH: &str = "/api/v1/distribution-servers";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add(add) => {
            let mut body = add.common.fields();
            body.insert("name".to_owned(), json!(add.name));
            if let Some(store) = add.place.store {
                body.insert("store".to_owned(), json!(store));
            }
            if let Some(path) = add.place.path {
                body.insert("path".to_owned(), path.into());
                body.insert("shared".to_owned(), add.shared.into());
            }
            out.show(&client.post(PATH, &Value::Object(body))?, details)
        }
        Action::Change(change) => self::change(*change, client, out),
        Action::Test { name } => {
            let answer = client.post_empty(&format!("{PATH}/{name}/test"))?;
            let ok = answer.parse::<Tested>()?.ok;
            out.show(&answer, tested)?;
            Ok(if ok { Exit::Ok } else { Exit::Failed })
        }
        Action::Remove { name, force } => {
            let query = if force { "?force=true" } else { "" };
            client.delete(&format!("{PATH}/{name}{query}"))?;
            out.done(format!("Distribution server {name} was removed; its files stay."))
        }
        Action::Report(report) => status_report::report(&report, client, out),
        Action::Repair(repair) => status_report::repair(repair, client, out),
    }
}

fn change(change: Change, client: &Client, out: Output) -> Result<Exit> {
    let mut body = change.common.fields();
    if change.all_components {
        body.insert("components".to_owned(), json!([]));
    }
    for (taken, field) in [(change.no_window, "window"), (change.no_site, "site")] {
        if taken {
            body.insert(field.to_owned(), Value::Null);
        }
    }
    if body.is_empty() {
        let message = "nothing to change was given: see `syncline distribution-server change --help`";
        return Err(CliError::usage(message));
    }
    out.show(&client.patch(&format!("{PATH}/{}", change.name), &Value::Object(body), None)?, details)
}

fn table(servers: &[Shown]) -> String {
    let titles = ["NAME", "SITE", "COMPONENTS", "WINDOW", "LEFT FOR LATER", "CAN BE SCHEDULED"];
    let mut rows = Rows::new(&titles, "There are no distribution servers.");
    for one in servers {
        rows.add([
            one.name.to_string(),
            one.site.as_ref().map(Name::to_string).unwrap_or_default(),
            components(one),
            one.window.as_ref().map(Window::to_string).unwrap_or_default(),
            one.left.iter().map(|left| moment(left.next_try)).min().unwrap_or_default(),
            if one.can_schedule { "yes" } else { "no" }.to_owned(),
        ]);
    }
    rows.render()
}

fn components(one: &Shown) -> String {
    if one.components.is_empty() {
        "all".to_owned()
    } else {
        list(one.components.iter().map(Name::to_string))
    }
}

fn details(one: &Shown) -> String {
    let left = one.left.iter().map(|left| {
        format!("of sync {}, next tried at {}: {}", left.sync, moment(left.next_try), left.reason)
    });
    let can = match &one.reason {
        None => "yes".to_owned(),
        Some(reason) => format!("no: {reason}"),
    };
    fields(&[
        ("name", one.name.to_string()),
        ("can be scheduled", can),
        ("store", one.store.to_string()),
        ("path", one.path.clone()),
        ("components", components(one)),
        ("address", one.address.clone().unwrap_or_default()),
        ("site", one.site.as_ref().map(Name::to_string).unwrap_or_default()),
        (
            "account",
            one.credentials
                .secret
                .as_ref()
                .map_or_else(|| one.credentials.account.clone(), |secret| format!("secret {secret}")),
        ),
        ("window", one.window.as_ref().map(Window::to_string).unwrap_or_default()),
        ("rate", one.bytes_per_second.map(|limit| format!("{} a second", bytes(limit))).unwrap_or_default()),
        ("schedules", list(one.schedules.iter().cloned())),
        ("left for later", left.collect::<Vec<_>>().join("; ")),
        ("description", one.description.clone()),
        ("registered", moment(one.created_at)),
    ])
}

fn tested(test: &Tested) -> String {
    let rights = test.rights.iter().map(|one| {
        let place = if one.place.is_empty() { "/" } else { &one.place };
        format!("{} {place}: {}", one.right, if one.ok { "yes" } else { "no" })
    });
    let cause = test.cause.and_then(|cause| serde_json::to_value(cause).ok());
    fields(&[
        ("result", if test.ok { "a run can fill it" } else { "a run cannot fill it" }.to_owned()),
        ("account", test.account.clone()),
        ("rights", list(rights)),
        ("cause", cause.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()),
        ("why", test.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default()),
        ("free", test.free_bytes.map(bytes).unwrap_or_default()),
    ])
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn only_what_is_given_is_sent() {
        let fields = |line: &[&str]| Line::parse_from(["test"].iter().chain(line)).common.fields();
        assert!(fields(&[]).is_empty());
        let given = fields(&["--component", "patches", "--window", "22:00-05:30", "--day", "fri"]);
        assert_eq!(given["components"], json!(["patches"]));
        let window: Window = serde_json::from_value(given["window"].clone()).unwrap();
        assert_eq!(window.to_string(), "22:00 to 05:30 (UTC, fri)");
        assert!(Line::try_parse_from(["test", "--window", "noon"]).is_err());
    }
}
