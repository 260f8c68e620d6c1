//! The File Status Report, and repairing what it finds: a part of `syncline distribution-server`.

use std::io::Read;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_domain::{Name, run::Run};
use syncline_engine::report::ServerReport;

use super::{Client, progress, run::Wait, summary};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, moment},
};

/// What is to be reported.
#[derive(Debug, Args)]
pub struct Report {
    /// Names of servers; all that a sync brings patches to if none is given
    names: Vec<Name>,
    /// Read each file on the server and compare it by its digest
    #[arg(long)]
    full: bool,
    /// Print comma-separated values with headings instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// What is to be repaired.
#[derive(Debug, Args)]
pub struct Repair {
    /// Names of servers
    #[arg(required_unless_present = "report")]
    names: Vec<Name>,
    /// Read each file on the server and compare it by its digest
    #[arg(long)]
    full: bool,
    /// Repair just what this report lists, as `report --json` printed it
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = args::json, conflicts_with_all = ["names", "full"])]
    report: Option<Value>,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Deserialize)]
struct Answered {
    servers: Vec<ServerReport>,
}

#[derive(Debug, Deserialize)]
struct Repairs {
    runs: Vec<Run>,
}

const PATH: &str = "/api/v1/distribution-servers";

const fn check(full: bool) -> &'static str {
    if full { "full" } else { "quick" }
}

/// Asks for a report and prints it.
pub(super) fn report(what: &Report, client: &Client, out: Output) -> Result<Exit> {
    let mut body = json!({ "check": check(what.full) });
    if !what.names.is_empty() {
        body["servers"] = json!(what.names);
    }
    let path = format!("{PATH}/report");
    if what.csv {
        out.copy(client.open(&path, Some(&body), "text/csv")?)?;
        return Ok(Exit::Ok);
    }
    // It can take long to be whole: read as it comes, without a limit on the time.
    let mut text = String::new();
    let mut answer = client.open(&path, Some(&body), "application/json")?;
    answer
        .read_to_string(&mut text)
        .map_err(|error| CliError::unreachable(format!("the report broke off: {error}")))?;
    out.show(&super::Answer { text, etag: None }, table)
}

/// Starts the runs, and waits for them where that is asked for.
pub(super) fn repair(what: Repair, client: &Client, out: Output) -> Result<Exit> {
    let body = match what.report {
        Some(report) => json!({ "report": report }),
        None => json!({ "servers": what.names, "check": check(what.full) }),
    };
    let answer = client.post(&format!("{PATH}/repair"), &body)?;
    if !what.wait.wait {
        return out.show(&answer, |repairs: &Repairs| summary::table(&repairs.runs));
    }
    let mut worst = Exit::Ok;
    for run in answer.parse::<Repairs>()?.runs {
        worst = worst.worse(progress::wait_and_show(client, out, run.id, None)?);
    }
    Ok(worst)
}

fn table(answered: &Answered) -> String {
    let mut rows = Rows::new(&["SERVER", "CHECKED", "STATE", "FILE"], "There are no servers.");
    for server in &answered.servers {
        let mut add = |state: &str, what: String| {
            rows.add([server.name.to_string(), moment(server.checked_at), state.to_owned(), what]);
        };
        if let Some(failure) = &server.error {
            add("error", failure.message.clone());
            continue;
        }
        let missing = server.missing.as_deref().unwrap_or_default();
        let out_of_date = server.out_of_date.as_deref().unwrap_or_default();
        for path in missing {
            add("missing", path.to_text());
        }
        for path in out_of_date {
            add("out of date", path.to_text());
        }
        if missing.is_empty() && out_of_date.is_empty() {
            add("up to date", format!("all {} patches", server.patches.unwrap_or_default()));
        }
    }
    rows.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_each_file_and_each_server_without_any() {
        let at = "2026-03-01T10:00:00Z";
        let report = json!({ "check": "quick", "servers": [
            { "name": "site-1", "checked_at": at, "error": null, "patches": 4,
              "missing": ["a/kb1.msu", "b\n.msu"], "out_of_date": ["a/kb2.msu"] },
            { "name": "site-2", "checked_at": at, "error": null, "patches": 4, "missing": [], "out_of_date": [] },
            { "name": "site-3", "checked_at": at, "patches": null, "missing": null, "out_of_date": null,
              "error": { "kind": "unavailable", "fault": "remote", "code": "gone", "message": "store site-3 is away" } },
        ] });
        insta::assert_snapshot!(table(&serde_json::from_value(report).unwrap()));
    }
}
