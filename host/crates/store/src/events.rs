//! The Event History: append-only, numbered without gaps in the order of commits. Nothing changes an event; what is too old
//! or too much is removed by [`Db::prune_events`] alone.
//!
//! Other modules write events with their own changes, through the transaction; see `Tx::event` in `db.rs`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::{Event, NewEvent},
    ids::{DeviceId, NodeId, RunId},
    log::LogLevel,
};
use tokio::sync::watch;

use crate::{
    db::Db,
    dialect::{Session, sql},
    error::{Error, Result},
    page::{Listed, Page},
    row::Row,
    syncs,
};

macro_rules! columns {
    () => {
        "seq, at, node, kind, level, message, actor, run, sync, store, collections, plugin, device, data"
    };
}

/// Which events are wanted: those for which all that is set holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFilter {
    /// Written at this time or later.
    pub after: Option<Timestamp>,
    /// Written before this time.
    pub before: Option<Timestamp>,
    /// About this store.
    pub store: Option<Name>,
    /// About this collection, whatever else it is about.
    pub collection: Option<Name>,
    /// About this sync.
    pub sync: Option<Name>,
    /// Written by this node.
    pub node: Option<NodeId>,
    /// About this run.
    pub run: Option<RunId>,
    /// About this plugin.
    pub plugin: Option<Name>,
    /// About this device.
    pub device: Option<DeviceId>,
    /// Of this kind; with a `.` at its end, of all kinds that begin so.
    pub kind: Option<String>,
    /// Caused by this actor.
    pub actor: Option<String>,
    /// At least this pressing.
    pub level: Option<LogLevel>,
}

impl EventFilter {
    /// Whether an event is wanted: the same question that [`Db::events`] asks the database.
    pub fn wants(&self, Event { at, node, event, .. }: &Event) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let of_kind = |kind: &String| {
            event.kind == *kind || (kind.ends_with('.') && event.kind.starts_with(kind.as_str()))
        };
        self.after.is_none_or(|after| *at >= after)
            && self.before.is_none_or(|before| *at < before)
            && is(self.store.as_ref(), event.store.as_ref())
            && self.collection.as_ref().is_none_or(|wanted| event.collections.contains(wanted))
            && is(self.sync.as_ref(), event.sync.as_ref())
            && is(self.node.as_ref(), Some(node))
            && is(self.run.as_ref(), event.run.as_ref())
            && is(self.plugin.as_ref(), event.plugin.as_ref())
            && is(self.device.as_ref(), event.device.as_ref())
            && self.kind.as_ref().is_none_or(of_kind)
            && is(self.actor.as_ref(), Some(&event.actor))
            && self.level.is_none_or(|level| event.level >= level)
    }
}

impl Db {
    /// Writes an event that goes with no other change.
    pub async fn append_event(&self, event: NewEvent) -> Result<Event> {
        let mut tx = self.begin().await?;
        tx.event(event);
        tx.commit().await?.pop().ok_or(Error::Database(sqlx::Error::RowNotFound))
    }

    /// Events, newest first.
    pub async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Listed<Event>> {
        let mut query = sql(concat!("SELECT ", columns!(), " FROM events WHERE TRUE"))
            .push_some(" AND seq < $?", page.position::<i64>()?)
            .push_some(" AND at >= $?", filter.after)
            .push_some(" AND at < $?", filter.before)
            .push_some(" AND store = $?", filter.store.as_ref())
            .push_some(" AND sync = $?", filter.sync.as_ref())
            // A `_` in a name is any character to LIKE: names are looked for as they are.
            .push_some(" AND collections LIKE $? ESCAPE '!'", filter.collection.as_ref().map(mentions))
            .push_some(" AND node = $?", filter.node)
            .push_some(" AND run = $?", filter.run)
            .push_some(" AND plugin = $?", filter.plugin.as_ref())
            .push_some(" AND device = $?", filter.device)
            .push_some(" AND actor = $?", filter.actor.as_ref())
            .push_some(" AND level >= $?", filter.level.map(rank));
        query = match &filter.kind {
            Some(kind) if kind.ends_with('.') => {
                query.push_with(" AND substr(kind, 1, length($?)) = $?", kind)
            }
            kind => query.push_some(" AND kind = $?", kind.as_ref()),
        };
        let query = query.push_with(" ORDER BY seq DESC LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let events = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(events, page, |event| event.seq.to_string()))
    }

    /// The events after `seq`, oldest first, at most `limit`. For whoever follows the history.
    pub async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<Event>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM events WHERE seq > $1 ORDER BY seq LIMIT $2"));
        let rows = query.bind(seq).bind(limit).rows(&mut self.read().await?).await?;
        rows.iter().map(parse).collect()
    }

