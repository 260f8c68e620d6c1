//! `syncline policy`: settings of applications, where they hold, and their versions.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use syncline_domain::{
    Name,
    device::{
        GroupPath,
        policy::{Place, Policy, PolicySpec, PolicyVersion},
    },
    ids::PolicyId,
};

use super::{Client, Paging, named};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List policies
    List {
        /// Of this application
        #[arg(long)]
        application: Option<Name>,
    },
    /// Show one, as it is or as it was
    Show {
        /// Id of the policy
        id: PolicyId,
        /// What it said in this version
        #[arg(long)]
        version: Option<u64>,
    },
    /// Make a policy, and publish what devices should hold by it
    Add(Box<Add>),
    /// Change what is given, leave the rest: a new version, which is published
    Set(Box<Set>),
    /// Bring back what it said in an old version, as a new version
    Rollback {
        /// Id of the policy
        id: PolicyId,
        /// The version, as `syncline policy versions` shows it
        #[arg(long)]
        version: u64,
        /// Why, for those who look at the versions
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List its versions, the newest first
    Versions {
        /// Id of the policy
        id: PolicyId,
        #[command(flatten)]
        paging: Paging,
    },
    /// Remove a policy with its versions; devices get what the others say
    Remove {
        /// Id of the policy
        id: PolicyId,
    },
}

/// A new policy.
#[derive(Debug, Args)]
pub struct Add {
    /// The application
    application: Name,
    #[command(flatten)]
    place: Where,
    /// The settings: a JSON object
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
    settings: Value,
    /// Let no stronger layer change what stands at this JSON Pointer; can be repeated
    #[arg(long = "lock", value_name = "POINTER")]
    locks: Vec<String>,
    /// Let it not hold yet
    #[arg(long)]
    disabled: bool,
    /// Among policies on selections, the higher one is the stronger
    #[arg(long, value_name = "NUMBER", requires = "selection", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Why, for those who look at the versions
    #[arg(long, default_value = "")]
    note: String,
}

/// Where a policy holds.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Where {
    /// In this group and those below it
    #[arg(long)]
    group: Option<GroupPath>,
    /// On the devices of this selection
    #[arg(long)]
    selection: Option<Name>,
    /// On this device alone, by name or id
    #[arg(long)]
    device: Option<String>,
}

/// A change.
#[derive(Debug, Args)]
pub struct Set {
    /// Id of the policy
    id: PolicyId,
    /// The settings, in place of all that were there
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
    settings: Option<Value>,
    /// Let no stronger layer change what stands at this JSON Pointer; can be repeated
    #[arg(long = "lock", value_name = "POINTER")]
    locks: Vec<String>,
    /// Take a lock away; can be repeated
    #[arg(long = "unlock", value_name = "POINTER")]
    unlocks: Vec<String>,
    /// Whether it holds at all
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    enabled: Option<bool>,
    /// Why, for those who look at the versions
    #[arg(long, default_value = "")]
    note: String,
}

const PATH: &str = "/api/v1/policies";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List { application } => {
            let query = [("application", application.map(|name| name.to_string()))];
            client.show_list(out, PATH, &query, &Paging::ALL, table)
        }
        Action::Show { id, version: None } => out.show(&client.get(&format!("{PATH}/{id}"))?, details),
        Action::Show { id, version: Some(version) } => show_version(id, version, client, out),
        Action::Add(add) => {
            let body = add.body(client)?;
            out.show(&client.post(PATH, &body)?, details)
        }
        Action::Set(set) => set.send(client, out),
        Action::Rollback { id, version, note } => {
            let body = json!({ "version": version, "note": note });
            out.show(&client.post(&format!("{PATH}/{id}/rollback"), &body)?, details)
        }
        Action::Versions { id, paging } => {
            client.show_list(out, &format!("{PATH}/{id}/versions"), &[], &paging, versions)
        }
        Action::Remove { id } => {
            client.delete(&format!("{PATH}/{id}"))?;
            out.done(format!("Policy {id} was removed."))
        }
    }
}

impl Add {
    fn body(self, client: &Client) -> Result<Value> {
        let place = match (self.place.device, self.place.selection, self.place.group) {
            (Some(device), _, _) => Place::Device(named::device(client, &device)?),
            (None, Some(name), _) => Place::Selection { name, priority: self.priority.unwrap_or(0) },
            (None, None, group) => Place::Group(group.unwrap_or_else(GroupPath::root)),
        };
        Ok(json!({
            "application": self.application,
            "place": place,
            "settings": self.settings,
            "locks": self.locks,
            "enabled": !self.disabled,
            "note": self.note,
        }))
    }
}

impl Set {
    /// Reads the policy, changes what is given, and writes it back unless someone else was faster.
    fn send(self, client: &Client, out: Output) -> Result<Exit> {
        let path = format!("{PATH}/{}", self.id);
        let answer = client.get(&path)?;
        let before = answer.parse::<Policy>()?.spec;
        let after = self.changed(before.clone());
        if after == before {
            return Err(CliError::usage(format!(
                "nothing of policy {} would change: see `syncline policy set --help`",
                self.id
            )));
        }
        let Ok(Value::Object(mut body)) = serde_json::to_value(after) else {
            return Err(CliError::failed("the policy cannot be written as JSON"));
        };
        body.insert("note".to_owned(), self.note.into());
        out.show(&client.put(&path, &Value::Object(body), answer.etag.as_deref())?, details)
    }

