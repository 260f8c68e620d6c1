//! Presence: that a device was here. Durable before it is answered, and cheap: contacts wait in a queue, and all that wait are
//! one row of an append-only log, in one commit. [`Db::fold_presence`] brings them into the device rows later.
//!
//! The sequence number of a device's last message goes with its contact. It is looked for in memory first, where the log that
//! was not folded is read into when the database is opened, then in the device's row.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use syncline_domain::{device::SyncKind, ids::DeviceId};

use super::{contact, status};
use crate::{
    db::{Db, Tx},
    dialect::{Turn, sql},
    error::{Error, Result},
    row::Row,
    together::{Queue, Together, together},
};

/// A device was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// The device.
    pub device: DeviceId,
    /// When.
    pub at: Timestamp,
    /// When it is expected next.
    pub next: Timestamp,
    /// After this it counts as silent.
    pub silent_after: Timestamp,
    /// The synchronisation that this contact completed, if it did.
    pub synced: Option<SyncKind>,
    /// The process that spoke for it.
    pub instance_uid: [u8; 16],
    /// Its sequence number; 0 if it says none.
    pub sequence: u64,
}

/// Where a device's messages stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSequence {
    /// The process that spoke for it last.
    pub instance_uid: [u8; 16],
    /// Its last sequence number.
    pub sequence: u64,
}

/// What waits for a commit, and what was last heard of each device here.
#[derive(Default)]
pub(crate) struct Presence {
    queue: Queue<Contact>,
    last: Mutex<HashMap<DeviceId, LastSequence>>,
    /// The newest row of this node's log.
    seq: AtomicI64,
}

impl Together for Contact {
    type Context = Db;
    type Error = Error;
    type Answer = ();
    const MOST: usize = 4_096;

    fn queue(db: &Db) -> &Queue<Self> {
        &db.presence().queue
    }

    fn stopping() -> Error {
        Error::stopping()
    }

    async fn all(db: &Db, all: &[Self]) -> Result<Vec<()>> {
        db.append(all).await?;
        let mut last = db.presence().last.lock();
        for contact in all {
            remember(&mut last, contact);
        }
        Ok(vec![(); all.len()])
    }
}

impl Db {
    /// Writes down that a device was here. Returns when it is durable; contacts that come meanwhile share the next commit. Whoever
    /// does not wait for the answer leaves the contact in the queue.
    pub async fn record_contact(&self, contact: Contact) -> Result<()> {
        together(self, contact).await
    }

    async fn append(&self, contacts: &[Contact]) -> Result<()> {
        let seq = self.presence().seq.fetch_add(1, Ordering::Relaxed) + 1;
        let query = sql("INSERT INTO presence_log (node, seq, contacts) VALUES ($1, $2, $3)");
        let query = query.bind(self.node()).bind(seq).bind(contact::encode(contacts));
        query.execute(&mut self.write_once().await?).await?;
        Ok(())
    }

    /// The last sequence number of a device, if it ever said one: from memory where this node has heard it or it stood in the
    /// log, else one indexed read.
    pub async fn last_sequence(&self, device: DeviceId) -> Result<Option<LastSequence>> {
        if let Some(last) = self.presence().last.lock().get(&device) {
            return Ok(Some(*last));
        }
        // On the heap: nearly always it is known.
        Box::pin(self.stored_sequence(device)).await
    }

    async fn stored_sequence(&self, device: DeviceId) -> Result<Option<LastSequence>> {
        let query = sql("SELECT id, instance_uid, sequence FROM devices WHERE id = $1");
        let Some(row) = query.bind(device).row(&mut self.read().await?).await? else { return Ok(None) };
        let row = row.of("devices", "id");
        let Some(uid) = row.get::<Option<String>>("instance_uid")? else { return Ok(None) };
        let mut instance_uid = [0; 16];
        row.check("instance_uid", hex::decode_to_slice(&uid, &mut instance_uid))?;
        let sequence = row.unsigned("sequence")?;
        Ok((sequence > 0).then_some(LastSequence { instance_uid, sequence }))
    }

