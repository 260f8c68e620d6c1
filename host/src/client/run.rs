//! `syncline run`: looking at runs, waiting for them, deciding on them.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use syncline_domain::{
    Name,
    ids::{RunId, ScheduleId},
    log::{LogLevel, LogLine, LogSource},
    run::{Run, RunState},
};

use super::{Client, Paging, progress, summary};
use crate::{
    args,
    outcome::{Exit, Result},
    output::{Output, Rows, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List runs, the newest first
    List {
        /// Of this sync
        #[arg(long)]
        sync: Option<Name>,
        /// Refreshing this collection
        #[arg(long)]
        collection: Option<Name>,
        /// In this state
        #[arg(long)]
        state: Option<RunState>,
        /// Begun by this schedule
        #[arg(long)]
        schedule: Option<ScheduleId>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show one with its targets
    Show {
        /// Id of the run
        id: RunId,
    },
    /// Wait until a run is over or held; the exit code tells how it ended
    Wait {
        /// Id of the run
        id: RunId,
        /// Stop waiting after this time; the run goes on
        #[arg(long, value_name = "TIME", value_parser = args::duration)]
        timeout: Option<Duration>,
    },
    /// List what a run changes or would change
    Operations {
        /// Id of the run
        id: RunId,
        /// On this target
        #[arg(long)]
        target: Option<Name>,
        /// In this state
        #[arg(long, value_enum)]
        state: Option<State>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show what the plugin and the host wrote
    Log {
        /// Id of the run
        id: RunId,
        #[command(flatten)]
        paging: Paging,
    },
    /// Let a held run go on; it is held again if its difference grew
    Approve {
        /// Id of the run
        id: RunId,
        #[command(flatten)]
        wait: Wait,
    },
    /// End a held run; nothing of it is done
    Reject {
        /// Id of the run
        id: RunId,
        /// Why, for the Event History
        #[arg(long)]
        reason: Option<String>,
    },
    /// End a run: at once while it waits, at a safe point while it is under way
    Cancel {
        /// Id of the run
        id: RunId,
        #[command(flatten)]
        wait: Wait,
    },
    /// Do what failed or was not reached in an ended run, as a new run
    Retry {
        /// Id of the run
        id: RunId,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Whether to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wait {
    /// Wait until the run is over or held; the exit code tells how it ended
    #[arg(long)]
    pub wait: bool,
}

/// States of an operation.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum State {
    /// Found and not begun
    Planned,
    /// Carried out
    Done,
    /// Not carried out
    Failed,
    /// Not begun, since something before it failed
    Skipped,
}

const PATH: &str = "/api/v1/runs";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List { sync, collection, state, schedule, paging } => {
            let query = [
                ("sync", sync.map(|name| name.to_string())),
                ("collection", collection.map(|name| name.to_string())),
                ("state", state.map(|state| state.to_string())),
                ("schedule", schedule.map(|id| id.to_string())),
            ];
            client.show_list(out, PATH, &query, &paging, summary::table)
        }
        Action::Show { id } => out.show(&client.get(&format!("{PATH}/{id}"))?, summary::details),
        Action::Wait { id, timeout } => progress::wait_and_show(client, out, id, timeout),
        Action::Operations { id, target, state, paging } => {
            let state =
                state.and_then(|state| state.to_possible_value()).map(|value| value.get_name().to_owned());
            let query = [("target", target.map(|name| name.to_string())), ("state", state)];
            client.show_list(out, &format!("{PATH}/{id}/operations"), &query, &paging, summary::operations)
        }
        Action::Log { id, paging } => client.show_list(out, &format!("{PATH}/{id}/log"), &[], &paging, log),
        Action::Approve { id, wait } => act(client, out, &format!("{id}/approve"), wait),
        Action::Reject { id, reason } => {
            let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            out.show(&client.post(&format!("{PATH}/{id}/reject"), &body)?, summary::details)
        }
        Action::Cancel { id, wait } => act(client, out, &format!("{id}/cancel"), wait),
        Action::Retry { id, wait } => act(client, out, &format!("{id}/retry"), wait),
    }
}

fn act(client: &Client, out: Output, what: &str, wait: Wait) -> Result<Exit> {
    let answer = client.post_empty(&format!("{PATH}/{what}"))?;
    follow(client, out, &answer, wait)
}

/// Prints the run that an answer is about, or waits for it first.
pub fn follow(client: &Client, out: Output, answer: &super::Answer, wait: Wait) -> Result<Exit> {
    if wait.wait {
        let run: Run = answer.parse()?;
        return progress::wait_and_show(client, out, run.id, None);
    }
    out.show(answer, summary::details)
}

fn log(lines: &[LogLine]) -> String {
    let mut rows = Rows::new(&["AT", "LEVEL", "FROM", "MESSAGE"], "Nothing was written.");
    for line in lines {
        let fields: String = line.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let from = match line.source {
            LogSource::Host => "host",
            LogSource::Plugin => "plugin",
        };
        rows.add([
            moment(line.at),
            level(line.level).to_owned(),
            from.to_owned(),
            format!("{}{fields}", line.message),
        ]);
    }
    rows.render()
}

/// A level as people read it.
pub const fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