    fn changed(&self, mut spec: PolicySpec) -> PolicySpec {
        spec.settings = self.settings.clone().unwrap_or(spec.settings);
        spec.enabled = self.enabled.unwrap_or(spec.enabled);
        spec.locks.retain(|lock| !self.unlocks.contains(lock));
        for lock in &self.locks {
            if !spec.locks.contains(lock) {
                spec.locks.push(lock.clone());
            }
        }
        spec
    }
}

fn show_version(id: PolicyId, version: u64, client: &Client, out: Output) -> Result<Exit> {
    let (items, _) = client.read_list(&format!("{PATH}/{id}/versions"), &[], &Paging::ALL)?;
    let Some(found) = items.into_iter().find(|one| one["version"] == version) else {
        return Err(CliError::failed(format!("policy {id} has no version {version}"))
            .hint(format!("`syncline policy versions {id}` shows those that it has")));
    };
    if out.is_json() {
        out.line(found)?;
        return Ok(Exit::Ok);
    }
    let found: PolicyVersion = serde_json::from_value(found)
        .map_err(|error| CliError::failed(format!("the server's list makes no sense: {error}")))?;
    let mut shown = vec![("policy", id.to_string()), ("version", version.to_string())];
    shown.extend(said(&found.spec));
    shown.extend([("made", moment(found.at)), ("by", found.actor), ("note", found.note)]);
    out.line(fields(&shown))?;
    Ok(Exit::Ok)
}

fn table(policies: &[Policy]) -> String {
    let headings = ["ID", "APPLICATION", "WHERE", "VERSION>", "HOLDS", "LOCKS", "CHANGED"];
    let mut rows = Rows::new(&headings, "There are no policies.");
    for Policy { id, spec, version, updated_at, .. } in policies {
        rows.add([
            id.to_string(),
            spec.application.to_string(),
            place(&spec.place),
            version.to_string(),
            yes(spec.enabled),
            locks(&spec.locks),
            moment(*updated_at),
        ]);
    }
    rows.render()
}

fn details(policy: &Policy) -> String {
    let mut shown = vec![("policy", policy.id.to_string()), ("version", policy.version.to_string())];
    shown.extend(said(&policy.spec));
    shown.extend([("made", moment(policy.created_at)), ("changed", moment(policy.updated_at))]);
    fields(&shown)
}

fn said(spec: &PolicySpec) -> [(&'static str, String); 5] {
    [
        ("application", spec.application.to_string()),
        ("where", place(&spec.place)),
        ("settings", spec.settings.to_string()),
        ("locks", locks(&spec.locks)),
        ("holds", yes(spec.enabled)),
    ]
}

fn versions(versions: &[PolicyVersion]) -> String {
    let mut rows = Rows::new(&["VERSION>", "MADE", "BY", "NOTE", "SETTINGS"], "There are no versions.");
    for one in versions {
        let note = match one.restored_from {
            Some(from) if one.note.is_empty() => format!("version {from} again"),
            Some(from) => format!("{} (version {from} again)", one.note),
            None => one.note.clone(),
        };
        let settings = one.spec.settings.to_string();
        rows.add([one.version.to_string(), moment(one.at), one.actor.clone(), note, short(&settings)]);
    }
    rows.render()
}

/// Where a policy holds, as people read it.
pub fn place(place: &Place) -> String {
    match place {
        Place::Group(group) => format!("group {group}"),
        Place::Selection { name, priority: 0 } => format!("selection {name}"),
        Place::Selection { name, priority } => format!("selection {name}, priority {priority}"),
        Place::Device(device) => format!("device {device}"),
    }
}

fn locks(locks: &[String]) -> String {
    list(locks.iter().map(|lock| if lock.is_empty() { "everything" } else { lock.as_str() }))
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// What fits into a table.
fn short(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: Set,
    }

    const ID: &str = "01930000-0000-7000-8000-000000000001";

    fn policy() -> Policy {
        serde_json::from_value(json!({
            "id": ID, "application": "browser", "place": {"selection": {"name": "laptops", "priority": 5}},
            "settings": {"home": "a"}, "locks": ["/home", ""], "enabled": true, "version": 3,
            "created_at": "2026-11-22T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn a_change_leaves_what_is_not_given() {
        let changed = |line: &[&str]| {
            let line = ["test", ID].iter().chain(line);
            Line::parse_from(line).set.changed(policy().spec)
        };
        assert_eq!(changed(&[]), policy().spec);
        let after = changed(&["--unlock", "", "--lock", "/a", "--lock", "/home", "--enabled", "false"]);
        assert_eq!((after.locks, after.enabled), (vec!["/home".to_owned(), "/a".to_owned()], false));
        assert_eq!(after.settings, policy().spec.settings);
        assert_eq!(changed(&["--settings", "{\"b\":1}"]).settings, json!({"b": 1}));
    }

    #[test]
    fn a_policy_and_its_versions() {
        let version: PolicyVersion = serde_json::from_value(json!({
            "version": 3, "application": "browser", "place": {"group": "/"}, "settings": {"home": "x".repeat(80)},
            "at": "2026-11-22T10:00:00Z", "actor": "ana", "note": "oops", "restored_from": 1,
        }))
        .unwrap();
        insta::assert_snapshot!(format!(
            "{}\n\n{}\n\n{}",
            table(&[policy()]),
            details(&policy()),
            versions(&[version])
        ));
    }
}
