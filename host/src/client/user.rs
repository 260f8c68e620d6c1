//! `syncline user`: people who use devices, their subscriptions and keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use syncline_domain::{
    Name,
    device::{
        Colour, GroupPath, Status,
        user::{Key, User},
    },
    directory::Origin,
};

use super::{
    Client, Paging,
    device_views::status,
    named, once,
    user_import::{self, Import},
};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment, moment_or},
};

/// What can be asked. A user is named by its name or its id.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List users
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show one with the keys that hold for it
    Show {
        /// Name or id of the user
        user: String,
    },
    /// Make a user; it has no subscription yet
    Add {
        /// The account's name
        name: String,
        #[command(flatten)]
        spec: Spec,
    },
    /// Make many users out of a table
    Import(#[command(flatten)] Import),
    /// Change what is given, leave the rest
    Set {
        /// Name or id of the user
        user: String,
        /// The account's name
        #[arg(long)]
        name: Option<String>,
        /// Switch it off: its keys are withdrawn, and it cannot be activated
        #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
        disabled: Option<bool>,
        #[command(flatten)]
        spec: Spec,
    },
    /// Issue a subscription, in place of one that stands
    Issue {
        /// Name or id of the user
        user: String,
        /// Let it end after this time, such as 365d; never if absent
        #[arg(long, value_name = "TIME", value_parser = args::duration)]
        expires: Option<Duration>,
    },
    /// Revoke its subscription, and with it its activation and all codes
    Revoke {
        /// Name or id of the user
        user: String,
    },
    /// Make a code that activates it on the device where `syncline-agent activate` is given it; earlier codes are over
    ActivationCode {
        /// Name or id of the user
        user: String,
        /// When it ends
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = args::duration)]
        expires: Duration,
        /// Write it to a new file with mode 0600 instead of printing it
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Remove a user with its subscription; its device is told
    Remove {
        /// Name or id of the user
        user: String,
    },
}

/// Which users: those for which all that is given holds.
#[derive(Debug, Args)]
pub struct Filter {
    /// In this group or below it
    #[arg(long)]
    group: Option<GroupPath>,
    /// Activated on this device, by name or id
    #[arg(long)]
    device: Option<String>,
    /// With this name
    #[arg(long)]
    name: Option<String>,
    /// With this e-mail, in any case
    #[arg(long)]
    email: Option<String>,
    /// Switched off, or not
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// With this word of status, such as issued
    #[arg(long, value_name = "WORD")]
    status: Option<String>,
    /// With this colour
    #[arg(long)]
    colour: Option<Colour>,
}

/// What can be set of a user beside its name.
#[derive(Debug, Args)]
pub struct Spec {
    /// What to call the person
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Its e-mail; an empty text takes it away
    #[arg(long)]
    email: Option<String>,
    /// The group whose keys it has
    #[arg(long)]
    group: Option<GroupPath>,
    /// Key sets of its own by name, in place of all that were there, such as {"vpn": [{"id": "k1", "name": "Office"}]}
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
    keys: Option<Value>,
}

/// A user as the API shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(flatten)]
    user: User,
    status: Status,
    #[serde(default)]
    keys_in_force: BTreeMap<Name, InForce>,
}

#[derive(Debug, Deserialize)]
struct InForce {
    inherited: bool,
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Made {
    code: String,
}

const PATH: &str = "/api/v1/users";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    let at = |user: &str| named::user(client, user).map(|id| format!("{PATH}/{id}"));
    match action {
        Action::List { filter, paging } => {
            client.show_list(out, PATH, &filter.query(client)?, &paging, table)
        }
        Action::Show { user } => out.show(&client.get(&at(&user)?)?, details),
        Action::Add { name, spec } => out.show(&client.post(PATH, &spec.body(Some(name), None))?, details),
        Action::Import(import) => user_import::run(&import, client, out),
        Action::Set { user, name, disabled, spec } => {
            let body = spec.body(name, disabled);
            if body.as_object().is_none_or(Map::is_empty) {
                return Err(CliError::usage("nothing to change was given: see `syncline user set --help`"));
            }
            out.show(&client.patch(&at(&user)?, &body, None)?, details)
        }
        Action::Issue { user, expires } => {
            let body = until(expires)?;
            out.show(&client.post(&format!("{}/subscription", at(&user)?), &body)?, details)
        }
        Action::Revoke { user } => {
            client.delete(&format!("{}/subscription", at(&user)?))?;
            out.done(format!("The subscription of user {user} was revoked."))
        }
        Action::ActivationCode { user, expires, output } => {
            let (path, body) = (format!("{}/activation-codes", at(&user)?), until(Some(expires))?);
            once::give_out(out, output, "The code", || client.post(&path, &body), |made: Made| made.code)
        }
        Action::Remove { user } => {
            client.delete(&at(&user)?)?;
            out.done(format!("User {user} was removed."))
        }
    }
}

fn until(expires: Option<Duration>) -> Result<Value> {
    let at = expires.map(args::from_now).transpose()?;
    Ok(at.map_or_else(|| json!({}), |at| json!({ "expires_at": at })))
}

