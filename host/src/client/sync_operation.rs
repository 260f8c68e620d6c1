//! Synchronisations that people force: beginning one, waiting for it, and what became of each device.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use syncline_domain::{
    device::operation::{SyncOperation, SyncOutcome, SyncScope, SyncedDevice},
    ids::SyncOperationId,
};

use super::{Answer, Client, Paging, progress};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment, moment_or},
};

const PATH: &str = "/api/v1/sync-operations";
/// Devices that are told of beside an operation.
const TOLD: Paging = Paging { limit: 50, after: None };

/// Whether to wait.
#[derive(Debug, Clone, Copy, Args)]
pub struct Wait {
    /// Wait until each device has synchronised or failed; the exit code tells whether all did
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this time; the synchronisation goes on
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = args::duration)]
    timeout: Option<Duration>,
}

/// Prints the id of what an answer began, or waits for it.
pub fn follow(answer: &Answer, client: &Client, out: Output, wait: Wait) -> Result<Exit> {
    let operation: SyncOperation = answer.parse()?;
    if wait.wait {
        return show(operation.id, client, out, wait);
    }
    if out.is_json() {
        out.line(&answer.text)?;
        return Ok(Exit::Ok);
    }
    out.line(operation.id)?;
    out.note(format!("Begun. See how far it is: `syncline device operation {}`", operation.id));
    Ok(Exit::Ok)
}

/// Shows an operation, once it has ended if that is asked for.
pub fn show(id: SyncOperationId, client: &Client, out: Output, wait: Wait) -> Result<Exit> {
    let path = format!("{PATH}/{id}");
    let (answer, operation) = if wait.wait {
        let ended = |one: &SyncOperation| one.finished_at.is_some();
        let late = |one: &SyncOperation, after: u64| {
            let message = format!("after {after} s, {}: it goes on", counts(one));
            CliError::failed(message).hint(format!("wait on with `syncline device operation {id} --wait`"))
        };
        progress::until(client, out, &path, wait.timeout, ended, seen, late)?
    } else {
        let answer = client.get(&path)?;
        let operation = answer.parse()?;
        (answer, operation)
    };
    if out.is_json() {
        out.line(&answer.text)?;
    } else {
        out.line(details(&operation))?;
        let outcomes = if wait.wait {
            &[SyncOutcome::Failed][..]
        } else {
            &[SyncOutcome::Failed, SyncOutcome::Deferred, SyncOutcome::Woken][..]
        };
        tell_of(outcomes, &operation, client, out)?;
    }
    Ok(if wait.wait { exit(&operation) } else { Exit::Ok })
}

/// Lists the devices of an operation.
pub fn devices(
    id: SyncOperationId,
    outcome: Option<SyncOutcome>,
    paging: &Paging,
    client: &Client,
    out: Output,
) -> Result<Exit> {
    let query = [("outcome", outcome.map(|one| one.to_string()))];
    client.show_list(out, &format!("{PATH}/{id}/devices"), &query, paging, table)
}

fn tell_of(outcomes: &[SyncOutcome], operation: &SyncOperation, client: &Client, out: Output) -> Result<()> {
    let mut items = Vec::new();
    let mut more = false;
    for outcome in outcomes {
        let query = [("outcome", Some(outcome.to_string()))];
        let (some, next) = client.read_list(&format!("{PATH}/{}/devices", operation.id), &query, &TOLD)?;
        items.extend(some);
        more |= next.is_some();
    }
    if items.is_empty() {
        return Ok(());
    }
    let devices: Vec<SyncedDevice> = serde_json::from_value(Value::Array(items))
        .map_err(|error| CliError::failed(format!("the server's list makes no sense: {error}")))?;
    out.line(format!("\n{}", table(&devices)))?;
    if more {
        out.note(format!("There are more: `syncline device operation {} --devices`", operation.id));
    }
    Ok(())
}

