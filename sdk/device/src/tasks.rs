//! Tasks: actions of this device that the server asks for, each at most once.
//!
//! The journal says that a task began before it begins. One that began and has no end was interrupted: it is not run again.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use syncline_protocol::items::{Task, TaskOutcome, TaskResult};

use crate::{
    apply::{
        command::{Call, Commands},
        words,
    },
    config::Config,
    error::Result,
    state::StateFolder,
};

const FILE: &str = "tasks.json";

/// Tasks that are remembered: a server has long forgotten one that is older.
const MOST: usize = 2_000;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Journal {
    /// Counts up, so that the oldest can be found.
    next: u64,
    tasks: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    number: u64,
    /// `None` while it runs.
    end: Option<End>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct End {
    outcome: i32,
    text: String,
}

/// Runs a task, unless it ran before, and says what became of it. `waited` is since the task came.
pub fn perform(
    state: &StateFolder,
    config: &Config,
    commands: &dyn Commands,
    task: &Task,
    waited: Duration,
) -> Result<TaskResult> {
    let id = hex::encode(&task.task_id);
    let mut journal: Journal = state.read(FILE)?.unwrap_or_default();
    if let Some(entry) = journal.tasks.get(&id) {
        let interrupted = || End {
            outcome: TaskOutcome::Failed.into(),
            text: "it was interrupted, and is not run again".to_owned(),
        };
        return Ok(result(task, entry.end.clone().unwrap_or_else(interrupted)));
    }
    journal.tasks.insert(id.clone(), Entry { number: journal.next, end: None });
    journal.next += 1;
    while journal.tasks.len() > MOST {
        let oldest = journal.tasks.iter().min_by_key(|(_, entry)| entry.number).map(|(id, _)| id.clone());
        oldest.and_then(|oldest| journal.tasks.remove(&oldest));
    }
    state.write(FILE, &journal)?;
    let end = run(config, commands, task, waited);
    if let Some(entry) = journal.tasks.get_mut(&id) {
        entry.end = Some(end.clone());
    }
    state.write(FILE, &journal)?;
    Ok(result(task, end))
}

fn run(config: &Config, commands: &dyn Commands, task: &Task, waited: Duration) -> End {
    let end = |outcome: TaskOutcome, text: String| End { outcome: outcome.into(), text };
    if task.expires_in_ms != 0 && waited > Duration::from_millis(task.expires_in_ms) {
        return end(TaskOutcome::Expired, String::new());
    }
    let Some(action) = config.actions.get(&task.action) else {
        return end(TaskOutcome::Unsupported, "this device has no such action".to_owned());
    };
    let environment =
        [("SYNCLINE_TASK", hex::encode(&task.task_id)), ("SYNCLINE_ACTION", task.action.clone())];
    let call = Call {
        command: &action.command,
        environment: &environment,
        input: task.parameters.as_bytes(),
        timeout: Duration::from_secs(action.timeout),
    };
    match commands.run(call) {
        Ok(said) => end(TaskOutcome::Succeeded, if action.report_output { said } else { String::new() }),
        Err(failed) => end(TaskOutcome::Failed, words(failed, action.report_output)),
    }
}

fn result(task: &Task, end: End) -> TaskResult {
    TaskResult { task_id: task.task_id.clone(), outcome: end.outcome, text: end.text }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{apply::command::Failed, disk::interruption};

    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Commands for Counting {
        fn run(&self, call: Call<'_>) -> Result<String, Failed> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(String::from_utf8_lossy(call.input).into_owned())
        }
    }

    fn task(action: &str) -> Task {
        Task {
            task_id: vec![7; 16],
            action: action.to_owned(),
            parameters: "{}".to_owned(),
            expires_in_ms: 1_000,
        }
    }

    fn device() -> (tempfile::TempDir, StateFolder, Config) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let config = Config::parse("[actions.logs]\ncommand = [\"/logs\"]\nreport-output = true").unwrap();
        (folder, state, config)
    }

    #[test]
    fn a_task_runs_once_however_often_it_comes() {
        let (_folder, state, config) = device();
        let commands = Counting::default();
        for _ in 0..3 {
            let result = perform(&state, &config, &commands, &task("logs"), Duration::ZERO).unwrap();
            assert_eq!((result.outcome(), result.text.as_str()), (TaskOutcome::Succeeded, "{}"));
        }
        assert_eq!(commands.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn killed_at_any_write_it_runs_at_most_once() {
        for steps in 0..12 {
            let (_folder, state, config) = device();
            let commands = Counting::default();
            interruption::after(Some(steps));
            let _ = perform(&state, &config, &commands, &task("logs"), Duration::ZERO);
            interruption::after(None);
            perform(&state, &config, &commands, &task("logs"), Duration::ZERO).unwrap();
            assert!(commands.0.load(Ordering::Relaxed) <= 1, "killed after {steps} writes");
        }
    }

    #[test]
    fn what_is_not_configured_or_too_late_does_not_run() {
        for (action, waited, outcome) in [
            ("/bin/sh", Duration::ZERO, TaskOutcome::Unsupported),
            ("logs", Duration::from_secs(2), TaskOutcome::Expired),
        ] {
            let (_folder, state, config) = device();
            let commands = Counting::default();
            let result = perform(&state, &config, &commands, &task(action), waited).unwrap();
            assert_eq!((result.outcome(), commands.0.load(Ordering::Relaxed)), (outcome, 0));
        }
    }
}