    /// The number of the newest event; 0 if there was none.
    pub async fn last_event(&self) -> Result<i64> {
        let query = sql("SELECT value FROM counters WHERE name = 'event'");
        let row = query.row(&mut self.read().await?).await?;
        row.map_or(Ok(0), |row| row.number())
    }

    /// Tells the number of the newest event that *this* process wrote. Other nodes' events have to be looked for from time
    /// to time.
    pub fn event_signal(&self) -> watch::Receiver<i64> {
        self.signal().subscribe()
    }

    /// Removes the oldest of the events that are older than `older_than` or more than the newest `keep_at_most`, at most
    /// `batch` of them, and gives how many. Those of runs that have not ended stay. What was removed is an event itself,
    /// unless it was nothing but such events.
    pub async fn prune_events(&self, older_than: Timestamp, keep_at_most: u64, batch: u32) -> Result<u64> {
        let mut tx = self.begin().await?;
        let last = sql("SELECT value FROM counters WHERE name = 'event'").row(&mut tx).await?;
        let keep = i64::try_from(keep_at_most).unwrap_or(i64::MAX);
        let too_many = last.map_or(Ok(0), |row| row.number())?.saturating_sub(keep);
        let query = sql("SELECT COALESCE(MAX(seq), 0) FROM events WHERE at < $1");
        let too_old = query.bind(older_than).row(&mut tx).await?.map_or(Ok(0), |row| row.number())?;
        // No further than this has to be looked.
        let bound = too_many.max(too_old);
        let query = sql("SELECT seq, at, kind FROM events
            WHERE seq <= $1 AND (seq <= $2 OR at < $3)
                AND (run IS NULL OR run NOT IN (SELECT id FROM runs
                    WHERE state IN ('queued', 'claimed', 'running', 'held', 'cancelling')))
            ORDER BY seq LIMIT $4");
        let rows = query.bind(bound).bind(too_many).bind(older_than).bind(batch).rows(&mut tx).await?;
        let Some(pruned) = Pruned::of(&rows)? else { return Ok(0) };
        let query = sql("DELETE FROM events WHERE seq >= $1 AND seq <= $2 AND (seq <= $3 OR at < $4)
            AND (run IS NULL OR run NOT IN (SELECT id FROM runs
                WHERE state IN ('queued', 'claimed', 'running', 'held', 'cancelling')))");
        let query = query.bind(pruned.from).bind(pruned.to).bind(too_many).bind(older_than);
        let removed = query.execute(&mut tx).await?;
        if pruned.is_worth_telling {
            tx.event(pruned.event(removed));
        }
        tx.commit().await?;
        Ok(removed)
    }
}

/// What [`Db::prune_events`] removes at a time.
struct Pruned {
    from: i64,
    to: i64,
    newest: Timestamp,
    is_worth_telling: bool,
}

impl Pruned {
    const KIND: &str = "events.pruned";

    fn of(rows: &[Row]) -> Result<Option<Self>> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(None) };
        let (first, last) = (first.of("events", "seq"), last.of("events", "seq"));
        let mut is_worth_telling = false;
        for row in rows {
            is_worth_telling |= row.of("events", "seq").get::<String>("kind")? != Self::KIND;
        }
        let (from, to, newest) = (first.get("seq")?, last.get("seq")?, last.time("at")?);
        Ok(Some(Self { from, to, newest, is_worth_telling }))
    }

    fn event(&self, removed: u64) -> NewEvent {
        let Self { from, to, newest, .. } = self;
        let message =
            format!("Events removed by the retention of the history: {removed}, the newest of {newest}");
        let data = serde_json::json!({ "removed": removed, "from": from, "to": to });
        NewEvent::new(Self::KIND, "system", message).data(data)
    }
}