/// Done if every device synchronised, a part if some did, failed if none did or the server's own did not go well.
fn exit(operation: &SyncOperation) -> Exit {
    if operation.failure.is_some() {
        return Exit::Failed;
    }
    let counts = &operation.counts;
    match counts.woken + counts.deferred + counts.failed {
        0 => Exit::Ok,
        _ if counts.synchronised > 0 => Exit::Partial,
        _ => Exit::Failed,
    }
}

fn seen(operation: &SyncOperation) -> progress::Seen {
    let counted = &operation.counts;
    let done = counted.synchronised + counted.failed;
    progress::Seen { done, total: done + counted.woken + counted.deferred, text: counts(operation) }
}

fn counts(operation: &SyncOperation) -> String {
    let counts = &operation.counts;
    let total = counts.woken + counts.deferred + counts.synchronised + counts.failed;
    if operation.scope == SyncScope::Server {
        return if operation.finished_at.is_some() { "ended" } else { "under way" }.to_owned();
    }
    let parts = [("woken", counts.woken), ("deferred", counts.deferred), ("failed", counts.failed)];
    let parts = parts.into_iter().filter(|(_, count)| *count > 0);
    let rest: String = parts.map(|(word, count)| format!(", {count} {word}")).collect();
    format!("{} of {total} synchronised{rest}", counts.synchronised)
}

fn details(operation: &SyncOperation) -> String {
    fields(&[
        ("operation", operation.id.to_string()),
        ("of", scope(&operation.scope)),
        ("asked by", operation.actor.clone()),
        ("begun", moment(operation.created_at)),
        ("ended", moment_or(operation.finished_at, "")),
        (if operation.scope == SyncScope::Server { "state" } else { "devices" }, counts(operation)),
        ("failure", operation.failure.clone().unwrap_or_default()),
    ])
}

fn scope(scope: &SyncScope) -> String {
    match scope {
        SyncScope::Server => "the server".to_owned(),
        SyncScope::Group(group) => format!("group {group}"),
        SyncScope::Selection(name) => format!("selection {name}"),
        SyncScope::Devices(devices) if devices.len() > 3 => format!("{} devices", devices.len()),
        SyncScope::Devices(devices) => list(devices),
    }
}

fn table(devices: &[SyncedDevice]) -> String {
    let mut rows = Rows::new(&["DEVICE", "OUTCOME", "SINCE", "WHY"], "There are no devices.");
    for one in devices {
        rows.add([
            one.device.to_string(),
            one.outcome.to_string(),
            moment(one.at),
            one.reason.clone().unwrap_or_default(),
        ]);
    }
    rows.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(counts: &Value, ended: bool) -> SyncOperation {
        serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000001", "scope": {"group": "/sales"}, "actor": "ana",
            "created_at": "2026-11-22T10:00:00Z", "finished_at": ended.then_some("2026-11-22T10:05:00Z"),
            "counts": counts,
        }))
        .unwrap()
    }

    #[test]
    fn it_ends_well_where_every_device_synchronised() {
        for (counts, code) in [
            (json!({"woken": 0, "deferred": 0, "synchronised": 2, "failed": 0}), Exit::Ok),
            (json!({"woken": 0, "deferred": 0, "synchronised": 0, "failed": 0}), Exit::Ok),
            (json!({"woken": 0, "deferred": 0, "synchronised": 1, "failed": 1}), Exit::Partial),
            (json!({"woken": 0, "deferred": 0, "synchronised": 0, "failed": 1}), Exit::Failed),
        ] {
            assert_eq!(exit(&operation(&counts, true)), code, "{counts}");
        }
        let none = json!({"woken": 0, "deferred": 0, "synchronised": 0, "failed": 0});
        let failed = SyncOperation { failure: Some("its run failed".to_owned()), ..operation(&none, true) };
        assert_eq!(exit(&failed), Exit::Failed);
    }

    #[test]
    fn an_operation_under_way_tells_how_many_devices_stand_where() {
        let counts = json!({"woken": 3, "deferred": 4, "synchronised": 5, "failed": 1});
        insta::assert_snapshot!(details(&operation(&counts, false)));
    }
}