    /// Brings up to `limit` rows of the log into the device rows, the oldest first, and removes them: one transaction. Gives
    /// how many rows; fewer than `limit` means that nothing is left.
    pub async fn fold_presence(&self, limit: u32) -> Result<u64> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Presence).await?;
        let query = sql("SELECT node, seq, contacts FROM presence_log ORDER BY seq, node LIMIT $1");
        let rows = query.bind(limit).rows(&mut tx).await?;
        let mut folded = BTreeMap::new();
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            let columns = row.of("presence_log", "seq");
            keys.push(json!({ "node": columns.get::<String>("node")?, "seq": columns.get::<i64>("seq")? }));
            for contact in read(row)? {
                folded.entry(contact.device).or_insert_with(Folded::default).add(&contact);
            }
        }
        if keys.is_empty() {
            return Ok(0);
        }
        let now = self.now();
        write(&mut tx, &folded, now).await?;
        let query = sql("DELETE FROM presence_log WHERE (node, seq) IN
            (SELECT item.value ->> 'node', CAST(item.value ->> 'seq' AS BIGINT) FROM {each})");
        query.bind_json(&keys).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    /// Whether anything stands in the log.
    pub async fn presence_waits(&self) -> Result<bool> {
        let query = sql("SELECT seq FROM presence_log LIMIT 1");
        Ok(query.row(&mut self.read().await?).await?.is_some())
    }

    /// Reads what stands in the log into memory. For opening.
    pub(crate) async fn load_presence(&self) -> Result<()> {
        let query = sql("SELECT node, seq, contacts FROM presence_log ORDER BY seq, node");
        let rows = query.rows(&mut self.read().await?).await?;
        let mut newest = BTreeMap::new();
        for row in &rows {
            let columns = row.of("presence_log", "seq");
            if columns.get::<String>("node")? == self.node().to_string() {
                self.presence().seq.fetch_max(columns.get("seq")?, Ordering::Relaxed);
            }
            for contact in read(row)? {
                let known = newest.entry(contact.device).or_insert(contact);
                if contact.at >= known.at {
                    *known = contact;
                }
            }
        }
        let mut last = self.presence().last.lock();
        for contact in newest.values() {
            remember(&mut last, contact);
        }
        Ok(())
    }
}

fn remember(last: &mut HashMap<DeviceId, LastSequence>, contact: &Contact) {
    if contact.sequence > 0 {
        let heard = LastSequence { instance_uid: contact.instance_uid, sequence: contact.sequence };
        last.insert(contact.device, heard);
    }
}

fn read(row: &Row) -> Result<Vec<Contact>> {
    let row = row.of("presence_log", "seq");
    row.check("contacts", contact::decode(&row.get::<Vec<u8>>("contacts")?))
}

/// What all contacts of one device come to.
#[derive(Default)]
struct Folded {
    latest: Option<Contact>,
    /// The last that said a number.
    numbered: Option<Contact>,
    periodic: Option<Timestamp>,
    forced: Option<Timestamp>,
}

impl Folded {
    fn add(&mut self, contact: &Contact) {
        let later = |known: Option<Contact>| known.is_none_or(|known| known.at <= contact.at);
        if later(self.latest) {
            self.latest = Some(*contact);
        }
        if contact.sequence > 0 && later(self.numbered) {
            self.numbered = Some(*contact);
        }
        match contact.synced {
            Some(SyncKind::Periodic) => self.periodic = self.periodic.max(Some(contact.at)),
            Some(SyncKind::Forced) => self.forced = self.forced.max(Some(contact.at)),
            None => {}
        }
    }

    fn json(&self, device: DeviceId) -> Option<serde_json::Value> {
        let latest = self.latest?;
        Some(json!({
            "id": device,
            "at": latest.at.as_microsecond(),
            "next": latest.next.as_microsecond(),
            "silent": latest.silent_after.as_microsecond(),
            "periodic": self.periodic.map(Timestamp::as_microsecond),
            "forced": self.forced.map(Timestamp::as_microsecond),
            "uid": self.numbered.map(|contact| hex::encode(contact.instance_uid)),
            "sequence": self.numbered.map(|contact| contact.sequence.min(i64::MAX.unsigned_abs())),
        }))
    }
}

/// Devices in one statement.
const BATCH: usize = 10_000;

async fn write(tx: &mut Tx, folded: &BTreeMap<DeviceId, Folded>, now: Timestamp) -> Result<()> {
    let rows: Vec<_> = folded.iter().filter_map(|(device, one)| one.json(*device)).collect();
    for batch in rows.chunks(BATCH) {
        // Held in the order of their ids, as by all who write many devices.
        let query = sql("SELECT id, last_contact FROM devices
            WHERE id IN (SELECT item.value ->> 'id' FROM {each}) ORDER BY id {for update}");
        let mut new = Vec::new();
        for row in query.bind_json(&batch).rows(tx).await? {
            let row = row.of("devices", "id");
            if row.time_opt("last_contact")?.is_none() {
                new.push(row.parse("id")?);
            }
        }
        let query = sql("UPDATE devices SET
                last_contact = CAST(item.value ->> 'at' AS BIGINT),
                next_contact = CAST(item.value ->> 'next' AS BIGINT),
                silent_after = CAST(item.value ->> 'silent' AS BIGINT)
            FROM {each}
            WHERE devices.id = item.value ->> 'id'
                AND (last_contact IS NULL OR last_contact <= CAST(item.value ->> 'at' AS BIGINT))");
        query.bind_json(&batch).execute(tx).await?;
        let query = sql("UPDATE devices SET
                last_periodic_sync = COALESCE(CAST(item.value ->> 'periodic' AS BIGINT), last_periodic_sync),
                last_forced_sync = COALESCE(CAST(item.value ->> 'forced' AS BIGINT), last_forced_sync),
                instance_uid = COALESCE(item.value ->> 'uid', instance_uid),
                sequence = COALESCE(CAST(item.value ->> 'sequence' AS BIGINT), sequence)
            FROM {each} WHERE devices.id = item.value ->> 'id'");
        query.bind_json(&batch).execute(tx).await?;
        status::refresh(tx, &new, now).await?;
    }
    Ok(())
}
