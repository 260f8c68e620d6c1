//! Schedules: made, changed, paused, removed; and fired.
//!
//! * here: schedules of a sync, and firing
//! * `parts`: schedules of components and servers, and the syncs behind them
//! * `now`: running some at once
//! * `catch_up`: what runs left of distribution servers

mod catch_up;
mod now;
mod parts;

use std::time::Duration;

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::NewEvent,
    ids::ScheduleId,
    log::LogLevel,
    schedule::{Due, Owner, Schedule, ScheduleSpec, When, due, jitter},
    sync::Sync,
};

pub use parts::Parts;

use crate::{Engine, Error, Result};

/// How often a directory is read where nobody says anything else, in seconds.
const IMPORTED_EVERY: u32 = 3_600;
/// How far such reads are spread, in seconds: directories are asked by many at the full hour.
const IMPORTS_SPREAD: u32 = 300;

impl Engine {
    /// Makes a schedule. `cluster`: any node that shares the database fires it; otherwise this one does.
    pub async fn create_schedule(&self, spec: ScheduleSpec, cluster: bool, actor: &str) -> Result<Schedule> {
        let now = self.clock().now();
        self.check_schedule(&spec, now).await?;
        let id = ScheduleId::new(now);
        let schedule = self.new_schedule(id, spec, cluster, now)?;
        let message = format!("A schedule of sync {} was made", schedule.spec.sync);
        let event = NewEvent::new("schedule.created", actor, message).sync(&schedule.spec.sync);
        self.db().add_schedule(&schedule, event).await?;
        self.wake();
        Ok(schedule)
    }

    /// A schedule that is to be made.
    fn new_schedule(
        &self,
        id: ScheduleId,
        spec: ScheduleSpec,
        cluster: bool,
        now: Timestamp,
    ) -> Result<Schedule> {
        let next_nominal = spec.when.next(now, now)?;
        Ok(Schedule {
            id,
            owner: if cluster { Owner::Cluster } else { Owner::Node(self.node()) },
            created_at: now,
            next_nominal,
            next_run: fires_at(id, &spec, next_nominal),
            last_nominal: None,
            revision: 1,
            spec,
        })
    }

    /// Makes a sync that reads directories, with a schedule of the cluster: what is known of people is not to grow old because
    /// nobody thought of one.
    pub(crate) async fn add_with_import_schedule(
        &self,
        sync: &Sync,
        event: NewEvent,
        actor: &str,
    ) -> Result<()> {
        let now = self.clock().now();
        let when = When::Interval { seconds: IMPORTED_EVERY, anchor: None };
        let spec = ScheduleSpec {
            jitter_seconds: IMPORTS_SPREAD,
            description: "Made with its sync: change, pause or remove it as any other.".to_owned(),
            ..ScheduleSpec::new(sync.name.clone(), when)
        };
        let id = ScheduleId::new(now);
        let schedule = self.new_schedule(id, spec, true, now)?;
        let message = format!("A schedule of sync {} was made, every 60 minutes", sync.name);
        let made = NewEvent::new("schedule.created", actor, message).sync(&sync.name);
        self.db().add_schedule_with_sync(sync, &schedule, vec![event, made]).await?;
        self.wake();
        Ok(())
    }

