//! `syncline directory-entry`: who and what was read from directories, and what people decide about it.

use clap::{Args, Subcommand};
use serde_json::json;
use syncline_domain::{
    Name,
    directory::{Attribute, EntryKind, EntryRecord, LinkState, Reference, RejectionRecord, Value},
    ids::DirectoryEntryId,
};

use super::{Answer, Client, Paging, named};
use crate::{
    outcome::{Exit, Result},
    output::{Output, Rows, bytes, fields, list, moment, moment_or, print_error},
};

/// What can be asked. An entry is named by its id here; `list` shows it.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List directory entries
    List {
        #[command(flatten)]
        filter: Box<Filter>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show one with all that is known of it
    Show {
        /// Id of the entry
        id: DirectoryEntryId,
    },
    /// Have a user go by a person of a directory: kept as the entry is from then on
    Link {
        /// Id of the entry
        id: DirectoryEntryId,
        /// Name or id of a user that is there; a new one if absent
        #[arg(long)]
        user: Option<String>,
    },
    /// Let the user go: it stays as it is, and no run links the entry again; one that is gone in the directory is forgotten
    Unlink(Which),
    /// Do not import it again until it is un-ignored; its user is let go
    Ignore(Which),
    /// Take back that it is ignored
    Unignore(Which),
    /// Delete it here with its user; one that is still in the directory is ignored from then on, an orphan is forgotten
    Delete(Which),
    /// List what a sync read and could not take over; it is tried again in every run
    Rejected {
        /// Name of the sync
        sync: Name,
        #[command(flatten)]
        paging: Paging,
    },
}

/// Some entries. Each is done by itself: where one is refused, the others are done, and the exit code is 1.
#[derive(Debug, Args)]
pub struct Which {
    /// Ids of the entries
    #[arg(required = true, value_name = "ID")]
    ids: Vec<DirectoryEntryId>,
}

/// Which entries: those for which all that is given holds.
#[derive(Debug, Args)]
pub struct Filter {
    /// In this state: unlinked, linked, ignored or orphaned
    #[arg(long)]
    state: Option<LinkState>,
    /// Of this kind: person, group, computer or unit
    #[arg(long)]
    kind: Option<EntryKind>,
    /// Read by this sync
    #[arg(long)]
    sync: Option<Name>,
    /// Read by a sync of this source
    #[arg(long)]
    source: Option<Name>,
    /// About which a person has to decide, or not
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    held: Option<bool>,
    /// Whose user this is, by name or id
    #[arg(long)]
    user: Option<String>,
    /// With this in its name or e-mail, in any case, or known by it in the directory
    #[arg(long)]
    text: Option<String>,
}

const PATH: &str = "/api/v1/directory-entries";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List { filter, paging } => {
            client.show_list(out, PATH, &filter.query(client)?, &paging, table)
        }
        Action::Show { id } => out.show(&client.get(&format!("{PATH}/{id}"))?, details),
        Action::Link { id, user } => {
            let user = user.map(|user| named::user(client, &user)).transpose()?;
            let body = user.map_or_else(|| json!({}), |user| json!({ "user": user }));
            out.show(&client.post(&format!("{PATH}/{id}/link"), &body)?, became)
        }
        Action::Unlink(which) => each(&which, out, |id| client.post_empty(&format!("{PATH}/{id}/unlink"))),
        Action::Ignore(which) => each(&which, out, |id| client.post_empty(&format!("{PATH}/{id}/ignore"))),
        Action::Unignore(which) => {
            each(&which, out, |id| client.post_empty(&format!("{PATH}/{id}/unignore")))
        }
        Action::Delete(which) => each(&which, out, |id| client.delete(&format!("{PATH}/{id}"))),
        Action::Rejected { sync, paging } => {
            let path = format!("/api/v1/syncs/{sync}/rejections");
            client.show_list(out, &path, &[], &paging, rejections)
        }
    }
}

