//! `syncline schedule`: when syncs run by themselves.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_domain::{
    Name,
    ids::{OperationId, RunId, ScheduleId},
    run::RunState,
    schedule::{Overlap, Refusal, ScheduleSpec, When},
    sync::Pace,
};

use super::{Client, Paging};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment, moment_or},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all schedules
    List,
    /// Show one
    Show {
        /// Id of the schedule
        id: ScheduleId,
    },
    /// Have a sync run by itself, or components brought to distribution servers
    Add(Box<Add>),
    /// Run schedules at once, in the background; their own times stay
    Run {
        /// Ids of the schedules
        #[arg(required = true)]
        ids: Vec<ScheduleId>,
    },
    /// Show schedules that were run at once, and how far they are
    ShowRun {
        /// Id of the operation
        id: OperationId,
    },
    /// Let no tick fire until it is resumed
    Pause {
        /// Id of the schedule
        id: ScheduleId,
        /// Why, for whoever finds it paused
        #[arg(long, default_value = "paused by hand")]
        reason: String,
    },
    /// Let a paused schedule go on; what it missed is not made up for
    Resume {
        /// Id of the schedule
        id: ScheduleId,
    },
    /// Remove a schedule; runs that it began go on
    Remove {
        /// Id of the schedule
        id: ScheduleId,
    },
}

/// A new schedule.
#[derive(Debug, Args)]
pub struct Add {
    /// The sync that runs; in place of --component and --server
    #[arg(required_unless_present = "components", conflicts_with = "components")]
    sync: Option<Name>,
    /// A collection to bring to the servers; can be repeated, and engines-and-definitions is both of these
    #[arg(long = "component", value_name = "COLLECTION", requires = "servers")]
    components: Vec<String>,
    /// A distribution server; can be repeated
    #[arg(long = "server", value_name = "SERVER", requires = "components")]
    servers: Vec<Name>,
    /// What the sync is called that is made for them; after the schedule if absent
    #[arg(long, requires = "components")]
    name: Option<Name>,
    /// Servers of each site that are filled at once; all if absent
    #[arg(long, value_name = "COUNT", requires = "components")]
    servers_at_once: Option<u32>,
    /// Files that are written at once on the servers of each site
    #[arg(long, value_name = "COUNT", requires = "components")]
    files_at_once: Option<u32>,
    /// Time from the start of one server of a site to that of the next
    #[arg(long, value_name = "TIME", value_parser = args::seconds, default_value = "0s")]
    stagger: u32,
    #[command(flatten)]
    when: Rule,
    /// Zone of --cron, and of --at where it names none
    #[arg(long, value_name = "IANA NAME", default_value = "UTC")]
    time_zone: String,
    /// Move each tick later by up to this time, always the same for one tick
    #[arg(long, value_name = "TIME", value_parser = args::seconds, default_value = "0s")]
    jitter: u32,
    /// What happens to a tick while an earlier run has not ended
    #[arg(long, value_enum, default_value = "skip")]
    overlap: Overlapping,
    /// Skip a tick that is late by more than this time, since the server was down
    #[arg(long, value_name = "TIME", value_parser = args::seconds, default_value = "1h")]
    catch_up: u32,
    /// Let any node fire it, not only the one that is asked
    #[arg(long)]
    cluster: bool,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
}

/// When it fires.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Rule {
    /// Every so often, such as 15m
    #[arg(long, value_name = "TIME", value_parser = args::seconds)]
    every: Option<u32>,
    /// By a cron expression, such as "30 2 * * 1-5"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Once, such as 2026-12-01T02:00
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// What happens to a tick while an earlier run has not ended.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Overlapping {
    /// It is recorded as skipped
    Skip,
    /// It waits; while one waits, further ones are skipped
    QueueOne,
    /// The earlier run is cancelled and this one runs after it
    CancelOther,
}

/// A schedule as the API shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    id: ScheduleId,
    sync: Name,
    components: Option<Vec<Name>>,
    servers: Option<Vec<Name>>,
    #[serde(default)]
    warnings: Vec<String>,
    when: When,
    #[serde(default)]
    jitter_seconds: u32,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    catch_up_seconds: u32,
    paused: Option<String>,
    #[serde(default)]
    description: String,
    owner: Owner,
    next_run: Option<Timestamp>,
    last_nominal: Option<Timestamp>,
    created_at: Timestamp,
}

/// Whose it is.
#[derive(Debug, Deserialize)]
struct Owner {
    kind: String,
    name: Option<String>,
    #[serde(default)]
    gone: bool,
}