/// Numbers and writes events at the end of a transaction.
pub(crate) async fn write(session: &mut Session, db: &Db, events: Vec<NewEvent>) -> Result<Vec<Event>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let events = about_collections(session, events).await?;
    let count = u64::try_from(events.len()).map_err(Error::encode)?;
    let query = sql("UPDATE counters SET value = value + $1 WHERE name = 'event' RETURNING value");
    let row = query.bind_u64(count).row(session).await?;
    let last = row.ok_or(Error::Database(sqlx::Error::RowNotFound))?.number()?;
    // To the microsecond, as it will be read back.
    let now = db.now();
    let at = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let mut written = Vec::with_capacity(events.len());
    for (seq, event) in (last + 1 - count.cast_signed()..).zip(events) {
        let event = Event { seq, at, node: db.node(), event };
        insert(session, &event).await?;
        written.push(event);
    }
    Ok(written)
}

async fn insert(session: &mut Session, event: &Event) -> Result<()> {
    let Event { seq, at, node, event } = event;
    sql(concat!(
        "INSERT INTO events (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    ))
    .bind(*seq)
    .bind(*at)
    .bind(*node)
    .bind(&event.kind)
    .bind(rank(event.level))
    .bind(&event.message)
    .bind(&event.actor)
    .bind(event.run)
    .bind(event.sync.as_ref())
    .bind(event.store.as_ref())
    .bind(listed(&event.collections))
    .bind(event.plugin.as_ref())
    .bind(event.device)
    .bind_json_opt((!event.data.is_null()).then_some(&event.data))
    .execute(session)
    .await?;
    Ok(())
}

/// What happens to a sync concerns the collections that it reads. Asked before the events are numbered: from then on others
/// wait.
async fn about_collections(session: &mut Session, mut events: Vec<NewEvent>) -> Result<Vec<NewEvent>> {
    let mut read: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    for event in &mut events {
        let Some(sync) = event.sync.as_ref().filter(|_| event.collections.is_empty()) else { continue };
        if !read.contains_key(sync) {
            read.insert(sync.clone(), syncs::collections_of(session, sync).await?);
        }
        event.collections = read.get(sync).cloned().unwrap_or_default();
    }
    Ok(events)
}

/// Names as they are stored: each between spaces.
fn listed(collections: &[Name]) -> Option<String> {
    let words: Vec<&str> = collections.iter().map(Name::as_str).collect();
    (!words.is_empty()).then(|| format!(" {} ", words.join(" ")))
}

/// A pattern that finds a name in such a list.
fn mentions(collection: &Name) -> String {
    format!("% {} %", collection.as_str().replace('_', "!_"))
}

fn collections(listed: Option<String>) -> Result<Vec<Name>, String> {
    let listed = listed.unwrap_or_default();
    listed.split_whitespace().map(|name| name.parse().map_err(|error| format!("{error}"))).collect()
}

/// Tells those who wait for events of this process.
pub(crate) fn announce(db: &Db, seq: i64) {
    // Two commits can come by here in either order: the number only rises.
    db.signal().send_if_modified(|last| {
        let newer = seq > *last;
        *last = seq.max(*last);
        newer
    });
}

fn parse(row: &Row) -> Result<Event> {
    let row = row.of("events", "seq");
    Ok(Event {
        seq: row.get("seq")?,
        at: row.time("at")?,
        node: row.parse("node")?,
        event: NewEvent {
            kind: row.get("kind")?,
            level: row.check("level", level(row.get("level")?))?,
            message: row.get("message")?,
            actor: row.get("actor")?,
            run: row.parse_opt("run")?,
            sync: row.parse_opt("sync")?,
            store: row.parse_opt("store")?,
            collections: row.check("collections", collections(row.get("collections")?))?,
            plugin: row.parse_opt("plugin")?,
            device: row.parse_opt("device")?,
            data: row.json_opt("data")?.unwrap_or_default(),
        },
    })
}

/// Stored as a number, so that "at least" is a comparison.
const LEVELS: [LogLevel; 5] =
    [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

const fn rank(level: LogLevel) -> i64 {
    match level {
        LogLevel::Trace => 0,
        LogLevel::Debug => 1,
        LogLevel::Info => 2,
        LogLevel::Warn => 3,
        LogLevel::Error => 4,
    }
}

fn level(rank: i64) -> Result<LogLevel, String> {
    let found = usize::try_from(rank).ok().and_then(|rank| LEVELS.get(rank).copied());
    found.ok_or_else(|| format!("{rank} is no level"))
}
