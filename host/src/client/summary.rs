//! What runs and operations look like to people.

use syncline_domain::{
    operation::{Operation, OperationKind, OperationState},
    run::{Counts, Phase, Run, RunMode, RunState, Subject, TargetResult, Trigger},
};

use crate::output::{Rows, bytes, fields, moment, moment_or};

/// One line a run.
pub fn table(runs: &[Run]) -> String {
    let headings =
        ["ID", "SYNC", "MODE", "STATE", "COPIED>", "UPDATED>", "REMOVED>", "FAILED>", "BYTES>", "MADE"];
    let mut rows = Rows::new(&headings, "There are no runs.");
    for run in runs {
        rows.add([
            run.id.to_string(),
            subject(&run.subject),
            mode(run.mode).to_owned(),
            run.state.to_string(),
            run.counts.copied.to_string(),
            run.counts.updated.to_string(),
            run.counts.removed.to_string(),
            run.counts.failed.to_string(),
            bytes(run.counts.bytes),
            moment(run.created_at),
        ]);
    }
    rows.render()
}

/// All about one run.
pub fn details(run: &Run) -> String {
    let failure = run.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
    let head = fields(&[
        ("run", run.id.to_string()),
        ("sync", run.subject.sync().map(ToString::to_string).unwrap_or_default()),
        ("collection", run.subject.collection().map(ToString::to_string).unwrap_or_default()),
        ("mode", mode(run.mode).to_owned()),
        ("state", run.state.to_string()),
        ("reason", run.reason.clone().filter(|_| run.waiting_for.is_none()).unwrap_or_default()),
        ("waiting for", run.waiting_for.clone().unwrap_or_default()),
        ("failure", failure),
        ("started by", started_by(run)),
        ("retry of", run.retry_of.map(|id| id.to_string()).unwrap_or_default()),
        ("attempt", run.attempt.to_string()),
        ("made", moment(run.created_at)),
        ("not before", moment_or(run.not_before, "")),
        ("began", moment_or(run.started_at, "")),
        ("ended", moment_or(run.finished_at, "")),
        ("took", took(run)),
        ("approved by", run.approval.as_ref().map(|one| one.actor.clone()).unwrap_or_default()),
    ]);
    let mut parts = vec![head];
    if !run.state.is_final() {
        parts.push(format!("progress: {}", progress(run)));
    }
    if !run.targets.is_empty() {
        parts.push(targets(&run.targets, &run.counts));
    }
    if !run.excesses.is_empty() {
        let over: Vec<String> = run.excesses.iter().map(|one| format!("  {one}")).collect();
        parts.push(format!("Over the limits of the sync:\n{}", over.join("\n")));
    }
    parts.join("\n\n")
}

/// What is done, or would be, on each target and in all.
pub fn targets(results: &[TargetResult], all: &Counts) -> String {
    let headings = [
        "TARGET",
        "COPIED>",
        "UPDATED>",
        "REMOVED>",
        "UNCHANGED>",
        "FAILED>",
        "FOLDERS>",
        "BYTES>",
        "FAILURE",
    ];
    let mut rows = Rows::new(&headings, "No target was reached.");
    let mut add = |name: &str, counts: &Counts, failure: &str| {
        rows.add([
            name.to_owned(),
            counts.copied.to_string(),
            counts.updated.to_string(),
            counts.removed.to_string(),
            counts.unchanged.to_string(),
            counts.failed.to_string(),
            counts.folders.to_string(),
            bytes(counts.bytes),
            failure.to_owned(),
        ]);
    };
    for result in results {
        add(result.target.as_str(), &result.counts, result.failure.as_ref().map_or("", |one| &one.message));
    }
    if results.len() > 1 {
        add("(all)", all, "");
    }
    rows.render()
}

/// One line an operation.
pub fn operations(operations: &[Operation]) -> String {
    let mut rows =
        Rows::new(&["TARGET", "CHANGE", "STATE", "SIZE>", "PATH", "TOLD"], "There is no difference.");
    for one in operations {
        rows.add([
            one.target.to_string(),
            kind(one.kind).to_owned(),
            state(one.state).to_owned(),
            size(one),
            one.path.to_text(),
            told(one),
        ]);
    }
    rows.render()
}

/// What it does where path and kind do not tell, and why it was not done.
fn told(one: &Operation) -> String {
    match (&one.failure, one.note.as_str()) {
        (None, note) => note.to_owned(),
        (Some(failure), "") => failure.message.clone(),
        (Some(failure), note) => format!("{note}: {}", failure.message),
    }
}

