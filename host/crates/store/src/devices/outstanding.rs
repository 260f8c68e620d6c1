//! What there may be to do for a device, asked at once: nearly always nothing.

use syncline_domain::ids::DeviceId;

use crate::{
    db::Db,
    dialect::sql,
    error::{OrNotFound, Result},
};

/// Kinds of things of which there is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outstanding {
    /// Messages that wait, in either direction.
    pub messages: bool,
    /// Tasks that were not answered.
    pub tasks: bool,
    /// Forced synchronisations that wait for the device.
    pub syncs: bool,
    /// Users that were activated on it.
    pub users: bool,
}

impl Db {
    /// What there may be to do for a device.
    pub async fn outstanding(&self, device: DeviceId) -> Result<Outstanding> {
        let query = sql("SELECT
            (SELECT COUNT(*) FROM (SELECT 1 FROM messages WHERE device = $1 AND outcome = 'waiting' LIMIT 1) m)
                AS messages,
            (SELECT COUNT(*) FROM (SELECT 1 FROM device_tasks
                WHERE device = $1 AND state IN ('waiting', 'sent') LIMIT 1) t) AS tasks,
            (SELECT COUNT(*) FROM (SELECT 1 FROM sync_operation_devices
                WHERE device = $1 AND outcome IN ('woken', 'deferred') LIMIT 1) s) AS syncs,
            (SELECT COUNT(*) FROM (SELECT 1 FROM users WHERE device = $1 LIMIT 1) u) AS users");
        let row = query.bind(device).row(&mut self.read().await?).await?.or_not_found("device", device)?;
        let row = row.of("devices", "messages");
        Ok(Outstanding {
            messages: row.unsigned::<u64>("messages")? > 0,
            tasks: row.unsigned::<u64>("tasks")? > 0,
            syncs: row.unsigned::<u64>("syncs")? > 0,
            users: row.unsigned::<u64>("users")? > 0,
        })
    }
}
