//! Messages between the server and one device, both ways: kept until the device has them or their time is over, and shown
//! after that until they are pruned.

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    device::message::{Direction, Message, MessageOutcome},
    event::NewEvent,
    ids::{DeviceId, MessageId},
};

use crate::{
    db::Db,
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    page::{Listed, Page},
    row::Row,
    together::{Queue, Together, together},
};

macro_rules! columns {
    () => {
        "id, device, direction, kind, summary, details, at, expires_at, outcome, outcome_at"
    };
}

/// A message for devices.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// What it is.
    pub kind: String,
    /// In one line, for people.
    pub summary: String,
    /// All of it.
    pub details: serde_json::Value,
    /// When it is over.
    pub expires_at: Option<Timestamp>,
}

/// Rows in one statement.
const BATCH: usize = 10_000;

impl Db {
    /// Leaves a message for each of these devices. Devices that are not there are passed over. Gives how many it was left for.
    pub async fn send_message(
        &self,
        devices: &[DeviceId],
        message: &NewMessage,
        event: Option<NewEvent>,
    ) -> Result<u64> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let mut sent = 0;
        for batch in devices.chunks(BATCH) {
            let row = |device: &DeviceId| json!({ "device": device, "id": MessageId::new(now) });
            let rows: Vec<_> = batch.iter().map(row).collect();
            let query = sql(concat!(
                "INSERT INTO messages (",
                columns!(),
                ") SELECT item.value ->> 'id', d.id, 'to-device', $2, $3, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT),
                    'waiting', CAST($5 AS BIGINT)
                FROM {each} JOIN devices d ON d.id = item.value ->> 'device'"
            ));
            let query = query.bind_json(&rows).bind(&message.kind).bind(&message.summary);
            sent +=
                query.bind_json(&message.details).bind(now).bind(message.expires_at).execute(&mut tx).await?;
        }
        if let Some(event) = event {
            tx.event(event);
        }
        tx.commit().await?;
        Ok(sent)
    }

    /// Keeps a message that came from a device, or was sent to it just now. False if it is there already: what was not
    /// acknowledged is repeated.
    pub async fn keep_message(&self, message: &Message) -> Result<bool> {
        together(self, message.clone()).await
    }

    /// What waits for a device and is not over, oldest first.
    pub async fn waiting_messages(&self, device: DeviceId, limit: u32) -> Result<Vec<Message>> {
        let query = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM messages WHERE device = $1 AND outcome = 'waiting' AND (expires_at IS NULL OR expires_at > $2)
            ORDER BY at, id LIMIT $3"
        ));
        let query = query.bind(device).bind(self.now()).bind(limit);
        query.rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }

    /// The device has these. Gives how many that is news of.
    pub async fn acknowledge_messages(&self, device: DeviceId, ids: &[MessageId]) -> Result<u64> {
        let ids: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
        let query = sql("UPDATE messages SET outcome = 'acknowledged', outcome_at = $3
            WHERE device = $2 AND outcome IN ('waiting', 'sent') AND id IN (SELECT item.value ->> 'id' FROM {each})");
        let query = query.bind_json(&ids).bind(device).bind(self.now());
        query.execute(&mut self.write_once().await?).await
    }

    /// Ends the messages whose time is over. Gives how many.
    pub async fn expire_messages(&self) -> Result<u64> {
        let query = sql("UPDATE messages SET outcome = 'expired', outcome_at = $1
            WHERE outcome = 'waiting' AND expires_at <= $1");
        query.bind(self.now()).execute(&mut self.write_once().await?).await
    }

    /// Messages of a device, newest first: all, or those of one direction or outcome.
    pub async fn messages(
        &self,
        device: DeviceId,
        direction: Option<Direction>,
        outcome: Option<MessageOutcome>,
        page: &Page,
    ) -> Result<Listed<Message>> {
        let mut query = sql(concat!("SELECT ", columns!(), " FROM messages WHERE device = $1"))
            .bind(device)
            .push_some(" AND direction = $?", direction.map(Direction::as_str))
            .push_some(" AND outcome = $?", outcome.map(MessageOutcome::as_str));
        if let Some(Position(at, id)) = page.position()? {
            query = query
                .push_with(" AND (at < $?", at)
                .push_with(" OR (at = $?", at)
                .push_with(" AND id < $?))", id);
        }
        let query = query.push_with(" ORDER BY at DESC, id DESC LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let found = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(found, page, |one| format!("{}.{}", one.at.as_microsecond(), one.id)))
    }

    /// One message of a device.
    pub async fn message(&self, device: DeviceId, id: MessageId) -> Result<Message> {
        let query = sql(concat!("SELECT ", columns!(), " FROM messages WHERE device = $1 AND id = $2"));
        let row = query.bind(device).bind(id).row(&mut self.read().await?).await?;
        parse(&row.or_not_found("message", id)?)
    }

    /// Removes messages from before this time that wait for nobody. Gives how many.
    pub async fn prune_messages(&self, before: Timestamp) -> Result<u64> {
        let query = sql("DELETE FROM messages WHERE at < $1 AND outcome <> 'waiting'");
        query.bind(before).execute(&mut self.write_once().await?).await
    }
}

impl Together for Message {
    type Context = Db;
    type Error = Error;
    type Answer = bool;
    const MOST: usize = 1_000;

    fn queue(db: &Db) -> &Queue<Self> {
        &db.queues().messages
    }

    fn stopping() -> Error {
        Error::stopping()
    }

    async fn all(db: &Db, all: &[Self]) -> Result<Vec<bool>> {
        let now = db.now();
        let mut tx = db.begin().await?;
        let mut kept = Vec::with_capacity(all.len());
        for message in all {
            kept.push(keep(&mut tx, message, now).await?);
        }
        tx.commit().await?;
        Ok(kept)
    }
}

/// Keeps a message as of `now`. False if there is one with its id.
pub(super) async fn keep(on: &mut Session, message: &Message, now: Timestamp) -> Result<bool> {
    let query = sql(concat!(
        "INSERT INTO messages (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7) ON CONFLICT (device, id) DO NOTHING"
    ));
    let query = query.bind(message.id).bind(message.device).bind(message.direction.as_str());
    let query = query.bind(&message.kind).bind(&message.summary).bind_json(&message.details);
    let query = query.bind(now).bind(message.expires_at).bind(message.outcome.as_str());
    Ok(query.execute(on).await? == 1)
}

/// Where a list goes on.
struct Position(i64, MessageId);

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('.').ok_or(())?;
        Ok(Self(at.parse().map_err(|_| ())?, id.parse().map_err(|_| ())?))
    }
}

fn parse(row: &Row) -> Result<Message> {
    let row = row.of("messages", "id");
    Ok(Message {
        id: row.parse("id")?,
        device: row.parse("device")?,
        direction: row.word("direction")?,
        kind: row.get("kind")?,
        summary: row.get("summary")?,
        details: row.json("details")?,
        at: row.time("at")?,
        expires_at: row.time_opt("expires_at")?,
        outcome: row.word("outcome")?,
        outcome_at: row.time("outcome_at")?,
    })
}
