//! Schedules, and which of them are due. What happens when one fires: [`fire`]; when somebody asks for it at once: [`now`].

pub(crate) mod fire;
pub(crate) mod now;

use jiff::Timestamp;
use syncline_domain::{
    event::NewEvent,
    ids::{NodeId, ScheduleId},
    schedule::{Owner, Schedule},
    sync::Sync,
};

use crate::{
    db::{Db, Tx},
    dialect::{Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
    syncs,
};

macro_rules! columns {
    () => {
        "id, sync, spec, paused, node, created_at, next_nominal, next_run, last_nominal, revision"
    };
}

impl Db {
    /// Makes a schedule of a sync that is there. Its revision is 1, whatever `schedule` says.
    pub async fn add_schedule(&self, schedule: &Schedule, event: NewEvent) -> Result<Schedule> {
        self.add_schedule_and(None, schedule, vec![event]).await
    }

    /// Makes a schedule and the sync that is made for it.
    pub async fn add_schedule_with_sync(
        &self,
        sync: &Sync,
        schedule: &Schedule,
        events: Vec<NewEvent>,
    ) -> Result<Schedule> {
        self.add_schedule_and(Some(sync), schedule, events).await
    }

    async fn add_schedule_and(
        &self,
        sync: Option<&Sync>,
        schedule: &Schedule,
        events: Vec<NewEvent>,
    ) -> Result<Schedule> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        if let Some(sync) = sync {
            syncs::insert(&mut tx, sync).await?;
        }
        syncs::must_exist(&mut tx, &schedule.spec.sync).await?;
        let query = sql(concat!(
            "INSERT INTO schedules (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1)"
        ));
        let query = query
            .bind(schedule.id)
            .bind(&schedule.spec.sync)
            .bind_json(&schedule.spec)
            .bind(schedule.spec.paused.is_some())
            .bind(owner_node(schedule.owner))
            .bind(schedule.created_at)
            .bind(schedule.next_nominal)
            .bind(schedule.next_run)
            .bind(schedule.last_nominal);
        query.execute(&mut tx).await.map_err(|error| error.or_exists("schedule", schedule.id))?;
        let added = find(&mut tx, schedule.id).await?;
        for event in events {
            tx.event(event);
        }
        tx.commit().await?;
        Ok(added)
    }

    /// All schedules, oldest first.
    pub async fn schedules(&self) -> Result<Vec<Schedule>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM schedules ORDER BY id"));
        query.rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }

    /// The schedule of this id.
    pub async fn schedule(&self, id: ScheduleId) -> Result<Schedule> {
        find(&mut self.read().await?, id).await
    }

    /// Changes a schedule that was read before, its next tick included: its revision must still be what it was.
    pub async fn update_schedule(&self, schedule: &Schedule, event: NewEvent) -> Result<Schedule> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let stored = put(&mut tx, schedule).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Changes a schedule and the sync that was made for it, both of which must be what they were.
    pub async fn update_schedule_with_sync(
        &self,
        schedule: &Schedule,
        sync: &Sync,
        event: NewEvent,
    ) -> Result<Schedule> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        syncs::put(&mut tx, sync).await?;
        let stored = put(&mut tx, schedule).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Removes a schedule, and the sync that was made for it once no run of that is under way; its runs stay in the history.
    pub async fn remove_schedule(&self, id: ScheduleId, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        remove(&mut tx, id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// Schedules that this node fires and whose time has come, the longest overdue first.
    pub async fn due_schedules(&self, now: Timestamp) -> Result<Vec<Schedule>> {
        let query = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM schedules WHERE NOT paused AND next_run <= $1 AND (node IS NULL OR node = $2)
            ORDER BY next_run, id"
        ));
        let rows = query.bind(now).bind(self.node()).rows(&mut self.read().await?).await?;
        rows.iter().map(parse).collect()
    }
}

/// Changes a schedule, whose revision must be what it was.
pub(crate) async fn put(tx: &mut Tx, schedule: &Schedule) -> Result<Schedule> {
    syncs::must_exist(tx, &schedule.spec.sync).await?;
    let query = sql("UPDATE schedules SET sync = $3, spec = $4, paused = $5, node = $6, next_nominal = $7,
            next_run = $8, revision = revision + 1
        WHERE id = $1 AND revision = $2");
    let query = query
        .bind(schedule.id)
        .bind(schedule.revision)
        .bind(&schedule.spec.sync)
        .bind_json(&schedule.spec)
        .bind(schedule.spec.paused.is_some())
        .bind(owner_node(schedule.owner))
        .bind(schedule.next_nominal)
        .bind(schedule.next_run);
    let changed = query.execute(tx).await?;
    let stored = find(tx, schedule.id).await?;
    if changed == 0 {
        return Err(Error::Stale { what: "schedule", name: schedule.id.to_string() });
    }
    Ok(stored)
}

/// Removes a schedule, and what was made for it.
pub(crate) async fn remove(tx: &mut Tx, id: ScheduleId) -> Result<()> {
    let schedule = find(tx, id).await?;
    let made = syncs::of_schedule(tx, &schedule.spec.sync, id).await?;
    sql("DELETE FROM schedules WHERE id = $1").bind(id).execute(tx).await?;
    if let Some(sync) = made {
        // While a run of it is under way it stays, and goes after that.
        syncs::remove_if_idle(tx, &sync).await?;
    }
    Ok(())
}

const fn owner_node(owner: Owner) -> Option<NodeId> {
    match owner {
        Owner::Node(node) => Some(node),
        Owner::Cluster => None,
    }
}

async fn find(session: &mut Session, id: ScheduleId) -> Result<Schedule> {
    let query = sql(concat!("SELECT ", columns!(), " FROM schedules WHERE id = $1"));
    parse(&query.bind(id).row(session).await?.or_not_found("schedule", id)?)
}

fn parse(row: &Row) -> Result<Schedule> {
    let row = row.of("schedules", "id");
    Ok(Schedule {
        id: row.parse("id")?,
        spec: row.json("spec")?,
        owner: row.parse_opt("node")?.map_or(Owner::Cluster, Owner::Node),
        created_at: row.time("created_at")?,
        next_nominal: row.time_opt("next_nominal")?,
        next_run: row.time_opt("next_run")?,
        last_nominal: row.time_opt("last_nominal")?,
        revision: row.get("revision")?,
    })
}