/// How far a run has come, in a line.
pub fn progress(run: &Run) -> String {
    let at = &run.progress;
    let phase = match (run.state, at.phase) {
        (RunState::Queued | RunState::Claimed | RunState::Held | RunState::Cancelling, _) => {
            run.state.as_str()
        }
        (_, Phase::Declare) => "declaring",
        (_, Phase::Diff) => "comparing",
        (_, Phase::Guard) => "checking limits",
        (_, Phase::Apply) => "applying",
        (_, Phase::Record) => "recording",
    };
    let mut parts = vec![phase.to_owned()];
    match &at.plugin {
        Some(plugin) if at.phase == Phase::Declare => {
            let total = plugin.total.map(|total| format!(" of {total}")).unwrap_or_default();
            parts.push(format!("{}{total} {}", plugin.done, plugin.unit));
        }
        _ => {}
    }
    if at.operations_total > 0 {
        parts.push(format!("{} of {} operations", at.operations_done, at.operations_total));
        parts.push(format!("{} of {}", bytes(at.bytes_done), bytes(at.bytes_total)));
    } else if at.scanned > 0 {
        parts.push(format!("{} files looked at", at.scanned));
    }
    if at.bytes_per_second > 0 {
        parts.push(format!("{}/s", bytes(at.bytes_per_second)));
    }
    if let Some(remaining) = at.remaining_ms {
        parts.push(format!("about {} s left", remaining.div_ceil(1_000)));
    }
    parts.join(", ")
}

/// A sync by its name; what else there is, with what it is.
fn subject(of: &Subject) -> String {
    match of {
        Subject::Sync(name) => name.to_string(),
        Subject::Collection(name) => format!("{name} (refresh)"),
    }
}

fn took(run: &Run) -> String {
    match (run.started_at, run.finished_at) {
        (Some(began), Some(ended)) => {
            let millis = ended.as_millisecond() - began.as_millisecond();
            format!("{}.{:03} s", millis / 1_000, (millis % 1_000).abs())
        }
        _ => String::new(),
    }
}

fn started_by(run: &Run) -> String {
    match run.trigger {
        Trigger::Schedule => format!("{} for {}", run.actor, moment_or(run.nominal_time, "a tick")),
        Trigger::Manual | Trigger::Retry | Trigger::Repair => run.actor.clone(),
        Trigger::CatchUp => "the server, to catch up".to_owned(),
    }
}

fn size(one: &Operation) -> String {
    match one.kind {
        OperationKind::CreateFolder | OperationKind::RemoveFolder => String::new(),
        _ => bytes(one.size),
    }
}

const fn mode(mode: RunMode) -> &'static str {
    match mode {
        RunMode::Apply => "apply",
        RunMode::Preview => "preview",
    }
}

const fn kind(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Copy => "copy",
        OperationKind::Update => "update",
        OperationKind::Touch => "touch",
        OperationKind::CreateFolder => "create folder",
        OperationKind::Remove => "remove",
        OperationKind::RemoveFolder => "remove folder",
    }
}

const fn state(state: OperationState) -> &'static str {
    match state {
        OperationState::Planned => "planned",
        OperationState::Done => "done",
        OperationState::Failed => "failed",
        OperationState::Skipped => "skipped",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Run {
        let counts = json!({"copied": 3, "updated": 1, "unchanged": 40, "failed": 1, "bytes": 4096});
        serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000001", "sync": "nightly", "mode": "apply", "trigger": "manual",
            "actor": "ana", "anew": false, "state": "held", "reason": "over a limit", "attempt": 1,
            "created_at": "2026-11-22T10:00:00Z", "started_at": "2026-11-22T10:00:01Z", "counts": counts,
            "targets": [
                {"target": "north", "counts": counts},
                {"target": "south", "counts": {}, "failure": {
                    "kind": "unavailable", "fault": "remote", "code": "store-mark", "message": "its mark is missing"
                }},
            ],
            "progress": {"phase": "apply", "operations_done": 2, "operations_total": 5, "bytes_done": 1024,
                "bytes_total": 4096, "bytes_per_second": 512, "remaining_ms": 5500},
            "sizes": [],
            "excesses": [{"target": "north", "limit": "max_deletes", "allowed": 3, "found": 9}],
        }))
        .unwrap()
    }

    #[test]
    fn a_held_run_says_why_and_what_each_target_would_get() {
        insta::assert_snapshot!(details(&run()));
    }

    #[test]
    fn a_list_of_runs() {
        insta::assert_snapshot!(table(&[run()]));
        assert_eq!(table(&[]), "There are no runs.");
    }

    #[test]
    fn progress_tells_phase_counts_rate_and_rest() {
        let mut running = run();
        running.state = RunState::Running;
        assert_eq!(
            progress(&running),
            "applying, 2 of 5 operations, 1.0 KiB of 4.0 KiB, 512 B/s, about 6 s left"
        );
    }

    #[test]
    fn a_difference_with_a_failure_and_an_odd_name() {
        let operations: Vec<Operation> = serde_json::from_value(json!([
            {"target": "north", "path": "a/b", "kind": "copy", "size": 2048, "stage": 0, "state": "planned"},
            {"target": "north", "path": "a/c\nd", "kind": "remove", "size": 1, "stage": 0, "state": "failed", "failure": {
                "kind": "denied", "fault": "remote", "code": "", "message": "read-only file system"
            }},
            {"target": "south", "path": "new", "kind": "create-folder", "size": 0, "stage": 0, "state": "done"},
        ]))
        .unwrap();
        insta::assert_snapshot!(super::operations(&operations));
    }
}
