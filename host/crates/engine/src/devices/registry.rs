//! The devices themselves: made known before they come, changed, taken out.

use syncline_domain::{
    Name,
    device::{Device, GroupPath, Observation, Publication, Scope},
    event::NewEvent,
    ids::DeviceId,
};
use syncline_store::{DeliveryKey, DeviceFilter, Seen};

use super::enrolment::check_label;
use crate::{Engine, Result};

impl Engine {
    /// Makes a device known before it ever comes, with what it should hold.
    pub async fn register_device(&self, name: &str, group: &GroupPath, actor: &str) -> Result<Device> {
        check_label("device-name", name)?;
        let event =
            NewEvent::new("device.registered", actor, format!("Device {name:?} was registered in {group}"));
        let device = self.db().register_device(name, group, event).await?;
        self.publish_change(Publication::of(Scope::Devices(vec![device.id])), actor).await?;
        Ok(self.db().device(device.id).await?)
    }

    /// Renames a device or puts it into another group. `revision` is the one that the caller read.
    pub async fn change_device(
        &self,
        id: DeviceId,
        name: Option<String>,
        group: Option<GroupPath>,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<Device> {
        let mut device = self.db().device(id).await?;
        if let Some(name) = name {
            check_label("device-name", &name)?;
            device.name = name;
        }
        device.group = group.unwrap_or(device.group);
        device.revision = revision.unwrap_or(device.revision);
        let event = NewEvent::new("device.changed", actor, format!("Device {:?} was changed", device.name));
        self.db().update_device(&device, event).await?;
        self.publish_change(Publication::of(Scope::Devices(vec![id])), actor).await?;
        Ok(self.db().device(id).await?)
    }

    /// Takes a device out of management and revokes its credentials.
    pub async fn decommission_device(&self, id: DeviceId, reason: &str, actor: &str) -> Result<Device> {
        check_label("reason", reason)?;
        let told = format!("Device {id} was decommissioned: {reason}");
        let event = NewEvent::new("device.decommissioned", actor, told);
        let device = self.db().decommission_device(id, reason, event).await?;
        self.wake_devices([id], false);
        Ok(device)
    }

    /// Has what failed tried again: on the devices of a filter, of one application or of all. Gives how many deliveries.
    pub async fn retry_deliveries(
        &self,
        filter: &DeviceFilter,
        application: Option<&Name>,
        actor: &str,
    ) -> Result<u64> {
        let devices = self.db().device_ids(filter).await?;
        let known = self.db().deliveries_of_devices(&devices).await?;
        let wanted = |key: &DeliveryKey| application.is_none_or(|name| key.application == *name);
        let seen: Vec<_> = known
            .into_iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, _)| Seen { key, observation: Observation::Retry })
            .collect();
        let changed = self.db().observe_deliveries(&seen, &self.config().devices.deadlines).await?;
        let count = changed.len() as u64;
        let told = format!("{count} failed deliveries are tried again");
        self.tell(NewEvent::new("deliveries.retried", actor, told)).await?;
        self.wake_devices(changed.into_iter().map(|(key, _)| key.device), false);
        Ok(count)
    }
}
