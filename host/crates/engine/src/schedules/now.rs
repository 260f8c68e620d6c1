//! Running schedules at once, without changing their times.

use syncline_domain::{
    event::NewEvent,
    ids::{OperationId, ScheduleId},
    run::RunMode,
    schedule::{Refusal, RunNow, RunNowEntry},
};
use syncline_store::NewRun;

use crate::{Engine, Error, Result};

impl Engine {
    /// Queues a run of each of these schedules, whose own times stay. What cannot be run is told entry by entry.
    pub async fn run_schedules_now(&self, ids: &[ScheduleId], actor: &str) -> Result<RunNow> {
        const MOST: usize = 1_000;
        if ids.is_empty() || ids.len() > MOST {
            let message = format!("{} schedules: name 1 to {MOST}", ids.len());
            return Err(Error::invalid("schedule-ids", message));
        }
        let (mut entries, mut runs) = (Vec::new(), Vec::<NewRun>::new());
        let mut events = Vec::new();
        for &id in ids {
            if entries.iter().any(|entry: &RunNowEntry| entry.schedule == id) {
                continue;
            }
            let mut entry = RunNowEntry { schedule: id, sync: None, run: None, refusal: None };
            match self.run_of(id, actor, &mut entry).await {
                Ok(run) => {
                    let message =
                        format!("A run of sync {} was started by hand from its schedule", run.subject);
                    events.push(NewEvent::new("run.queued", actor, message).of_run(run.id, &run.subject));
                    entry.run = Some(run.id);
                    runs.push(run);
                }
                Err(error) => entry.refusal = Some(refusal(error)?),
            }
            entries.push(entry);
        }
        let now = self.clock().now();
        let operation =
            RunNow { id: OperationId::new(now), actor: actor.to_owned(), created_at: now, entries };
        let message = format!("{} of {} schedules were run at once", runs.len(), operation.entries.len());
        let data = serde_json::json!({ "operation": operation.id, "entries": operation.entries });
        events.push(NewEvent::new("schedule.run-now", actor, message).data(data));
        self.db().run_now(&operation, &runs, events).await?;
        self.wake();
        Ok(operation)
    }

    /// The same for one, which is refused as a whole.
    pub async fn run_schedule_now(&self, id: ScheduleId, actor: &str) -> Result<RunNow> {
        let mut entry = RunNowEntry { schedule: id, sync: None, run: None, refusal: None };
        self.run_of(id, actor, &mut entry).await?;
        self.run_schedules_now(&[id], actor).await
    }

    async fn run_of(&self, id: ScheduleId, actor: &str, entry: &mut RunNowEntry) -> Result<NewRun> {
        let schedule = self.db().schedule(id).await?;
        entry.sync = Some(schedule.spec.sync.clone());
        self.must_own(&schedule).await?;
        let sync = self.db().sync(&schedule.spec.sync).await?;
        let mut run = self.new_run(&sync, RunMode::Apply, None, actor).await?;
        run.schedule = Some(id);
        Ok(run)
    }
}

/// What the same call for one schedule alone would answer.
fn refusal(error: Error) -> Result<Refusal> {
    let detail = error.to_string();
    let (status, code) = match error {
        Error::NotFound { .. } => (404, "not-found"),
        Error::Conflict { code: code @ "schedule-owner", .. } => (403, code),
        Error::Conflict { code, .. } => (409, code),
        Error::Invalid { code, .. } => (422, code),
        other => return Err(other),
    };
    Ok(Refusal { status, code: code.to_owned(), detail })
}