/// Does something to each of them, and tells of each what became of it, or why it was refused. Stops where the server cannot be
/// reached.
fn each(which: &Which, out: Output, ask: impl Fn(DirectoryEntryId) -> Result<Answer>) -> Result<Exit> {
    let mut exit = Exit::Ok;
    for id in &which.ids {
        match ask(*id) {
            // An answer without a body: nothing is known of it any more.
            Ok(answer) if answer.text.is_empty() => {
                out.done(format!("Entry {id} is forgotten."))?;
            }
            Ok(answer) => {
                out.show(&answer, became)?;
            }
            Err(error) if error.exit == Exit::Failed => {
                print_error(&error);
                exit = Exit::Failed;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit)
}

impl Filter {
    fn query(&self, client: &Client) -> Result<[(&'static str, Option<String>); 7]> {
        let user = self.user.as_deref().map(|user| named::user(client, user)).transpose()?;
        Ok([
            ("state", self.state.map(|state| state.to_string())),
            ("kind", self.kind.map(|kind| kind.to_string())),
            ("sync", self.sync.as_ref().map(Name::to_string)),
            ("source", self.source.as_ref().map(Name::to_string)),
            ("held", self.held.map(|held| held.to_string())),
            ("user", user.map(|id| id.to_string())),
            ("q", self.text.clone()),
        ])
    }
}

fn became(one: &EntryRecord) -> String {
    let user = one.user.map(|id| format!("; its user is {id}")).unwrap_or_default();
    let name = crate::output::plain(&one.name);
    format!("Entry {} ({} {name}) is {}{user}.", one.id, one.kind, one.state)
}

fn table(entries: &[EntryRecord]) -> String {
    let headings = ["ID", "KIND", "NAME", "E-MAIL", "STATE", "USER", "SYNC", "HELD"];
    let mut rows = Rows::new(&headings, "There are no directory entries.");
    for one in entries {
        rows.add([
            one.id.to_string(),
            one.kind.to_string(),
            one.name.clone(),
            one.attributes.iter().find(|one| one.name == "email").map(values).unwrap_or_default(),
            one.state.to_string(),
            one.user.map(|id| id.to_string()).unwrap_or_default(),
            one.sync.to_string(),
            one.held.clone().unwrap_or_default(),
        ]);
    }
    rows.render()
}

fn details(one: &EntryRecord) -> String {
    let enabled = if one.enabled { "" } else { "locked or switched off there" };
    let head = fields(&[
        ("entry", one.id.to_string()),
        ("kind", one.kind.to_string()),
        ("name", one.name.clone()),
        ("state", one.state.to_string()),
        ("held", one.held.clone().unwrap_or_default()),
        ("user", one.user.map(|id| id.to_string()).unwrap_or_default()),
        ("device", one.device.map(|id| id.to_string()).unwrap_or_default()),
        ("sync", one.sync.to_string()),
        ("known there by", one.entry.to_string()),
        ("also as", one.aliases.join("; ")),
        ("in", one.parent.as_ref().map(reference).unwrap_or_default()),
        ("account", enabled.to_owned()),
        ("first read", moment(one.created_at)),
        ("changed", moment(one.changed_at)),
        ("gone since", moment_or(one.gone_at, "")),
    ]);
    let mut rows = Rows::new(&["ATTRIBUTE", "FROM", "VALUE"], "Nothing more is known of it.");
    for attribute in &one.attributes {
        rows.add([attribute.name.clone(), attribute.source.clone(), values(attribute)]);
    }
    format!("{head}\n\n{}", rows.render())
}

fn values(attribute: &Attribute) -> String {
    list(attribute.values.iter().map(|value| match value {
        Value::Text(text) => text.clone(),
        Value::Bytes(all) => format!("({})", bytes(all.len() as u64)),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Time(at) => moment(*at),
        Value::Reference(to) => reference(to),
    }))
}

fn reference(to: &Reference) -> String {
    match to {
        Reference::Id(id) => id.to_string(),
        Reference::Alias(alias) => alias.clone(),
    }
}

fn rejections(rejected: &[RejectionRecord]) -> String {
    let mut rows = Rows::new(&["NAME", "ENTRY", "SINCE", "WHY"], "Everything that was read was taken over.");
    for one in rejected {
        rows.add([
            one.name.clone(),
            one.entry.as_ref().map(ToString::to_string).unwrap_or_default(),
            moment(one.since),
            one.reason.message.clone(),
        ]);
    }
    rows.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> EntryRecord {
        serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000001", "sync": "people", "kind": "person", "name": "Ada\u{7} L.",
            "entry": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "aliases": ["uid=ada,ou=staff,dc=example,dc=com"],
            "parent": {"alias": "ou=staff,dc=example,dc=com"}, "enabled": false, "state": "orphaned",
            "attributes": [
                {"name": "email", "source": "mail", "values": [{"text": "ada@example.com"}]},
                {"name": "manager", "source": "manager", "values": [{"reference": {"id": "42"}}, {"number": 7}]},
                {"name": "photo", "source": "jpegPhoto", "values": [{"bytes": "AAECAw=="}]},
            ],
            "user": "01930000-0000-7000-8000-000000000002", "device": null, "held": null,
            "created_at": "2026-11-22T10:00:00Z", "changed_at": "2026-11-23T10:00:00Z",
            "gone_at": "2026-11-24T10:00:00Z", "revision": 4,
        }))
        .unwrap()
    }

    #[test]
    fn an_entry_tells_its_state_and_where_each_value_comes_from() {
        let mut twin = ada();
        twin.state = LinkState::Unlinked;
        twin.user = None;
        twin.held = Some("user \"Ada\" has the e-mail \"ada@example.com\" already".to_owned());
        insta::assert_snapshot!(format!(
            "{}\n\n{}\n\n{}",
            details(&ada()),
            became(&ada()),
            table(&[ada(), twin])
        ));
    }

    #[test]
    fn what_was_rejected_says_why() {
        let rejected: Vec<RejectionRecord> = serde_json::from_value(json!([{
            "sync": "people", "entry": null, "name": "uid=broken,dc=example,dc=com", "since": "2026-11-22T10:00:00Z",
            "reason": {"kind": "invalid", "fault": "remote", "code": "no-identity", "message": "it has no entryUUID"},
        }]))
        .unwrap();
        insta::assert_snapshot!(rejections(&rejected), @r"
        NAME                          ENTRY  SINCE                 WHY
        uid=broken,dc=example,dc=com         2026-11-22T10:00:00Z  it has no entryUUID
        ");
    }
}
