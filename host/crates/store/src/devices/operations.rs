//! Forced synchronisation: one operation, and how far each of its devices is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    device::operation::{SyncCounts, SyncOperation, SyncOutcome, SyncScope, SyncedDevice},
    event::NewEvent,
    ids::{DeviceId, SyncOperationId},
};

use crate::{
    db::{Db, Tx},
    dialect::{Session, Turn, sql},
    error::{Error, OrNotFound, Result},
    page::{Listed, Page},
    row::Row,
    together::{Queue, Together, together},
};

/// Operations with the counts of their devices; the rest of the statement follows.
const SELECT: &str = "SELECT id, scope, actor, created_at, finished_at, failure,
    (SELECT COUNT(*) FROM sync_operation_devices WHERE operation = id AND outcome = 'woken') AS woken,
    (SELECT COUNT(*) FROM sync_operation_devices WHERE operation = id AND outcome = 'deferred') AS deferred,
    (SELECT COUNT(*) FROM sync_operation_devices WHERE operation = id AND outcome = 'synchronised')
        AS synchronised,
    (SELECT COUNT(*) FROM sync_operation_devices WHERE operation = id AND outcome = 'failed') AS failed
    FROM sync_operations WHERE ";

/// Devices in one statement.
const BATCH: usize = 10_000;

/// What a contact did to the operations that wait for its device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConcludedSyncs {
    /// They are over for this device.
    pub ended: Vec<SyncOperationId>,
    /// The device is to be asked to report everything; its next contact ends the others.
    pub asked: bool,
}

