//! `syncline schedule`: when syncs run by themselves.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_domain::{
    Name,
    ids::ScheduleId,
    schedule::{Overlap, ScheduleSpec, When},
};

use super::{Client, Paging};
use crate::{
    args,
    outcome::{Exit, Result},
    output::{Output, Rows, fields, moment, moment_or},
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
    /// Have a sync run by itself
    Add(Box<Add>),
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
    /// The sync that runs
    sync: Name,
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
            sync: self.sync,
            when,
            jitter_seconds: self.jitter,
            overlap,
            catch_up_seconds: self.catch_up,
            paused: None,
            description: self.description,
        });
        body["owner"] = if self.cluster { "cluster" } else { "node" }.into();
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
