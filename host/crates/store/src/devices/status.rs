//! The colours of devices, as stored: the word of a row of the table in `syncline_domain::device::status`.
//!
//! Kept up to date by whatever changes what they follow from, in the same transaction. Silence is not stored, since it
//! comes by time alone: it is put over the stored word when a device is read, as [`OVERLAY`] says in SQL.

use jiff::Timestamp;
use syncline_domain::{
    device::{
        DeviceState, Status,
        status::{BEFORE_SILENT, DeviceSigns, SILENT, device_row, of_device},
    },
    ids::DeviceId,
};

use crate::{
    db::Tx,
    dialect::sql,
    error::Result,
    row::{Columns, Row},
};

/// The word that a device has at `$?`, silence included. The words are those of [`BEFORE_SILENT`]; a test compares.
pub(crate) const OVERLAY: &str = "CASE WHEN silent_after < $?
    AND status NOT IN ('decommissioned', 'quarantined', 'registered', 'failed') THEN 'silent' ELSE status END";

/// The status in a row of `devices`, at `now`.
pub(crate) fn read(row: &Columns<'_>, now: Timestamp) -> Result<Status> {
    let word: String = row.get("status")?;
    let stored = row.check("status", device_row(&word).ok_or_else(|| format!("{word:?} is no status")))?;
    let silent_after = row.time_opt("silent_after")?;
    let quiet = silent_after.filter(|at| *at < now && !BEFORE_SILENT.contains(&stored.state));
    match (quiet, device_row(SILENT)) {
        (Some(since), Some(silent)) => Ok(silent.status(since)),
        _ => Ok(stored.status(row.time("status_since")?)),
    }
}

/// Devices in one statement.
const BATCH: usize = 10_000;

/// Works out the status of these devices anew. Their rows are held first, in the order of their ids: whoever else changes
/// what it follows from waits, and sees this.
pub(crate) async fn refresh(tx: &mut Tx, devices: &[DeviceId], now: Timestamp) -> Result<()> {
    for batch in devices.chunks(BATCH) {
        let ids: Vec<_> = batch.iter().map(|id| serde_json::json!({ "id": id })).collect();
        let query = sql("SELECT id FROM devices WHERE id IN (SELECT item.value ->> 'id' FROM {each})
            ORDER BY id {for update}");
        query.bind_json(&ids).rows(tx).await?;
        let query = sql("SELECT d.id, d.state, d.status, d.last_contact,
                COUNT(CASE WHEN v.state = 'failed' THEN 1 END)
                    + (SELECT COUNT(*) FROM resolve_failures r WHERE r.device = d.id) AS failed,
                COUNT(CASE WHEN v.state IN ('pending', 'superseded', 'withdrawing') THEN 1 END)
                    + (SELECT COUNT(*) FROM unpublished u WHERE u.device = d.id) AS waiting,
                COUNT(CASE WHEN v.state IN ('offered', 'applying') THEN 1 END) AS under_way
            FROM {each} JOIN devices d ON d.id = item.value ->> 'id' LEFT JOIN deliveries v ON v.device = d.id
            GROUP BY d.id, d.state, d.status, d.last_contact");
        let mut changed = Vec::new();
        for row in query.bind_json(&ids).rows(tx).await? {
            let (id, before, after) = compare(&row)?;
            if before != after {
                changed.push(serde_json::json!({ "id": id, "status": after }));
            }
        }
        if !changed.is_empty() {
            let query = sql("UPDATE devices SET status_since = $2, status = item.value ->> 'status'
                FROM {each} WHERE devices.id = item.value ->> 'id'");
            query.bind_json(&changed).bind(now).execute(tx).await?;
        }
    }
    Ok(())
}

fn compare(row: &Row) -> Result<(DeviceId, String, &'static str)> {
    let row = row.of("devices", "id");
    let some = |column| row.get::<i64>(column).map(|count| count > 0);
    let signs = DeviceSigns {
        state: row.word::<DeviceState>("state")?,
        came: row.time_opt("last_contact")?.is_some(),
        silent: false,
        failed: some("failed")?,
        waiting: some("waiting")?,
        under_way: some("under_way")?,
    };
    Ok((row.parse("id")?, row.get("status")?, of_device(&signs).state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_in_the_statement_are_those_of_the_table() {
        let words: Vec<_> = OVERLAY.split('\'').skip(1).step_by(2).collect();
        assert_eq!(words, [BEFORE_SILENT.as_slice(), &[SILENT]].concat());
    }
}