    /// Changes a schedule of this node or of the cluster, and what its sync is made of if it was made of `parts`. `revision` is
    /// the one that the caller read.
    pub async fn change_schedule(
        &self,
        id: ScheduleId,
        spec: ScheduleSpec,
        parts: Option<Parts>,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<Schedule> {
        let now = self.clock().now();
        let mut schedule = self.db().schedule(id).await?;
        self.must_own(&schedule).await?;
        let remade = self.remade_sync(&schedule, &spec, parts).await?;
        self.check_schedule(&spec, now).await?;
        schedule.revision = revision.unwrap_or(schedule.revision);
        // Resuming a paused schedule does not make up for the time it was paused.
        schedule.next_nominal = spec.when.next(schedule.created_at, now)?;
        schedule.next_run = fires_at(id, &spec, schedule.next_nominal);
        schedule.spec = spec;
        let event = NewEvent::new("schedule.changed", actor, format!("Schedule {id} was changed"))
            .sync(&schedule.spec.sync);
        let schedule = match remade {
            Some(sync) => self.db().update_schedule_with_sync(&schedule, &sync, event).await?,
            None => self.db().update_schedule(&schedule, event).await?,
        };
        self.wake();
        Ok(schedule)
    }

    /// The sync of a schedule as it is after a change of what it is made of; `None` if it stays as it is.
    async fn remade_sync(
        &self,
        schedule: &Schedule,
        wanted: &ScheduleSpec,
        parts: Option<Parts>,
    ) -> Result<Option<Sync>> {
        let mut sync = self.db().sync(&schedule.spec.sync).await?;
        let made = sync.made_by.take().filter(|made| made.schedule == schedule.id);
        if made.is_some() && wanted.sync != schedule.spec.sync {
            let message =
                format!("sync {} was made for this schedule: change components and servers", sync.name);
            return Err(Error::conflict("schedule-sync", message));
        }
        let (made, parts) = match (made, parts) {
            (Some(made), Some(parts)) => (made, parts),
            (None, Some(_)) => {
                let message = "this schedule runs a sync that was not made for it: change the sync, or delete the schedule \
                    and make one of components and servers";
                return Err(Error::conflict("schedule-sync", message));
            }
            (_, None) => return Ok(None),
        };
        let named: Vec<&str> = made.components.iter().map(Name::as_str).collect();
        if named == parts.components && made.servers == parts.servers {
            return Ok(None);
        }
        let (made, spec, _) = self.sync_of_parts(schedule.id, &parts, sync.spec.pace).await?;
        sync.spec.settings = spec.settings;
        sync.spec.sources = spec.sources;
        sync.spec.targets = spec.targets;
        sync.made_by = Some(made);
        Ok(Some(sync))
    }

    /// Pauses a schedule with a reason, or lets it go on.
    pub async fn pause_schedule(
        &self,
        id: ScheduleId,
        reason: Option<String>,
        actor: &str,
    ) -> Result<Schedule> {
        let schedule = self.db().schedule(id).await?;
        let spec = ScheduleSpec { paused: reason, ..schedule.spec };
        self.change_schedule(id, spec, None, Some(schedule.revision), actor).await
    }

    /// Removes a schedule, whoever owns it, and the sync that was made for it. Runs that it began go on.
    pub async fn remove_schedule(&self, id: ScheduleId, actor: &str) -> Result<()> {
        let schedule = self.db().schedule(id).await?;
        let event = NewEvent::new("schedule.removed", actor, format!("Schedule {id} was removed"))
            .sync(&schedule.spec.sync);
        Ok(self.db().remove_schedule(id, event).await?)
    }

    /// Whether this node may change and run a schedule.
    pub(crate) async fn must_own(&self, schedule: &Schedule) -> Result<()> {
        match schedule.owner {
            Owner::Node(node) if node != self.node() => {
                let nodes = self.db().nodes().await?;
                let name = nodes.into_iter().find(|one| one.id == node).map(|one| one.name);
                let name =
                    name.map_or_else(|| "which is not known any more".to_owned(), |name| format!("{name:?}"));
                let message = format!(
                    "schedule {} belongs to node {node}, {name}: change or run it there, or delete it here and make it anew",
                    schedule.id
                );
                Err(Error::conflict("schedule-owner", message))
            }
            _ => Ok(()),
        }
    }

    async fn check_schedule(&self, spec: &ScheduleSpec, now: Timestamp) -> Result<()> {
        spec.check(now)?;
        self.db().sync(&spec.sync).await.map_err(|error| match Error::from(error) {
            Error::NotFound { name, .. } => {
                Error::invalid("schedule-sync", format!("there is no sync {name:?}: make it first"))
            }
            other => other,
        })?;
        Ok(())
    }

    /// Fires what is due, until the node stops.
    pub(crate) async fn fire_schedules_until_stopped(&self) {
        while !self.is_stopping() {
            let fired = match self.fire_due().await {
                Ok(()) => self.catch_up().await,
                error => error,
            };
            let wait = match fired {
                Ok(()) => self.config().poll,
                Err(error) => {
                    tracing::error!(%error, "Schedules could not be looked through; trying again");
                    self.config().poll * 4
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.inner.stopping.cancelled() => {}
            }
        }
    }

    /// Fires all that is due now.
    pub(crate) async fn fire_due(&self) -> Result<()> {
        let now = self.clock().now();
        for schedule in self.db().due_schedules(now).await? {
            if let Err(error) = self.fire(&schedule, now).await {
                self.pause_broken(&schedule, &error).await?;
            }
        }
        self.fire_refreshes(now).await
    }

    async fn fire(&self, schedule: &Schedule, now: Timestamp) -> Result<()> {
        let Some(next_nominal) = schedule.next_nominal else { return Ok(()) };
        let (id, spec) = (schedule.id, &schedule.spec);
        let due: Due = due(id, spec, schedule.created_at, next_nominal, now)?;
        let sync = self.db().sync(&spec.sync).await?;
        if due.run.is_some() {
            self.refresh_before(&sync, &format!("schedule {id}")).await?;
        }
        let new = self.scheduled_run(&sync, id, due.run).await?;
        let fired = self.db().fire_schedule(schedule, &due, fires_at(id, spec, due.next), &new).await?;
        if fired.skipped > 0 {
            tracing::warn!(schedule = %id, sync = %spec.sync, skipped = fired.skipped, "Ticks were skipped");
        }
        if fired.run.is_some() {
            self.wake();
        }
        Ok(())
    }

    /// A schedule that cannot fire must not be tried twice a second for ever, nor be dropped: it is paused and says why.
    async fn pause_broken(&self, schedule: &Schedule, error: &Error) -> Result<()> {
        if matches!(error, Error::Internal(_)) {
            tracing::error!(schedule = %schedule.id, %error, "A schedule could not fire; trying again");
            return Ok(());
        }
        let mut paused = schedule.clone();
        paused.spec.paused = Some(format!("cannot fire: {error}"));
        let message = format!("Schedule {} of sync {} was paused: {error}", schedule.id, schedule.spec.sync);
        let event = NewEvent::new("schedule.paused", "system", message)
            .sync(&schedule.spec.sync)
            .level(LogLevel::Error);
        match self.db().update_schedule(&paused, event).await {
            Ok(_) | Err(syncline_store::Error::Stale { .. } | syncline_store::Error::NotFound { .. }) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Drops old events and leases of nodes that went away, until the node stops.
    pub(crate) async fn keep_house_until_stopped(&self) {
        let mut round: u32 = 0;
        while !self.is_stopping() {
            if let Err(error) = self.keep_house(round).await {
                tracing::error!(%error, "Housekeeping failed; trying again");
            }
            round = round.wrapping_add(1);
            tokio::select! {
                () = tokio::time::sleep(self.config().lease / 3) => {}
                () = self.inner.stopping.cancelled() => {}
            }
        }
    }

    async fn keep_house(&self, round: u32) -> Result<()> {
        self.db().touch_node(self.node(), &self.config().node_name, env!("CARGO_PKG_VERSION")).await?;
        for run in self.db().expire_leases().await? {
            tracing::warn!(run = %run.id, of = %run.subject, state = %run.state, "The node of a run went away");
            self.wake();
        }
        for sync in self.db().remove_orphaned_syncs().await? {
            tracing::info!(%sync, "A sync went after its schedule");
        }
        self.pause_schedules_to_sources().await?;
        if round.is_multiple_of(120) {
            self.prune_events().await?;
        }
        Ok(())
    }

    /// A batch at a time, so that nobody who writes waits long.
    async fn prune_events(&self) -> Result<()> {
        const BATCH: u32 = 5_000;
        let (keep, most) = (self.config().keep_events, self.config().keep_events_count);
        let oldest = self.clock().now().checked_sub(keep).map_err(Error::internal)?;
        let mut removed = u64::from(BATCH);
        while removed >= u64::from(BATCH) && !self.is_stopping() {
            removed = self.db().prune_events(oldest, most, BATCH).await?;
        }
        Ok(())
    }
}

fn fires_at(id: ScheduleId, spec: &ScheduleSpec, nominal: Option<Timestamp>) -> Option<Timestamp> {
    let nominal = nominal?;
    let later: Duration = jitter(id, nominal, spec.jitter_seconds);
    nominal.checked_add(later).ok()
}
