//! The Event History: append-only, numbered without gaps in the order of commits.
//!
//! Other modules write events with their own changes, through the transaction; see `Tx::event` in `db.rs`.

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::{Event, NewEvent},
    ids::{DeviceId, RunId},
    log::LogLevel,
};
use tokio::sync::watch;

use crate::{
    db::Db,
    dialect::{Session, sql},
    error::{Error, Result},
    page::{Listed, Page},
    row::Row,
};

macro_rules! columns {
    () => {
        "seq, at, node, kind, level, message, actor, run, sync, store, plugin, device, data"
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
    /// About this sync.
    pub sync: Option<Name>,
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

    /// Removes events older than `older_than` and all but the newest `keep_at_most`. Gives how many.
    pub async fn prune_events(&self, older_than: Timestamp, keep_at_most: u64) -> Result<u64> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM events WHERE at < $1
            OR seq <= (SELECT value FROM counters WHERE name = 'event') - $2");
        let keep = keep_at_most.min(i64::MAX.unsigned_abs());
        let removed = query.bind(older_than).bind_u64(keep).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

/// Numbers and writes events at the end of a transaction.
pub(crate) async fn write(session: &mut Session, db: &Db, events: Vec<NewEvent>) -> Result<Vec<Event>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
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
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
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
    .bind(event.plugin.as_ref())
    .bind(event.device)
    .bind_json_opt((!event.data.is_null()).then_some(&event.data))
    .execute(session)
    .await?;
    Ok(())
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
