//! Firing: the ticks of a schedule that are due become runs, each of them once, whoever fires it.

use jiff::Timestamp;
use syncline_domain::{
    event::NewEvent,
    ids::{RunId, ScheduleId},
    log::LogLevel,
    run::{Run, RunState},
    schedule::{Due, Overlap, Schedule},
};

use crate::{
    db::{Db, Tx},
    dialect::{Turn, sql},
    error::{Error, Result},
    runs::{self, NewRun},
    syncs,
};

/// What became of the ticks that were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fired {
    /// The run that was queued.
    pub run: Option<RunId>,
    /// Ticks that were recorded as skipped.
    pub skipped: u64,
}

impl Db {
    /// Turns the due ticks of a schedule into runs, and moves it on to `due.next`, which fires at `next_run`.
    ///
    /// `schedule` is as it was read. If another node fired it meanwhile, or somebody changed it, nothing is done. `run` is the
    /// run of `due.run`; it is queued, or recorded as skipped, as the overlap policy says.
    pub async fn fire_schedule(
        &self,
        schedule: &Schedule,
        due: &Due,
        next_run: Option<Timestamp>,
        run: &NewRun,
    ) -> Result<Fired> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Runs).await?;
        // Keeps others from queueing a run of this sync in between, where the policy allows one.
        match syncs::must_exist(&mut tx, &schedule.spec.sync).await {
            Err(Error::NotFound { .. }) => return Ok(Fired::default()),
            other => other?,
        }
        if !move_on(&mut tx, schedule, due, next_run).await? {
            return Ok(Fired::default());
        }
        let now = self.now();
        let mut fired = Fired { run: None, skipped: due.skipped_more };
        for &nominal in &due.skipped {
            fired.skipped += skip_late(&mut tx, schedule, nominal, due, run, now).await?;
        }
        if fired.skipped > 0 {
            tx.event(late_event(schedule, fired.skipped, due.skipped_more));
        }
        if let Some(nominal) = due.run {
            let run = NewRun { nominal_time: Some(nominal), schedule: Some(schedule.id), ..run.clone() };
            if write_tick(&mut tx, schedule.id, nominal, run.id).await? {
                match begin_tick(&mut tx, schedule, &run, now).await? {
                    RunState::Queued => fired.run = Some(run.id),
                    _ => fired.skipped += 1,
                }
            }
        }
        tx.commit().await?;
        Ok(fired)
    }
}

