//! Why an application could not be resolved for a device. What the device holds stays in force, and the failure is shown.

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{Failure, Name, ids::DeviceId};

use super::{deliveries::DeliveryKey, status};
use crate::{db::Db, dialect::sql, error::Result, row::Row};

/// Rows in one statement.
const BATCH: usize = 10_000;

impl Db {
    /// Sets why these could not be resolved, or that they could: one transaction, the colours of the devices included. A failure
    /// that goes on keeps the time of its beginning. Devices that are not there are passed over.
    pub async fn set_resolve_failures(&self, outcomes: &[(DeliveryKey, Option<Failure>)]) -> Result<()> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let mut devices: Vec<_> = outcomes.iter().map(|(key, _)| key.device).collect();
        devices.sort();
        devices.dedup();
        let (failed, resolved): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|(_, failure)| failure.is_some());
        for batch in failed.chunks(BATCH) {
            let query = sql("INSERT INTO resolve_failures (device, application, failure, since)
                SELECT d.id, item.value ->> 'application', item.value ->> 'failure', CAST($2 AS BIGINT)
                FROM {each} JOIN devices d ON d.id = item.value ->> 'device' WHERE TRUE ORDER BY 1, 2
                ON CONFLICT (device, application) DO UPDATE SET failure = excluded.failure");
            query.bind_json(&rows(batch)).bind(now).execute(&mut tx).await?;
        }
        for batch in resolved.chunks(BATCH) {
            let query = sql("DELETE FROM resolve_failures WHERE (device, application) IN
                (SELECT item.value ->> 'device', item.value ->> 'application' FROM {each})");
            query.bind_json(&rows(batch)).execute(&mut tx).await?;
        }
        status::refresh(&mut tx, &devices, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What could not be resolved for a device, by application, and since when.
    pub async fn resolve_failures_of(&self, device: DeviceId) -> Result<Vec<(Name, Failure, Timestamp)>> {
        let query = sql("SELECT application, failure, since FROM resolve_failures WHERE device = $1
            ORDER BY application");
        let parse = |row: &Row| {
            let row = row.of("resolve_failures", "application");
            Ok((row.parse("application")?, row.json("failure")?, row.time("since")?))
        };
        query.bind(device).rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }
}

fn rows(batch: &[&(DeliveryKey, Option<Failure>)]) -> Vec<serde_json::Value> {
    let row = |(key, failure): &&(DeliveryKey, Option<Failure>)| {
        // As text in the text: it is stored as it is.
        let failure = failure.as_ref().map(|failure| json!(failure).to_string());
        json!({ "device": key.device, "application": key.application, "failure": failure })
    };
    batch.iter().map(row).collect()
}
