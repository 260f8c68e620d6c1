//! Changes that devices were not given yet, since they wait for the server's synchronisation or for an administrator. Such a
//! device is not at its effective policy, and its colour says so.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    deliveries::{DeliveryKey, key_json},
    status,
};
use crate::{
    db::{Db, Tx},
    dialect::sql,
    error::Result,
};

/// Rows in one statement.
const BATCH: usize = 10_000;

impl Db {
    /// Notes that something changes for these and is not published. Devices that are not there are passed over.
    pub async fn note_unpublished(&self, changed: &[DeliveryKey]) -> Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut tx = self.begin().await?;
        for batch in changed.chunks(BATCH) {
            let query = sql("INSERT INTO unpublished (device, application, noted_at)
                SELECT d.id, item.value ->> 'application', CAST($2 AS BIGINT)
                FROM {each} JOIN devices d ON d.id = item.value ->> 'device' WHERE TRUE ORDER BY 1, 2
                ON CONFLICT (device, application) DO UPDATE SET noted_at = excluded.noted_at");
            query.bind_json(&rows(batch)).bind(now).execute(&mut tx).await?;
        }
        refresh(&mut tx, changed, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// These are as the policies of `read_at` have it. Nothing is written if nothing was noted of them until then.
    pub async fn forget_unpublished(&self, published: &[DeliveryKey], read_at: Timestamp) -> Result<()> {
        let noted = self.unpublished(published, read_at).await?;
        if noted.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for batch in noted.chunks(BATCH) {
            let query = sql("DELETE FROM unpublished WHERE noted_at <= $2 AND (device, application) IN
                (SELECT item.value ->> 'device', item.value ->> 'application' FROM {each})");
            query.bind_json(&rows(batch)).bind(read_at).execute(&mut tx).await?;
        }
        let now = tx.now();
        refresh(&mut tx, &noted, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Those of which something was noted until `read_at`.
    async fn unpublished(&self, of: &[DeliveryKey], read_at: Timestamp) -> Result<Vec<DeliveryKey>> {
        let mut noted = Vec::new();
        let mut session = self.read().await?;
        for batch in of.chunks(BATCH) {
            let query = sql("SELECT device, application FROM unpublished
                WHERE noted_at <= $2 AND (device, application) IN
                    (SELECT item.value ->> 'device', item.value ->> 'application' FROM {each})");
            for row in query.bind_json(&rows(batch)).bind(read_at).rows(&mut session).await? {
                let row = row.of("unpublished", "device");
                noted.push(DeliveryKey {
                    device: row.parse("device")?,
                    application: row.parse("application")?,
                });
            }
        }
        Ok(noted)
    }
}

fn rows(batch: &[DeliveryKey]) -> Vec<serde_json::Value> {
    batch.iter().map(key_json).collect()
}

async fn refresh(tx: &mut Tx, of: &[DeliveryKey], now: Timestamp) -> Result<()> {
    let devices: BTreeSet<_> = of.iter().map(|key| key.device).collect();
    status::refresh(tx, &devices.into_iter().collect::<Vec<_>>(), now).await
}
