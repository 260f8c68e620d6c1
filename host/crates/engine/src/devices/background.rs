//! What runs by itself: contacts are brought into the device rows, deadlines are looked at, everything is resolved again
//! now and then.

use jiff::Timestamp;
use syncline_domain::{device::Observation, run::Trigger};
use syncline_store::Seen;

use crate::{Engine, Result};

/// Rows of the log of contacts that are brought in at a time.
const FOLDED: u32 = 256;
/// Deliveries that are looked at in one go.
const OVERDUE: u32 = 5_000;
/// Rounds between two looks at what is over: messages and synchronisations.
const SELDOM: u32 = 30;

impl Engine {
    /// Looks after devices until the node stops.
    pub(crate) async fn look_after_devices_until_stopped(&self) {
        let mut round: u32 = 0;
        let mut synced = self.clock().now();
        while !self.is_stopping() {
            if let Err(error) = self.look_after_devices(round, &mut synced).await {
                tracing::error!(%error, "Devices could not be looked after; trying again");
            }
            round = round.wrapping_add(1);
            tokio::select! {
                () = tokio::time::sleep(self.config().devices.round) => {}
                () = self.inner.stopping.cancelled() => {}
            }
        }
    }

    async fn look_after_devices(&self, round: u32, synced: &mut Timestamp) -> Result<()> {
        self.fold_contacts().await?;
        self.pass_deadlines().await?;
        if round.is_multiple_of(SELDOM) {
            self.db().expire_messages().await?;
            self.db().expire_tasks().await?;
            self.end_old_syncs().await?;
        }
        let now = self.clock().now();
        let due = synced.checked_add(self.config().devices.server_sync).unwrap_or(Timestamp::MAX);
        if now >= due {
            *synced = now;
            let oldest = now.checked_sub(self.config().keep_events).unwrap_or(Timestamp::MIN);
            self.db().prune_messages(oldest).await?;
            self.sync_server(Trigger::Schedule, "system").await?;
        }
        Ok(())
    }

    /// Brings all contacts that were written down into the device rows.
    pub async fn fold_contacts(&self) -> Result<()> {
        while self.db().fold_presence(FOLDED).await? == u64::from(FOLDED) {}
        Ok(())
    }

    /// The same before somebody looks at devices, so that a contact that was just answered shows. Where that cannot be written,
    /// as on a full disk, what is there can be looked at all the same.
    pub async fn fold_contacts_to_look(&self) {
        let folded =
            async { if self.db().presence_waits().await? { self.fold_contacts().await } else { Ok(()) } };
        if let Err(error) = folded.await {
            tracing::warn!(%error, "The last contacts of devices could not be brought in: their times may be old");
        }
    }

    /// Moves deliveries on whose deadline has passed, and wakes their devices.
    pub async fn pass_deadlines(&self) -> Result<()> {
        loop {
            let overdue = self.db().overdue_deliveries(OVERDUE).await?;
            let many = overdue.len();
            if many == 0 {
                return Ok(());
            }
            let passed = |key| Seen { key, observation: Observation::DeadlinePassed };
            let seen: Vec<_> = overdue.into_iter().map(passed).collect();
            let changed = self.db().observe_deliveries(&seen, &self.config().devices.deadlines).await?;
            self.wake_devices(changed.into_iter().map(|(key, _)| key.device), false);
            if many < OVERDUE as usize {
                return Ok(());
            }
        }
    }
}
