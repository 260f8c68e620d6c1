//! Selections: saved queries over devices, run to give a list.

use std::collections::BTreeMap;

use syncline_domain::{
    Name,
    device::{
        Delivery, Device, DeviceState, Publication,
        policy::Place,
        selection::{Condition, DeviceView, Selection},
    },
    event::NewEvent,
    ids::DeviceId,
};
use syncline_store::{DeliveryKey, DeviceFilter, Page};

use crate::{Engine, Error, Result};

impl Engine {
    /// Saves a selection.
    pub async fn create_selection(
        &self,
        name: &Name,
        condition: &Condition,
        description: &str,
        actor: &str,
    ) -> Result<Selection> {
        let event = NewEvent::new("selection.created", actor, format!("Selection {name} was made"));
        Ok(self.db().add_selection(name, condition, description, event).await?)
    }

    /// Changes a selection, and publishes what changes by that. `revision` is the one that the caller read.
    pub async fn change_selection(
        &self,
        name: &Name,
        condition: Condition,
        description: String,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<Selection> {
        let mut selection = self.db().selection(name).await?;
        if !condition.is_stable() && self.holds_policies(name).await? {
            return Err(Error::conflict("selection-unstable", super::policies::unstable(name)));
        }
        selection.condition = condition;
        selection.description = description;
        selection.revision = revision.unwrap_or(selection.revision);
        let event = NewEvent::new("selection.changed", actor, format!("Selection {name} was changed"));
        let changed = self.db().update_selection(&selection, event).await?;
        self.publish_change(Publication::default(), actor).await?;
        Ok(changed)
    }

    /// Whether a policy holds on a selection.
    async fn holds_policies(&self, name: &Name) -> Result<bool> {
        let policies = self.db().policies(None).await?;
        let on_it = |place: &Place| matches!(place, Place::Selection { name: one, .. } if one == name);
        Ok(policies.iter().any(|policy| on_it(&policy.spec.place)))
    }

    /// Removes a selection. Refused while policies hold on it.
    pub async fn remove_selection(&self, name: &Name, actor: &str) -> Result<()> {
        let event = NewEvent::new("selection.removed", actor, format!("Selection {name} was removed"));
        Ok(self.db().remove_selection(name, event).await?)
    }

    /// The devices that a condition holds for now, in the order in which they were made known.
    pub async fn devices_where(&self, condition: &Condition) -> Result<Vec<DeviceId>> {
        let mut found = Vec::new();
        let mut page = Page::first(Page::MAX);
        loop {
            let listed = self.db().devices(&DeviceFilter::default(), &page).await?;
            let deliveries = self.deliveries_by_device(&listed.items).await?;
            let now = self.clock().now();
            for device in &listed.items {
                let deliveries = deliveries.get(&device.id).map_or(&[][..], Vec::as_slice);
                let gone = device.state == DeviceState::Decommissioned;
                if !gone && condition.matches(&DeviceView { device, deliveries }, now) {
                    found.push(device.id);
                }
            }
            let Some(next) = listed.next else { return Ok(found) };
            page.after = Some(next);
        }
    }

    /// The deliveries of these devices, by device.
    pub(super) async fn deliveries_by_device(
        &self,
        devices: &[Device],
    ) -> Result<BTreeMap<DeviceId, Vec<(Name, Delivery)>>> {
        let ids: Vec<_> = devices.iter().map(|device| device.id).collect();
        let mut by_device: BTreeMap<DeviceId, Vec<_>> = BTreeMap::new();
        for (DeliveryKey { device, application }, delivery) in self.db().deliveries_of_devices(&ids).await? {
            by_device.entry(device).or_default().push((application, delivery));
        }
        Ok(by_device)
    }
}
