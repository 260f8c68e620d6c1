//! Tasks: named actions that devices have configured, run at most once on each.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use syncline_domain::{
    Name,
    device::{Device, DeviceState, operation::SyncScope, task::Task},
    event::NewEvent,
};
use syncline_store::{DeviceFilter, NewTask, Page};

use crate::{Engine, Error, Result};

/// Most bytes of the parameters of a task, as JSON: some tasks go out in one message.
const MOST_BYTES: usize = 16 << 10;

/// Why a device that does not speak our capability has no tasks.
pub(super) const CANNOT: &str =
    "the device cannot take tasks: its agent does not speak io.syncline.device/v1; run syncline-agent there";

impl Engine {
    /// Makes a task for the devices of a scope, and wakes those that are connected.
    pub async fn create_task(
        &self,
        action: &Name,
        parameters: Value,
        expires_at: Option<Timestamp>,
        scope: &SyncScope,
        actor: &str,
    ) -> Result<Task> {
        let bytes = parameters.to_string().len();
        if bytes > MOST_BYTES {
            let message = format!("parameters of {bytes} bytes: use {MOST_BYTES} at most");
            return Err(Error::invalid("task-parameters", message));
        }
        if let Some(at) = expires_at.filter(|at| *at <= self.clock().now()) {
            return Err(Error::invalid("task-expiry", format!("expires_at {at} is past")));
        }
        let devices = self.devices_of(scope).await?;
        let devices: Vec<_> = devices.iter().map(|device| (device.id, why_not(device))).collect();
        let told = format!("Task {action} was made for {} devices", devices.len());
        let event = NewEvent::new("task.created", actor, told);
        let new = NewTask { action: action.clone(), parameters, expires_at };
        let task = self.db().add_task(&new, &devices, event).await?;
        self.wake_devices(devices.into_iter().filter(|(_, why)| why.is_none()).map(|(id, _)| id), false);
        Ok(task)
    }

    async fn devices_of(&self, scope: &SyncScope) -> Result<Vec<Device>> {
        let ids: BTreeSet<_> = match scope {
            SyncScope::Group(group) => {
                self.db().group(group).await?;
                let filter = DeviceFilter { group: Some(group.clone()), ..DeviceFilter::default() };
                return self.all_devices(&filter).await;
            }
            SyncScope::Server => {
                let message = "tasks run on devices: name devices, a group or a selection";
                return Err(Error::invalid("task-devices", message));
            }
            SyncScope::Devices(devices) if devices.is_empty() => {
                return Err(Error::invalid("task-devices", "no device is named: name one at least"));
            }
            SyncScope::Devices(devices) => devices.iter().copied().collect(),
            SyncScope::Selection(name) => {
                let selection = self.db().selection(name).await?;
                self.devices_where(&selection.condition).await?.into_iter().collect()
            }
        };
        let mut devices = Vec::with_capacity(ids.len());
        for id in ids {
            devices.push(self.db().device(id).await?);
        }
        Ok(devices)
    }

    async fn all_devices(&self, filter: &DeviceFilter) -> Result<Vec<Device>> {
        let mut devices = Vec::new();
        let mut page = Page::first(Page::MAX);
        loop {
            let listed = self.db().devices(filter, &page).await?;
            devices.extend(listed.items);
            let Some(next) = listed.next else { return Ok(devices) };
            page.after = Some(next);
        }
    }
}

/// Why a device cannot take a task, as far as that is known before it is there.
fn why_not(device: &Device) -> Option<String> {
    match device.state {
        DeviceState::Decommissioned => Some("it is decommissioned: register and enrol it anew".to_owned()),
        DeviceState::Quarantined => Some("it is quarantined: enrol it anew".to_owned()),
        _ => cannot(device).then(|| CANNOT.to_owned()),
    }
}

/// Whether a device has said what it can do, and tasks are not among that.
pub(super) fn cannot(device: &Device) -> bool {
    !device.facts.is_empty() && !device.abilities.speaks_items
}
