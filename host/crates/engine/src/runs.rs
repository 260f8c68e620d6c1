//! Runs as operators see them: start, preview, approve, reject, cancel, retry.

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::NewEvent,
    ids::{RunId, ScheduleId},
    log::LogLevel,
    place::StoreRecord,
    run::{Approval, Repair, Run, RunMode, RunState, Subject, Trigger},
    sync::Sync,
};
use syncline_store::{Lock, NewRun};

use crate::{Engine, Error, Result};

/// What a run is started with.
#[derive(Debug, Clone, Default)]
pub struct StartRun {
    /// Whether it changes anything.
    pub mode: RunMode,
    /// Whether the plugin is given no cursor, so that it reads everything.
    pub anew: bool,
}

impl Engine {
    /// Queues a run of a sync.
    pub async fn start_run(&self, sync: &Name, start: StartRun, actor: &str) -> Result<Run> {
        let sync = self.db().sync(sync).await?;
        let mut new = self.new_run(&sync, start.mode, None, actor).await?;
        new.anew = start.anew;
        if start.mode == RunMode::Apply {
            self.refresh_before(&sync, actor).await?;
            // What it waits for stands before it in the queue.
            new.id = RunId::new(self.clock().now());
        }
        let what = if start.mode == RunMode::Preview { "A preview" } else { "A run" };
        self.enqueue(&new, format!("{what} of sync {} was started", sync.name)).await
    }

    /// Queues a run that does only what failed or was not reached in an ended one.
    pub async fn retry_run(&self, id: RunId, actor: &str) -> Result<Run> {
        let run = self.db().run(id).await?;
        let can = matches!(
            run.state,
            RunState::Partial | RunState::Failed | RunState::Cancelled | RunState::TimedOut | RunState::Lost
        );
        if !can || run.mode == RunMode::Preview {
            let message = format!(
                "run {id} is {} ({:?}): only runs that changed something and did not succeed are tried again",
                run.state, run.mode
            );
            return Err(Error::conflict("run-state", message));
        }
        let name = match &run.subject {
            Subject::Sync(name) => name,
            // What came by then is not downloaded again.
            Subject::Collection(name) => return Ok(self.start_refresh(name, actor).await?.run),
        };
        let sync = self.db().sync(name).await?;
        let mut new =
            self.new_run_of(&sync, RunMode::Apply, run.only.clone(), actor, run.repair.as_ref()).await?;
        new.trigger = Trigger::Retry;
        new.retry_of = Some(id);
        self.enqueue(&new, format!("What failed in run {id} of sync {} is tried again", sync.name)).await
    }

    pub(crate) async fn enqueue(&self, new: &NewRun, message: String) -> Result<Run> {
        let mut event = NewEvent::new("run.queued", &new.actor, message).of_run(new.id, &new.subject);
        if let Some(repair) = &new.repair {
            event = event.collection(&repair.collection);
            // An event is about one store: of several each tells for itself when it is its turn.
            event.store = repair.targets.keys().next().filter(|_| repair.targets.len() == 1).cloned();
        }
        let run = self.db().enqueue_run(new, event).await?;
        self.wake();
        Ok(run)
    }

    /// A run of a sync for all of its targets, or for some `only`.
    pub(crate) async fn new_run(
        &self,
        sync: &Sync,
        mode: RunMode,
        only: Option<Vec<Name>>,
        actor: &str,
    ) -> Result<NewRun> {
        self.new_run_of(sync, mode, only, actor, None).await
    }

