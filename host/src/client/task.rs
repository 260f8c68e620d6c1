//! `syncline task`: named actions that devices have configured, run at most once on each.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use syncline_domain::{
    Name,
    device::{
        GroupPath,
        task::{DeviceTask, Task, TaskCounts, TaskState},
    },
    ids::TaskId,
};

use super::{Client, Paging, named};
use crate::{
    args,
    outcome::{Exit, Result},
    output::{Output, Rows, fields, moment, moment_or},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List tasks, the newest first
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Show one, and how many devices stand where
    Show {
        /// Id of the task
        id: TaskId,
    },
    /// List the devices of a task, each with how far it is and what came out
    Devices {
        /// Id of the task
        id: TaskId,
        /// Where it is so far, such as failed
        #[arg(long)]
        state: Option<TaskState>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Have an action run on devices, once on each
    Add {
        /// The action, as the devices have configured it
        action: Name,
        #[command(flatten)]
        whom: Whom,
        /// What the action is given
        #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json)]
        parameters: Option<Value>,
        /// Devices that have not begun after this time do not run it
        #[arg(long, value_name = "TIME", value_parser = args::duration)]
        expires: Option<Duration>,
    },
}

/// Where it runs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// On this device, by name or id; can be repeated
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<String>,
    /// On all devices in this group and below it
    #[arg(long)]
    group: Option<GroupPath>,
    /// On the devices that this selection gives now
    #[arg(long)]
    selection: Option<Name>,
}

const PATH: &str = "/api/v1/tasks";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List { paging } => client.show_list(out, PATH, &[], &paging, table),
        Action::Show { id } => out.show(&client.get(&format!("{PATH}/{id}"))?, details),
        Action::Devices { id, state, paging } => {
            let query = [("state", state.map(|one| one.to_string()))];
            client.show_list(out, &format!("{PATH}/{id}/devices"), &query, &paging, devices)
        }
        Action::Add { action, whom, parameters, expires } => {
            let mut body = named::scope(client, &whom.devices, whom.group.as_ref(), whom.selection.as_ref())?;
            let expires = expires.map(args::from_now).transpose()?;
            let given = [
                ("action", Some(json!(action))),
                ("parameters", parameters),
                ("expires_at", expires.map(|at| json!(at))),
            ];
            body.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            out.show(&client.post(PATH, &Value::Object(body))?, details)
        }
    }
}

fn table(tasks: &[Task]) -> String {
    let mut rows = Rows::new(&["ID", "ACTION", "DEVICES", "BY", "MADE"], "There are no tasks.");
    for one in tasks {
        rows.add([
            one.id.to_string(),
            one.action.to_string(),
            counts(&one.counts),
            one.actor.clone(),
            moment(one.created_at),
        ]);
    }
    rows.render()
}

fn details(one: &Task) -> String {
    let parameters = if one.parameters.is_null() { String::new() } else { one.parameters.to_string() };
    fields(&[
        ("task", one.id.to_string()),
        ("action", one.action.to_string()),
        ("parameters", parameters),
        ("devices", counts(&one.counts)),
        ("made by", one.actor.clone()),
        ("made", moment(one.created_at)),
        ("expires", moment_or(one.expires_at, "")),
    ])
}

fn counts(counts: &TaskCounts) -> String {
    let words = [
        (counts.waiting, "waiting"),
        (counts.sent, "sent"),
        (counts.succeeded, "succeeded"),
        (counts.failed, "failed"),
        (counts.expired, "expired"),
    ];
    let words = words.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = words.map(|(count, word)| format!("{count} {word}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn devices(devices: &[DeviceTask]) -> String {
    let mut rows = Rows::new(&["DEVICE", "STATE", "SINCE", "OUTCOME"], "There are no devices.");
    for one in devices {
        rows.add([
            one.device.to_string(),
            one.state.to_string(),
            moment(one.at),
            one.outcome.clone().unwrap_or_default(),
        ]);
    }
    rows.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_tells_how_many_devices_stand_where() {
        let task: Task = serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000001", "action": "collect-logs", "parameters": {"lines": 50},
            "actor": "ana", "created_at": "2026-11-22T10:00:00Z", "expires_at": null,
            "counts": {"waiting": 3, "sent": 0, "succeeded": 12, "failed": 1, "expired": 0},
        }))
        .unwrap();
        insta::assert_snapshot!(details(&task));
        assert!(table(&[task]).contains("3 waiting, 12 succeeded, 1 failed"));
    }
}