impl Filter {
    fn query(self, client: &Client) -> Result<[(&'static str, Option<String>); 7]> {
        let device = self.device.map(|text| named::device(client, &text)).transpose()?;
        Ok([
            ("group", self.group.map(|group| group.to_string())),
            ("device", device.map(|id| id.to_string())),
            ("name", self.name),
            ("email", self.email),
            ("disabled", self.disabled.map(|disabled| disabled.to_string())),
            ("status", self.status),
            ("colour", self.colour.map(|colour| colour.to_string())),
        ])
    }
}

impl Spec {
    fn body(self, name: Option<String>, disabled: Option<bool>) -> Value {
        let given = [
            ("name", name.map(Value::from)),
            ("display_name", self.display_name.map(Value::from)),
            ("email", self.email.map(Value::from)),
            ("disabled", disabled.map(Value::from)),
            ("group", self.group.map(|group| json!(group))),
            ("keys", self.keys),
        ];
        Value::Object(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

fn table(users: &[Shown]) -> String {
    let headings = ["ID", "NAME", "CALLED", "E-MAIL", "GROUP", "STATUS", "SINCE", "DEVICE", "FROM"];
    let mut rows = Rows::new(&headings, "There are no users.");
    for one in users {
        let Shown { user, .. } = one;
        rows.add([
            user.id.to_string(),
            user.name.clone(),
            user.display_name.clone(),
            user.email.clone().unwrap_or_default(),
            user.group.to_string(),
            status(&one.status),
            moment(one.status.since),
            user.device.map(|id| id.to_string()).unwrap_or_default(),
            list(user.origins.values().map(|origin| &origin.sync).collect::<BTreeSet<_>>()),
        ]);
    }
    rows.render()
}

fn details(shown: &Shown) -> String {
    let Shown { user, status: now, keys_in_force } = shown;
    let subscription = match &user.subscription {
        None => "none".to_owned(),
        Some(one) => {
            let until = one.expires_at.map(|at| format!(" until {}", moment(at))).unwrap_or_default();
            format!("issued {}{until}", moment(one.issued_at))
        }
    };
    let head = fields(&[
        ("user", user.id.to_string()),
        ("name", user.name.clone()),
        ("called", user.display_name.clone()),
        ("e-mail", user.email.clone().unwrap_or_default()),
        ("disabled", if user.disabled { "yes" } else { "" }.to_owned()),
        ("group", user.group.to_string()),
        ("status", status(now)),
        ("why", now.reason.clone()),
        ("since", moment(now.since)),
        ("subscription", subscription),
        ("device", user.device.map(|id| id.to_string()).unwrap_or_default()),
        ("activated", moment_or(user.activated_at, "")),
        ("changed", moment(user.changed_at)),
        ("server synced", moment_or(user.server_synced_at, "never")),
        ("device synced", moment_or(user.device_synced_at, "never")),
        ("made", moment(user.created_at)),
    ]);
    let mut rows = Rows::new(&["KEY SET", "FROM", "KEY", "NAME"], "It has no keys.");
    for (set, InForce { inherited, keys }) in keys_in_force {
        let from = if *inherited { "its group" } else { "its own" };
        for key in keys {
            rows.add([set.to_string(), from.to_owned(), key.id.clone(), key.name.clone()]);
        }
        if keys.is_empty() {
            rows.add([set.to_string(), from.to_owned(), String::new(), "(none)".to_owned()]);
        }
    }
    let mut parts = vec![head, rows.render()];
    if !user.origins.is_empty() {
        parts.push(origins(user));
    }
    parts.join("\n\n")
}

/// Where each value comes from that a directory gave.
fn origins(user: &User) -> String {
    let mut rows = Rows::new(&["VALUE", "FROM", "SYNC", "SINCE"], "");
    for (field, Origin { sync, source, at }) in &user.origins {
        rows.add([field.replace('_', " "), source.clone(), sync.to_string(), moment(*at)]);
    }
    rows.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_tells_its_status_and_the_keys_that_hold() {
        let user: Shown = serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000001", "name": "ann", "display_name": "Ann A.", "group": "/sales",
            "email": "ann@example.com", "disabled": true,
            "origins": {
                "display_name": {"sync": "people", "source": "displayName", "at": "2026-11-20T09:00:00Z"},
                "disabled": {"sync": "people", "source": "enabled", "at": "2026-11-22T09:00:00Z"},
            },
            "keys": {"vpn": []}, "device": "01930000-0000-7000-8000-000000000002", "changed_at": "2026-11-22T10:00:00Z",
            "subscription": {"id": "01930000-0000-7000-8000-000000000003", "issued_at": "2026-11-20T10:00:00Z",
                "expires_at": "2027-11-20T10:00:00Z"},
            "activated_at": "2026-11-21T10:00:00Z", "server_synced_at": "2026-11-22T10:00:00Z",
            "device_synced_at": "2026-11-22T10:00:01Z", "failure": null, "created_at": "2026-11-20T09:00:00Z",
            "revision": 3,
            "status": {"colour": "grey", "mark": false, "state": "disabled", "since": "2026-11-22T09:00:00Z",
                "reason": "Switched off."},
            "keys_in_force": {"mail": {"inherited": true, "keys": [{"id": "m1", "name": "Mail", "parameters": {}}]},
                "vpn": {"inherited": false, "keys": []}},
        }))
        .unwrap();
        insta::assert_snapshot!(format!("{}\n\n{}", details(&user), table(&[user])));
    }
}