const PATH: &str = "/api/v1/schedules";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { id } => out.show(&client.get(&format!("{PATH}/{id}"))?, details),
        Action::Add(add) => out.show(&client.post(PATH, &add.body()?)?, details),
        Action::Run { ids } => {
            out.show(&client.post(&format!("{PATH}/run"), &json!({ "ids": ids }))?, operation)
        }
        Action::ShowRun { id } => {
            out.show(&client.get(&format!("/api/v1/schedule-operations/{id}"))?, operation)
        }
        Action::Pause { id, reason } => {
            out.show(&client.post(&format!("{PATH}/{id}/pause"), &json!({ "reason": reason }))?, details)
        }
        Action::Resume { id } => out.show(&client.post_empty(&format!("{PATH}/{id}/resume"))?, details),
        Action::Remove { id } => {
            client.delete(&format!("{PATH}/{id}"))?;
            out.done(format!("Schedule {id} was removed."))
        }
    }
}

impl Add {
    fn body(self) -> Result<Value> {
        let when = match (self.when.every, self.when.cron, self.when.at) {
            (Some(seconds), _, _) => When::Interval { seconds, anchor: None },
            (_, Some(expression), _) => When::Cron { expression, time_zone: self.time_zone },
            (_, _, at) => When::Once { at: args::moment(&at.unwrap_or_default(), &self.time_zone)? },
        };
        let overlap = match self.overlap {
            Overlapping::Skip => Overlap::Skip,
            Overlapping::QueueOne => Overlap::QueueOne,
            Overlapping::CancelOther => Overlap::CancelOther,
        };
        let mut body = json!(ScheduleSpec {
            sync: self.sync.clone().map_or_else(made_anew, Ok)?,
            when,
            jitter_seconds: self.jitter,
            overlap,
            catch_up_seconds: self.catch_up,
            paused: None,
            description: self.description,
        });
        body["owner"] = if self.cluster { "cluster" } else { "node" }.into();
        if let (None, Some(fields)) = (&self.sync, body.as_object_mut()) {
            fields.remove("sync");
            fields.insert("components".to_owned(), json!(self.components));
            fields.insert("servers".to_owned(), json!(self.servers));
            fields.insert("name".to_owned(), json!(self.name));
            let pace = Pace {
                servers_at_once: self.servers_at_once,
                files_at_once: self.files_at_once,
                stagger_seconds: self.stagger,
            };
            fields.insert("pace".to_owned(), json!(pace));
        }
        Ok(body)
    }
}

fn table(schedules: &[Shown]) -> String {
    let mut rows =
        Rows::new(&["ID", "SYNC", "WHEN", "NEXT RUN", "OWNER", "PAUSED"], "There are no schedules.");
    for one in schedules {
        rows.add([
            one.id.to_string(),
            one.sync.to_string(),
            when(&one.when),
            next(one),
            owner(&one.owner),
            one.paused.clone().unwrap_or_default(),
        ]);
    }
    rows.render()
}

fn details(one: &Shown) -> String {
    let seconds = |seconds: u32| if seconds == 0 { String::new() } else { length(seconds) };
    let overlap = match one.overlap {
        Overlap::Skip => "skip",
        Overlap::QueueOne => "queue one",
        Overlap::CancelOther => "cancel the other",
    };
    fields(&[
        ("id", one.id.to_string()),
        ("sync", one.sync.to_string()),
        ("components", names(one.components.as_deref())),
        ("servers", names(one.servers.as_deref())),
        ("warning", one.warnings.join("; ")),
        ("when", when(&one.when)),
        ("next run", next(one)),
        ("last tick", moment_or(one.last_nominal, "")),
        ("paused", one.paused.clone().unwrap_or_default()),
        ("owner", owner(&one.owner)),
        ("jitter", seconds(one.jitter_seconds)),
        ("overlap", overlap.to_owned()),
        ("catch up", seconds(one.catch_up_seconds)),
        ("description", one.description.clone()),
        ("made", moment(one.created_at)),
    ])
}

/// In place of a sync that is made with the schedule.
fn made_anew() -> Result<Name> {
    "made".parse().map_err(|error| CliError::usage(format!("{error}")))
}

fn names(of: Option<&[Name]>) -> String {
    list(of.unwrap_or_default().iter().map(Name::to_string))
}

/// Schedules that were run at once, as the API shows them.
#[derive(Debug, Deserialize)]
struct Operation {
    id: OperationId,
    done: bool,
    entries: Vec<Entry>,
}

/// One of them.
#[derive(Debug, Deserialize)]
struct Entry {
    schedule: ScheduleId,
    sync: Option<Name>,
    run: Option<RunId>,
    state: Option<RunState>,
    reason: Option<String>,
    refusal: Option<Refusal>,
}

