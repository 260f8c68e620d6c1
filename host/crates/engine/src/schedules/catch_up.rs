//! What runs left of distribution servers: a run of its own does it when the server may be back, or its window is open.

use std::time::Duration;

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::NewEvent,
    log::LogLevel,
    run::{Ending, Left, Run, RunMode, RunState, Trigger, Waits},
};
use syncline_store::Backlog;

use crate::{Engine, Error, Result};

/// Longest time between two tries.
const SELDOM: Duration = Duration::from_secs(30 * 60);

impl Engine {
    /// Queues runs for all that is left and whose time has come.
    pub(crate) async fn catch_up(&self) -> Result<()> {
        let due = self.db().due_backlog(self.clock().now()).await?;
        for of_sync in due.chunk_by(|a, b| a.sync == b.sync) {
            let Some(first) = of_sync.first() else { continue };
            if let Err(error) = self.catch_up_sync(&first.sync, of_sync).await {
                // A sync that cannot run now says so at its next tick; what is left of the others goes on.
                tracing::warn!(sync = %first.sync, %error, "What is left of servers could not be caught up");
            }
        }
        Ok(())
    }

    async fn catch_up_sync(&self, name: &Name, due: &[Backlog]) -> Result<()> {
        let sync = self.db().sync(name).await?;
        let only: Vec<Name> = due.iter().map(|one| one.store.clone()).collect();
        let mut run = self.new_run(&sync, RunMode::Apply, Some(only.clone()), "system").await?;
        run.trigger = Trigger::CatchUp;
        // Trying again is what the backlog does.
        run.max_attempts = 1;
        let servers: Vec<&str> = only.iter().map(Name::as_str).collect();
        let message =
            format!("What an earlier run of sync {name} left is caught up on {}", servers.join(", "));
        let event = NewEvent::new("run.queued", "system", message).run(run.id, name);
        let again = self.clock().now().checked_add(SELDOM).map_err(Error::internal)?;
        if self.db().enqueue_backlog(&run, due, again, event).await?.is_some() {
            self.wake();
        }
        Ok(())
    }

    /// What an ending leaves of its targets for later. Only of those that are distribution servers will that be kept.
    pub(crate) async fn left_by(&self, run: &Run, ending: &Ending) -> Result<Vec<Left>> {
        let ended = matches!(
            ending.state,
            RunState::Succeeded | RunState::Partial | RunState::Failed | RunState::TimedOut
        );
        let Some(sync) = run.subject.sync() else { return Ok(Vec::new()) };
        // A repair is for some files: what else a server lacks is left as it was.
        let whole = run.mode == RunMode::Apply && run.repair.is_none();
        if !whole || !ended || ending.targets.is_empty() {
            return Ok(Vec::new());
        }
        let before = self.db().backlog().await?;
        let now = self.clock().now();
        let left = ending.targets.iter().map(|result| {
            let times = before.iter().find(|one| one.sync == *sync && one.store == result.target);
            let waits = match (&result.waits, &result.failure) {
                (Some(waits), _) => Some(waits.clone()),
                (None, Some(failure)) if failure.cause().passes() => {
                    let until = self.next_try(now, times.map_or(0, |one| one.times));
                    Some(Waits { until, reason: failure.message.clone() })
                }
                _ => None,
            };
            Left { target: result.target.clone(), waits }
        });
        Ok(left.collect())
    }

    /// Twice as long each time.
    fn next_try(&self, now: Timestamp, times: u32) -> Timestamp {
        let wait = self.config().catch_up.saturating_mul(1 << times.min(16)).min(SELDOM);
        now.checked_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// Pauses schedules whose sync fills what a collection is downloaded from by now.
    pub(crate) async fn pause_schedules_to_sources(&self) -> Result<()> {
        let collections = self.db().collections().await?;
        let origins = syncline_domain::server::Origin::all(&collections);
        if origins.iter().all(|one| one.how == syncline_domain::server::Comes::Lives) {
            return Ok(());
        }
        let syncs = self.db().syncs().await?;
        for mut schedule in self.db().schedules().await?.into_iter().filter(|one| one.spec.paused.is_none()) {
            let Some(sync) = syncs.iter().find(|sync| sync.name == schedule.spec.sync) else { continue };
            let why = sync.spec.targets.iter().find_map(|store| {
                let why = syncline_domain::server::Origin::forbids_download(&origins, store)?;
                Some(format!("nothing is synchronised to store {store}: {why}"))
            });
            let Some(why) = why else { continue };
            let message = format!("Schedule {} of sync {} was paused: {why}", schedule.id, sync.name);
            schedule.spec.paused = Some(why);
            let event =
                NewEvent::new("schedule.paused", "system", message).sync(&sync.name).level(LogLevel::Warn);
            match self.db().update_schedule(&schedule, event).await {
                // Changed meanwhile: the next round looks again.
                Ok(_) | Err(syncline_store::Error::Stale { .. } | syncline_store::Error::NotFound { .. }) => {
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
