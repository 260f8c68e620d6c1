//! Refreshes of collections: queued once at a time, by hand or by their schedule; and the collections that a server comes with.

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::NewEvent,
    log::LogLevel,
    place::{Collection, StoreRecord},
    run::{Run, RunState},
    schedule::Due,
};

use crate::{
    db::{Db, Tx},
    dialect::{Turn, sql},
    error::{Error, Result},
    places::{self, collection_columns},
    runs::{self, NewRun},
};

/// A refresh that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Refresh {
    /// The run.
    pub run: Run,
    /// Whether it was queued now; it was under way already otherwise.
    pub is_new: bool,
}

impl Db {
    /// Queues a refresh, or gives the one that is under way.
    pub async fn enqueue_refresh(&self, run: &NewRun, event: NewEvent) -> Result<Refresh> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Runs).await?;
        let refresh = enqueue(&mut tx, run, event, self.now()).await?;
        tx.commit().await?;
        Ok(refresh)
    }

    /// Collections whose next tick has come, with that tick: the longest overdue first.
    pub async fn due_refreshes(&self, now: Timestamp) -> Result<Vec<(Collection, Timestamp)>> {
        let query = sql(concat!(
            "SELECT next_tick, ",
            collection_columns!(),
            " FROM collections WHERE next_tick <= $1 ORDER BY next_tick, name"
        ));
        let rows = query.bind(now).rows(&mut self.read().await?).await?;
        let due = rows.iter().map(|row| {
            Ok((places::parse_collection(row)?, row.of("collections", "name").time("next_tick")?))
        });
        due.collect()
    }

    /// Turns the tick of a collection that was due into a refresh, and moves on to the next: once, whichever node does it.
    /// `collection` and `tick` are as they were read; nothing is done if they are others by now. Without `run` the tick is
    /// skipped. Gives the refresh.
    pub async fn fire_refresh(
        &self,
        collection: &Collection,
        tick: Timestamp,
        due: &Due,
        run: Option<&NewRun>,
    ) -> Result<Option<Refresh>> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Runs).await?;
        let query = sql("UPDATE collections SET next_tick = $4
            WHERE name = $1 AND revision = $2 AND next_tick = $3");
        let query = query.bind(&collection.name).bind(collection.revision).bind(tick).bind(due.next);
        if query.execute(&mut tx).await? != 1 {
            return Ok(None);
        }
        let name = &collection.name;
        let late = u64::try_from(due.skipped.len()).unwrap_or(u64::MAX).saturating_add(due.skipped_more);
        if late > 0 {
            tx.event(skipped(name, &format!("{late} late ticks of its schedule were skipped")));
        }
        let mut refresh = None;
        if let Some(run) = run {
            let message = format!("A refresh of collection {name} was queued by its schedule");
            let event = NewEvent::new("run.queued", &run.actor, message).of_run(run.id, &run.subject);
            let queued = enqueue(&mut tx, run, event, self.now()).await?;
            if !queued.is_new {
                let why =
                    format!("a tick of its schedule was skipped, since run {} has not ended", queued.run.id);
                tx.event(skipped(name, &why));
            }
            refresh = Some(queued);
        }
        tx.commit().await?;
        Ok(refresh)
    }

    /// Makes the store and the collections that a server comes with, each unless there is one of its name: once in the life
    /// of a database, so that what was removed stays removed. False if that was done before.
    pub async fn make_library(
        &self,
        store: &StoreRecord,
        collections: &[Collection],
        event: NewEvent,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let query = sql("INSERT INTO made (what, at) VALUES ('library', $1) ON CONFLICT (what) DO NOTHING");
        if query.bind(self.now()).execute(&mut tx).await? == 0 {
            return Ok(false);
        }
        if places::find_store(&mut tx, &store.name).await?.is_none() {
            places::insert_store(store).execute(&mut tx).await?;
        }
        for collection in collections {
            if places::find_collection(&mut tx, &collection.name).await?.is_none() {
                places::insert_collection(collection, self.now()).execute(&mut tx).await?;
            }
        }
        tx.event(event);
        tx.commit().await?;
        Ok(true)
    }

    /// Whether [`Db::make_library`] was done.
    pub async fn has_library(&self) -> Result<bool> {
        let query = sql("SELECT what FROM made WHERE what = 'library'");
        Ok(query.row(&mut self.read().await?).await?.is_some())
    }
}

fn skipped(collection: &Name, why: &str) -> NewEvent {
    NewEvent::new("schedule.skipped", "system", format!("Collection {collection}: {why}"))
        .level(LogLevel::Warn)
        .data(serde_json::json!({ "collection": collection }))
}

/// One that is asked to end is as good as none: the next waits for it.
async fn enqueue(tx: &mut Tx, run: &NewRun, event: NewEvent, now: Timestamp) -> Result<Refresh> {
    let name = run.subject.collection().ok_or_else(|| Error::not_found("collection", &run.subject))?;
    runs::must_exist(tx, &run.subject).await?;
    let query = sql(concat!(
        "SELECT ",
        runs::columns!(),
        " FROM runs WHERE collection = $1 AND state IN ('queued', 'claimed', 'running', 'held') ORDER BY id"
    ));
    if let Some(row) = query.bind(name).row(tx).await? {
        return Ok(Refresh { run: runs::parse(&row)?, is_new: false });
    }
    runs::insert(tx, run, RunState::Queued, None, now).await?;
    let run = runs::find(tx, run.id).await?;
    tx.event(event);
    Ok(Refresh { run, is_new: true })
}
