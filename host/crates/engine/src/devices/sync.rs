//! Forced synchronisation, of the server itself and of devices.

use std::collections::BTreeSet;

use syncline_domain::{
    device::{
        Device, DeviceState, Publication, Scope,
        operation::{SyncOperation, SyncOutcome, SyncScope, SyncedDevice},
    },
    event::NewEvent,
    ids::{DeviceId, SyncOperationId},
    run::Trigger,
};
use syncline_store::{DeviceFilter, Page};

use crate::{Engine, Result};

impl Engine {
    /// Starts a forced synchronisation, or gives the one of the same scope that is under way.
    pub async fn force_sync(&self, scope: SyncScope, actor: &str) -> Result<SyncOperation> {
        if scope == SyncScope::Server {
            return self.force_server_sync(actor).await;
        }
        let ids = self.scope_devices(&scope).await?;
        let publish = match &scope {
            SyncScope::Group(group) => Scope::Group(group.clone()),
            _ => Scope::Devices(ids.clone()),
        };
        let now = self.clock().now();
        let mut devices = Vec::with_capacity(ids.len());
        for id in &ids {
            let device = self.db().device(*id).await?;
            let (outcome, reason) = self.begun(&device);
            devices.push(SyncedDevice { device: *id, outcome, reason, at: now });
        }
        let told = format!("A synchronisation of {} devices was forced", devices.len());
        let event = NewEvent::new("sync.forced", actor, told);
        let (operation, new) = self.db().begin_sync_operation(&scope, &devices, event).await?;
        if new {
            match publish {
                Scope::Devices(_) => self.publish(Publication::of(publish)).await.map(drop)?,
                Scope::All | Scope::Group(_) => {
                    self.publish_by_runs(&Publication::of(publish), Trigger::Manual, actor).await?;
                }
            }
            self.wake_devices(ids, true);
        }
        Ok(operation)
    }

    async fn scope_devices(&self, scope: &SyncScope) -> Result<Vec<DeviceId>> {
        match scope {
            SyncScope::Server => Ok(Vec::new()),
            SyncScope::Devices(devices) => {
                let devices: BTreeSet<_> = devices.iter().copied().collect();
                Ok(devices.into_iter().collect())
            }
            SyncScope::Group(group) => {
                self.db().group(group).await?;
                let filter = DeviceFilter { group: Some(group.clone()), ..DeviceFilter::default() };
                Ok(self.db().device_ids(&filter).await?)
            }
            SyncScope::Selection(name) => {
                let selection = self.db().selection(name).await?;
                self.devices_where(&selection.condition).await
            }
        }
    }

    /// What becomes of a device at first.
    fn begun(&self, device: &Device) -> (SyncOutcome, Option<String>) {
        match device.state {
            DeviceState::Decommissioned => {
                (SyncOutcome::Failed, Some("it is decommissioned: register and enrol it anew".to_owned()))
            }
            DeviceState::Quarantined => {
                (SyncOutcome::Failed, Some("it is quarantined: enrol it anew".to_owned()))
            }
            _ if self.is_connected(device.id) => (SyncOutcome::Woken, None),
            DeviceState::Registered => (
                SyncOutcome::Deferred,
                Some("it is not enrolled yet: it synchronises when it comes".to_owned()),
            ),
            DeviceState::Enrolled => (
                SyncOutcome::Deferred,
                Some("it is not connected to this node: it synchronises at its next contact".to_owned()),
            ),
        }
    }

    async fn force_server_sync(&self, actor: &str) -> Result<SyncOperation> {
        let event = NewEvent::new("sync.forced", actor, "A synchronisation of the server was forced");
        let (operation, new) = self.db().begin_sync_operation(&SyncScope::Server, &[], event).await?;
        if new {
            let engine = self.clone();
            let id = operation.id;
            let actor = actor.to_owned();
            self.inner.tasks.spawn(async move { engine.run_server_sync(id, &actor).await });
        }
        Ok(operation)
    }

    async fn run_server_sync(&self, id: SyncOperationId, actor: &str) {
        let failure = match self.sync_server(Trigger::Manual, actor).await {
            Ok(true) => None,
            Ok(false) => Some("not all of its runs succeeded: look at the runs of the plugins' syncs"),
            Err(error) => {
                tracing::error!(%error, "A forced synchronisation of the server failed");
                Some("it failed by a fault of the server: see its log")
            }
        };
        if let Err(error) = self.db().finish_server_sync(id, failure).await {
            tracing::error!(%error, operation = %id, "The end of a synchronisation could not be written");
        }
    }

    /// Resolves everything again, publishes what is staged and looks for deliveries that are overdue.
    /// True if all went well.
    pub(crate) async fn sync_server(&self, trigger: Trigger, actor: &str) -> Result<bool> {
        let well = self.publish_by_runs(&Publication::default(), trigger, actor).await?;
        self.pass_deadlines().await?;
        Ok(well)
    }

    /// Ends forced synchronisations that devices did not come for in as long as makes a device silent.
    pub(super) async fn end_old_syncs(&self) -> Result<()> {
        let settings = &self.config().devices;
        let patience = settings.period * settings.silent_periods;
        let oldest = self.clock().now().checked_sub(patience).unwrap_or(jiff::Timestamp::MIN);
        let mut page = Page::first(Page::MAX);
        loop {
            let listed = self.db().sync_operations(true, &page).await?;
            for operation in listed.items.iter().filter(|one| one.created_at < oldest) {
                let why = format!("it was not in contact within {} s", patience.as_secs());
                self.db().finish_sync_operation(operation.id, &why).await?;
            }
            let Some(next) = listed.next else { return Ok(()) };
            page.after = Some(next);
        }
    }
}