impl Db {
    /// Begins a forced synchronisation of these devices, each with what became of telling it. A repeat while one of the same
    /// scope is under way gives that one, and false. The server's own has no devices, and ends with
    /// [`Db::finish_server_sync`]; one of devices ends when all of them have.
    pub async fn begin_sync_operation(
        &self,
        scope: &SyncScope,
        devices: &[SyncedDevice],
        event: NewEvent,
    ) -> Result<(SyncOperation, bool)> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Setup).await?;
        let query = sql(SELECT).push("scope_key = $1 AND finished_at IS NULL");
        if let Some(row) = query.bind(scope.key()).row(&mut tx).await? {
            return Ok((parse(&row)?, false));
        }
        let (id, now) = (SyncOperationId::new(self.now()), self.now());
        let query = sql("INSERT INTO sync_operations (id, scope, scope_key, actor, created_at)
            VALUES ($1, $2, $3, $4, $5)");
        let query = query.bind(id).bind_json(scope).bind(scope.key()).bind(&event.actor).bind(now);
        query.execute(&mut tx).await?;
        for batch in devices.chunks(BATCH) {
            let query = sql("INSERT INTO sync_operation_devices (operation, device, outcome, reason, at)
                SELECT $2, item.value ->> 'device', item.value ->> 'outcome', item.value ->> 'reason',
                    CAST($3 AS BIGINT)
                FROM {each} WHERE TRUE ON CONFLICT (operation, device) DO NOTHING");
            query.bind_json(&batch).bind(id).bind(now).execute(&mut tx).await?;
        }
        if *scope != SyncScope::Server {
            finish_if_done(&mut tx, id, now).await?;
        }
        let begun = find(&mut tx, id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok((begun, true))
    }

    /// Writes down what became of devices of an operation: only of those that have not come to an end. Ends the operation with
    /// its last device. Gives how many changed.
    pub async fn set_sync_outcomes(&self, id: SyncOperationId, outcomes: &[SyncedDevice]) -> Result<u64> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let changed = set_outcomes(&mut tx, id, outcomes, now).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// A device was in contact, and nothing is outstanding. Ends the operations that were begun at or before `asked_before`, wait
    /// for it, and have it report everything: it did so just now (`whole`), or was asked to before. Of the others it is to be
    /// asked now.
    pub async fn conclude_syncs_of(
        &self,
        device: DeviceId,
        asked_before: Timestamp,
        (outcome, reason): (SyncOutcome, Option<&str>),
        whole: bool,
    ) -> Result<ConcludedSyncs> {
        let waiting = sql(
            "SELECT operation, outcome FROM sync_operation_devices JOIN sync_operations ON id = operation
            WHERE device = $1 AND outcome IN ('woken', 'deferred') AND created_at <= $2 ORDER BY operation",
        );
        let rows = waiting.bind(device).bind(asked_before).rows(&mut self.read().await?).await?;
        let end = SyncedDevice { device, outcome, reason: reason.map(str::to_owned), at: self.now() };
        let why = "it was asked to report everything".to_owned();
        let ask = SyncedDevice { outcome: SyncOutcome::Woken, reason: Some(why), ..end.clone() };
        let mut concluded = ConcludedSyncs::default();
        for row in &rows {
            let row = row.of("sync_operation_devices", "operation");
            let (id, stands): (SyncOperationId, SyncOutcome) =
                (row.parse("operation")?, row.word("outcome")?);
            let ends = whole || stands == SyncOutcome::Woken;
            let outcome = if ends { end.clone() } else { ask.clone() };
            together(self, Ended { operation: id, outcome }).await?;
            if ends { concluded.ended.push(id) } else { concluded.asked = true }
        }
        Ok(concluded)
    }

    /// These devices are connected to this node and were asked to report everything, in whatever operations wait for them.
    pub async fn devices_woken(&self, devices: &[DeviceId]) -> Result<()> {
        for batch in devices.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|id| json!({ "id": id })).collect();
            let query = sql("UPDATE sync_operation_devices SET outcome = 'woken', reason = NULL, at = $2
                WHERE outcome = 'deferred' AND device IN (SELECT item.value ->> 'id' FROM {each})");
            query.bind_json(&ids).bind(self.now()).execute(&mut self.write_once().await?).await?;
        }
        Ok(())
    }

    /// Ends the server's own synchronisation; `failure`: why it did not go well.
    pub async fn finish_server_sync(
        &self,
        id: SyncOperationId,
        failure: Option<&str>,
    ) -> Result<SyncOperation> {
        let query = sql("UPDATE sync_operations SET finished_at = $2, failure = $3
            WHERE id = $1 AND finished_at IS NULL");
        let query = query.bind(id).bind(self.now()).bind(failure);
        query.execute(&mut self.write_once().await?).await?;
        self.sync_operation(id).await
    }

    /// Ends an operation: what has not come to an end by now has failed, and why.
    pub async fn finish_sync_operation(&self, id: SyncOperationId, why: &str) -> Result<SyncOperation> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let query = sql("UPDATE sync_operations SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL");
        if query.bind(id).bind(now).execute(&mut tx).await? == 1 {
            let query = sql("UPDATE sync_operation_devices SET outcome = 'failed', reason = $2, at = $3
                WHERE operation = $1 AND outcome IN ('woken', 'deferred')");
            query.bind(id).bind(why).bind(now).execute(&mut tx).await?;
        }
        let finished = find(&mut tx, id).await?;
        tx.commit().await?;
        Ok(finished)
    }

    /// The operation of this id.
    pub async fn sync_operation(&self, id: SyncOperationId) -> Result<SyncOperation> {
        find(&mut self.read().await?, id).await
    }

    /// Operations, newest first; only those under way, if so asked.
    pub async fn sync_operations(&self, under_way: bool, page: &Page) -> Result<Listed<SyncOperation>> {
        let mut query =
            sql(SELECT).push("TRUE").push_some(" AND id < $?", page.position::<SyncOperationId>()?);
        if under_way {
            query = query.push(" AND finished_at IS NULL");
        }
        let query = query.push_with(" ORDER BY id DESC LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let found = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(found, page, |one| one.id.to_string()))
    }

    /// The devices of an operation, or those with one outcome.
    pub async fn synced_devices(
        &self,
        id: SyncOperationId,
        outcome: Option<SyncOutcome>,
        page: &Page,
    ) -> Result<Listed<SyncedDevice>> {
        let query =
            sql("SELECT device, outcome, reason, at FROM sync_operation_devices WHERE operation = $1")
                .bind(id)
                .push_some(" AND outcome = $?", outcome.map(SyncOutcome::as_str))
                .push_some(" AND device > $?", page.position::<DeviceId>()?)
                .push_with(" ORDER BY device LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let parse = |row: &Row| {
            let row = row.of("sync_operation_devices", "device");
            Ok(SyncedDevice {
                device: row.parse("device")?,
                outcome: row.word("outcome")?,
                reason: row.get("reason")?,
                at: row.time("at")?,
            })
        };
        let found = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(found, page, |one| one.device.to_string()))
    }

    /// Removes operations that ended before this time. Gives how many.
    pub async fn prune_sync_operations(&self, ended_before: Timestamp) -> Result<u64> {
        let query = sql("DELETE FROM sync_operations WHERE finished_at < $1");
        query.bind(ended_before).execute(&mut self.write_once().await?).await
    }
}

/// What became of one device in an operation.
#[derive(Clone)]
pub(crate) struct Ended {
    operation: SyncOperationId,
    outcome: SyncedDevice,
}

impl Together for Ended {
    type Context = Db;
    type Error = Error;
    type Answer = ();
    const MOST: usize = 1_000;

    fn queue(db: &Db) -> &Queue<Self> {
        &db.queues().syncs
    }

    fn stopping() -> Error {
        Error::stopping()
    }

    async fn all(db: &Db, all: &[Self]) -> Result<Vec<()>> {
        let mut by_operation: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in all {
            by_operation.entry(one.operation).or_default().push(one.outcome.clone());
        }
        let now = db.now();
        let mut tx = db.begin().await?;
        for (operation, outcomes) in by_operation {
            set_outcomes(&mut tx, operation, &outcomes, now).await?;
        }
        tx.commit().await?;
        Ok(vec![(); all.len()])
    }
}

async fn set_outcomes(
    tx: &mut Tx,
    id: SyncOperationId,
    outcomes: &[SyncedDevice],
    now: Timestamp,
) -> Result<u64> {
    let query = sql("SELECT id FROM sync_operations WHERE id = $1 {for update}");
    query.bind(id).row(tx).await?.or_not_found("synchronisation", id)?;
    let mut changed = 0;
    for batch in outcomes.chunks(BATCH) {
        let query = sql("UPDATE sync_operation_devices SET outcome = item.value ->> 'outcome',
                reason = item.value ->> 'reason', at = $3
            FROM {each}
            WHERE operation = $2 AND device = item.value ->> 'device' AND outcome IN ('woken', 'deferred')");
        changed += query.bind_json(&batch).bind(id).bind(now).execute(tx).await?;
    }
    finish_if_done(tx, id, now).await?;
    Ok(changed)
}

async fn finish_if_done(tx: &mut Tx, id: SyncOperationId, now: Timestamp) -> Result<()> {
    let query = sql("UPDATE sync_operations SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM sync_operation_devices
            WHERE operation = $1 AND outcome IN ('woken', 'deferred'))");
    query.bind(id).bind(now).execute(tx).await?;
    Ok(())
}

async fn find(session: &mut Session, id: SyncOperationId) -> Result<SyncOperation> {
    let row = sql(SELECT).push("id = $1").bind(id).row(session).await?;
    parse(&row.or_not_found("synchronisation", id)?)
}

fn parse(row: &Row) -> Result<SyncOperation> {
    let row = row.of("sync_operations", "id");
    Ok(SyncOperation {
        id: row.parse("id")?,
        scope: row.json("scope")?,
        actor: row.get("actor")?,
        created_at: row.time("created_at")?,
        finished_at: row.time_opt("finished_at")?,
        failure: row.get("failure")?,
        counts: SyncCounts {
            woken: row.unsigned("woken")?,
            deferred: row.unsigned("deferred")?,
            synchronised: row.unsigned("synchronised")?,
            failed: row.unsigned("failed")?,
        },
    })
}