    /// The same, or of what it repairs, with the locks that it needs: what it reads is shared, what it writes its own.
    pub(crate) async fn new_run_of(
        &self,
        sync: &Sync,
        mode: RunMode,
        only: Option<Vec<Name>>,
        actor: &str,
        repair: Option<&Repair>,
    ) -> Result<NewRun> {
        let mut bindings = self.bindings(&sync.spec).await?;
        if let Some(repair) = repair {
            bindings.targets.retain(|target| repair.targets.contains_key(&target.name));
        }
        let mut locks = Vec::new();
        if sync.spec.directory.is_some() {
            // A preview too, so that what it lists is not half of another run.
            locks.push(Lock { resource: format!("directory of sync {}", sync.name), exclusive: true });
        } else if sync.spec.targets.is_empty() && mode == RunMode::Apply {
            // It decides for devices: one after the other, so that versions of documents rise by one.
            let resource = format!("documents of plugin {}", sync.spec.plugin);
            locks.push(Lock { resource, exclusive: true });
        }
        for source in &bindings.sources {
            locks.extend(self.read_collections(source).await?);
            // Another sync may fill the store that this one reads.
            locks.push(Lock { resource: store_lock(&source.store.name), exclusive: false });
        }
        if mode == RunMode::Apply {
            let write = |target: &StoreRecord| Lock { resource: store_lock(&target.name), exclusive: true };
            let is_for = |target: &&StoreRecord| only.as_ref().is_none_or(|only| only.contains(&target.name));
            locks.extend(bindings.targets.iter().filter(is_for).map(write));
        }
        locks.sort_by(|a, b| a.resource.cmp(&b.resource));
        locks.dedup();
        Ok(NewRun {
            id: RunId::new(self.clock().now()),
            subject: Subject::Sync(sync.name.clone()),
            mode,
            trigger: Trigger::Manual,
            actor: actor.to_owned(),
            schedule: None,
            nominal_time: None,
            retry_of: None,
            repair: repair.cloned(),
            anew: false,
            only,
            bound_to: bindings.bound_to()?,
            max_attempts: sync.spec.max_attempts,
            locks,
        })
    }

    /// A run for a tick of a schedule.
    pub(crate) async fn scheduled_run(
        &self,
        sync: &Sync,
        schedule: ScheduleId,
        nominal: Option<Timestamp>,
    ) -> Result<NewRun> {
        let mut new = self.new_run(sync, RunMode::Apply, None, &format!("schedule {schedule}")).await?;
        new.trigger = Trigger::Schedule;
        new.schedule = Some(schedule);
        new.nominal_time = nominal;
        Ok(new)
    }

    /// Lets a held run go on. The difference is taken anew, and held again if it has grown by then.
    pub async fn approve_run(&self, id: RunId, actor: &str) -> Result<Run> {
        let run = self.db().run(id).await?;
        let approval = Approval { actor: actor.to_owned(), at: self.clock().now(), sizes: run.sizes.clone() };
        let message = format!("The held run of {} was approved", run.subject);
        let event =
            NewEvent::new("run.approved", actor, message).of_run(id, &run.subject).level(LogLevel::Warn);
        let run = self.db().approve_run(id, &approval, event).await?;
        self.wake();
        Ok(run)
    }

    /// Ends a held run; nothing of its difference is done.
    pub async fn reject_run(&self, id: RunId, reason: Option<&str>, actor: &str) -> Result<Run> {
        let run = self.db().run(id).await?;
        let reason = reason
            .map_or_else(|| format!("rejected by {actor}"), |why| format!("rejected by {actor}: {why}"));
        let event =
            NewEvent::new("run.rejected", actor, format!("The held run of {} was {reason}", run.subject))
                .of_run(id, &run.subject);
        Ok(self.db().reject_run(id, actor, &reason, event).await?)
    }

    /// Ends a run: at once while it waits, at a safe point while it is under way.
    pub async fn cancel_run(&self, id: RunId, actor: &str) -> Result<Run> {
        let run = self.db().run(id).await?;
        let message = format!("Cancelling the run of {} was asked for", run.subject);
        let event = NewEvent::new("run.cancel-asked", actor, message).of_run(id, &run.subject);
        let run = self.db().cancel_run(id, actor, event).await?;
        self.inner.worker.cancel(id);
        self.wake();
        Ok(run)
    }
}

/// What a run takes of a store that it reads or writes.
pub(crate) fn store_lock(name: &Name) -> String {
    format!("store {name}")
}