/// Moves the schedule on, if nobody did since it was read.
async fn move_on(tx: &mut Tx, schedule: &Schedule, due: &Due, next_run: Option<Timestamp>) -> Result<bool> {
    let last = due.run.or(due.skipped.last().copied()).or(schedule.last_nominal);
    let query = sql("UPDATE schedules SET next_nominal = $4, next_run = $5, last_nominal = $6
        WHERE id = $1 AND revision = $2 AND next_nominal = $3 AND NOT paused");
    let query = query.bind(schedule.id).bind(schedule.revision).bind(schedule.next_nominal);
    Ok(query.bind(due.next).bind(next_run).bind(last).execute(tx).await? == 1)
}

/// Writes down that this tick was seen; `false` if it was before.
async fn write_tick(tx: &mut Tx, schedule: ScheduleId, nominal: Timestamp, run: RunId) -> Result<bool> {
    let query = sql("INSERT INTO ticks (schedule, nominal, run) VALUES ($1, $2, $3)
        ON CONFLICT (schedule, nominal) DO NOTHING");
    Ok(query.bind(schedule).bind(nominal).bind(run).execute(tx).await? == 1)
}

/// Records a late tick as a skipped run. Gives how many it recorded.
async fn skip_late(
    tx: &mut Tx,
    schedule: &Schedule,
    nominal: Timestamp,
    due: &Due,
    run: &NewRun,
    now: Timestamp,
) -> Result<u64> {
    let reason = match due.run {
        Some(_) => "a later tick was due as well, and of several late ones only the last runs".to_owned(),
        None => {
            format!("it is late by more than the catch-up window of {} s", schedule.spec.catch_up_seconds)
        }
    };
    let skipped = NewRun {
        id: RunId::new(now),
        nominal_time: Some(nominal),
        schedule: Some(schedule.id),
        ..run.clone()
    };
    if !write_tick(tx, schedule.id, nominal, skipped.id).await? {
        return Ok(0);
    }
    runs::insert(tx, &skipped, RunState::Skipped, Some(&reason), now).await?;
    Ok(1)
}

/// Queues the run of a tick or records it as skipped, as the overlap policy says.
async fn begin_tick(tx: &mut Tx, schedule: &Schedule, run: &NewRun, now: Timestamp) -> Result<RunState> {
    let others = unfinished(tx, run).await?;
    let obstacle = obstacle(schedule.spec.overlap, &others);
    if let Some(reason) = obstacle {
        runs::insert(tx, run, RunState::Skipped, Some(&reason), now).await?;
        let message = format!("a tick of {} was skipped: {reason}", run.subject);
        tx.event(
            NewEvent::new("run.skipped", &run.actor, message)
                .of_run(run.id, &run.subject)
                .level(LogLevel::Warn),
        );
        return Ok(RunState::Skipped);
    }
    if schedule.spec.overlap == Overlap::CancelOther {
        for other in &others {
            cancel_other(tx, other, run.id, now).await?;
        }
    }
    runs::insert(tx, run, RunState::Queued, None, now).await?;
    let message = format!("a run of {} was queued by its schedule", run.subject);
    tx.event(NewEvent::new("run.queued", &run.actor, message).of_run(run.id, &run.subject));
    Ok(RunState::Queued)
}

/// Why the tick cannot run beside these runs; `None` if it can.
fn obstacle(overlap: Overlap, others: &[Run]) -> Option<String> {
    if let Some(held) = others.iter().find(|other| other.state == RunState::Held) {
        return Some(format!("run {} is held until an administrator approves or rejects it", held.id));
    }
    match overlap {
        Overlap::Skip => others.first().map(|other| format!("run {} has not ended", other.id)),
        Overlap::QueueOne => {
            let waiting = others.iter().find(|other| other.state == RunState::Queued)?;
            Some(format!("run {} waits already", waiting.id))
        }
        Overlap::CancelOther => None,
    }
}

/// Runs of the same sync and mode that have not ended, oldest first, kept as they are until the transaction ends.
async fn unfinished(tx: &mut Tx, run: &NewRun) -> Result<Vec<Run>> {
    let query = sql(concat!(
        "SELECT ",
        runs::columns!(),
        " FROM runs WHERE sync = $1 AND mode = 'apply'
            AND state IN ('queued', 'claimed', 'running', 'held', 'cancelling') ORDER BY id {for update}"
    ));
    query.bind(run.subject.sync()).rows(tx).await?.iter().map(runs::parse).collect()
}

async fn cancel_other(tx: &mut Tx, other: &Run, by: RunId, now: Timestamp) -> Result<()> {
    if other.state == RunState::Cancelling {
        return Ok(());
    }
    let cancelled =
        runs::decide::cancel(tx, other, &format!("cancelled by its schedule for run {by}"), now).await?;
    let (kind, how) = match cancelled.state {
        RunState::Cancelled => ("run.cancelled", "is cancelled"),
        _ => ("run.cancelling", "is being cancelled"),
    };
    let message = format!("run of {} {how}: the next tick of its schedule takes its place", other.subject);
    tx.event(NewEvent::new(kind, "system", message).of_run(other.id, &other.subject));
    Ok(())
}

fn late_event(schedule: &Schedule, skipped: u64, not_listed: u64) -> NewEvent {
    let sync = &schedule.spec.sync;
    let message = format!("{skipped} late ticks of sync {sync} were skipped");
    let data = serde_json::json!({ "schedule": schedule.id, "skipped": skipped, "not_listed": not_listed });
    NewEvent::new("schedule.skipped", "system", message).level(LogLevel::Warn).sync(sync).data(data)
}