fn operation(operation: &Operation) -> String {
    let mut rows = Rows::new(&["SCHEDULE", "SYNC", "RUN", "STATE", "WHY"], "There are no schedules.");
    for one in &operation.entries {
        let refused = one.refusal.as_ref().map(|refusal| refusal.detail.clone());
        rows.add([
            one.schedule.to_string(),
            one.sync.as_ref().map(Name::to_string).unwrap_or_default(),
            one.run.map(|run| run.to_string()).unwrap_or_default(),
            one.state.map_or_else(|| "not begun".to_owned(), |state| state.to_string()),
            refused.or_else(|| one.reason.clone()).unwrap_or_default(),
        ]);
    }
    let how = if operation.done { "done" } else { "under way" };
    format!("{}\n\nOperation {} is {how}.", rows.render(), operation.id)
}

fn next(one: &Shown) -> String {
    if one.paused.is_some() { "paused".to_owned() } else { moment_or(one.next_run, "none") }
}

fn owner(owner: &Owner) -> String {
    let name = owner.name.clone().unwrap_or_else(|| owner.kind.clone());
    if owner.gone { format!("{name} (gone)") } else { name }
}

/// A rule as people read it.
pub fn when(when: &When) -> String {
    match when {
        When::Interval { seconds, .. } => format!("every {}", length(*seconds)),
        When::Cron { expression, time_zone } => format!("{expression} ({time_zone})"),
        When::Once { at } => format!("once at {}", moment(*at)),
    }
}

/// Seconds as `1h30m`.
fn length(seconds: u32) -> String {
    let units =
        [(seconds / 86_400, 'd'), (seconds / 3_600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let parts: Vec<String> = units
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    fn body(line: &[&str]) -> Result<Value> {
        Line::parse_from(["test"].iter().chain(line)).add.body()
    }

    #[test]
    fn each_kind_of_rule_becomes_what_the_api_takes() {
        let every = body(&["nightly", "--every", "1h30m", "--jitter", "30s"]).unwrap();
        assert_eq!(every["when"], json!({ "kind": "interval", "seconds": 5_400 }));
        assert_eq!((&every["jitter_seconds"], &every["owner"]), (&json!(30), &json!("node")));
        let zone = "Europe/Lisbon";
        let cron = body(&["nightly", "--cron", "30 2 * * *", "--time-zone", zone, "--cluster"]).unwrap();
        assert_eq!(cron["when"], json!({ "kind": "cron", "expression": "30 2 * * *", "time_zone": zone }));
        assert_eq!(cron["owner"], "cluster");
        let once = body(&["nightly", "--at", "2026-07-01T02:00", "--time-zone", zone]).unwrap();
        assert_eq!(once["when"], json!({ "kind": "once", "at": "2026-07-01T01:00:00Z" }));
    }

    #[test]
    fn a_schedule_needs_one_rule_and_only_one() {
        assert!(Line::try_parse_from(["test", "nightly"]).is_err());
        assert!(Line::try_parse_from(["test", "nightly", "--every", "1h", "--cron", "* * * * *"]).is_err());
    }

    #[test]
    fn components_and_servers_take_the_place_of_a_sync() {
        let line = ["--component", "patches", "--server", "north", "--every", "1h", "--servers-at-once", "2"];
        let made = body(&line).unwrap();
        assert_eq!((&made["components"], &made["servers"]), (&json!(["patches"]), &json!(["north"])));
        assert_eq!((made.get("sync"), &made["pace"]["servers_at_once"]), (None, &json!(2)));
        assert!(Line::try_parse_from(["test", "nightly", "--component", "a", "--every", "1h"]).is_err());
        assert!(Line::try_parse_from(["test", "--every", "1h"]).is_err());
    }

    #[test]
    fn lengths_read_back_as_they_were_given() {
        for text in ["0s", "90s", "15m", "1h30m", "2d3h"] {
            let seconds = args::seconds(text).unwrap();
            assert_eq!(args::seconds(&length(seconds)), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn a_list_of_schedules() {
        let one: Shown = serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000002", "sync": "nightly",
            "when": {"kind": "interval", "seconds": 5400}, "paused": "moving house",
            "owner": {"kind": "node", "node": "01930000-0000-7000-8000-000000000003", "name": "north", "gone": true},
            "next_nominal": null, "next_run": "2026-11-22T10:00:00Z", "created_at": "2026-11-22T10:00:00Z",
        }))
        .unwrap();
        insta::assert_snapshot!(table(&[one]));
    }
}
