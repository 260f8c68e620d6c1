//! Publishing: what devices should hold is worked out and written down; devices have it at their next contact, connected
//! ones at once.
//!
//! A document that could not be worked out leaves the last one in force, and the failure is shown. A version rises where the
//! document is another, or where a policy that holds on the device has a new version.

use std::collections::BTreeMap;

use syncline_domain::{
    Failure, Name,
    device::{Delivery, Device, DeviceState, GroupPath, Observation, Wanted, policy::Source},
    event::NewEvent,
    ids::{DeviceId, PolicyId, UserId},
    log::LogLevel,
    policy::DEVICE_BYTES,
};
use syncline_store::{DeliveryKey, DeviceFilter, Page, Seen};

use super::{
    resolve::{self, Resolved},
    rules::Rules,
};
use crate::{Engine, Error, Result};

/// Devices that are published for in one go.
const BATCH: u32 = 500;

/// Whom something is published for.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    All,
    /// In this group or below it.
    Group(GroupPath),
    Devices(Vec<DeviceId>),
}

/// What is published.
#[derive(Debug, Clone)]
pub(crate) struct Publish {
    pub scope: Scope,
    /// Only this application.
    pub application: Option<Name>,
    /// A policy with a new version: a new version of the document too, though it may be the same.
    pub renewed: Option<PolicyId>,
}

impl Publish {
    pub fn of(scope: Scope) -> Self {
        Self { scope, application: None, renewed: None }
    }
}

/// What came of publishing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Devices looked at.
    pub devices: u64,
    /// Deliveries that changed.
    pub changed: u64,
    /// Applications that could not be worked out for a device.
    pub failed: u64,
    /// Calls into plugins.
    pub calls: u64,
}

/// What a batch comes to.
#[derive(Default)]
struct Outcome {
    seen: Vec<Seen>,
    resolves: Vec<(DeliveryKey, Option<Failure>)>,
    /// Users of whom all that changed is published by this.
    users: Vec<UserId>,
    /// Their devices.
    of_users: Vec<DeviceId>,
    /// Devices with users whose documents could not be worked out, and why.
    failed_users: Vec<(DeviceId, String)>,
}

impl Engine {
    /// Publishes after a change that is written already, unless that is left to the server's synchronisation.
    pub(crate) async fn publish_change(&self, what: Publish) -> Result<()> {
        if self.config().devices.publish_at_once {
            self.publish(what).await?;
        }
        Ok(())
    }

    /// Publishes, to its end even if the caller goes away.
    pub(crate) async fn publish(&self, what: Publish) -> Result<Published> {
        let engine = self.clone();
        let work = async move { engine.publish_now(&what).await };
        self.inner.tasks.spawn(work).await.map_err(Error::internal)?
    }

    async fn publish_now(&self, what: &Publish) -> Result<Published> {
        let alone = match &what.scope {
            Scope::Devices(devices) if devices.len() == 1 => devices.first().copied(),
            _ => None,
        };
        let rules = Rules::read(self, what.application.as_ref(), alone).await?;
        let mut published = Published::default();
        match &what.scope {
            Scope::Devices(ids) => {
                for part in ids.chunks(BATCH as usize) {
                    let mut devices = Vec::with_capacity(part.len());
                    for id in part {
                        devices.push(self.db().device(*id).await?);
                    }
                    self.publish_batch(&rules, what, &devices, &mut published).await?;
                }
            }
            Scope::All => self.publish_filter(&rules, what, DeviceFilter::default(), &mut published).await?,
            Scope::Group(group) => {
                let filter = DeviceFilter { group: Some(group.clone()), ..DeviceFilter::default() };
                self.publish_filter(&rules, what, filter, &mut published).await?;
            }
        }
        self.tell_published(what, &published).await?;
        Ok(published)
    }

    async fn tell_published(&self, what: &Publish, published: &Published) -> Result<()> {
        if published.changed == 0 && published.failed == 0 {
            return Ok(());
        }
        let Published { devices, changed, failed, calls } = published;
        let of = what.application.as_ref().map_or_else(String::new, |name| format!(" of application {name}"));
        let told =
            format!("{changed} documents{of} changed on {devices} devices, {failed} could not be worked out");
        let data =
            serde_json::json!({ "devices": devices, "changed": changed, "failed": failed, "calls": calls });
        let level = if *failed > 0 { LogLevel::Warn } else { LogLevel::Info };
        self.tell(NewEvent::new("policies.published", "system", told).level(level).data(data)).await
    }

    async fn publish_filter(
        &self,
        rules: &Rules,
        what: &Publish,
        filter: DeviceFilter,
        published: &mut Published,
    ) -> Result<()> {
        let mut page = Page::first(BATCH);
        loop {
            let listed = self.db().devices(&filter, &page).await?;
            self.publish_batch(rules, what, &listed.items, published).await?;
            let Some(next) = listed.next else { return Ok(()) };
            page.after = Some(next);
        }
    }

    async fn publish_batch(
        &self,
        rules: &Rules,
        what: &Publish,
        devices: &[Device],
        published: &mut Published,
    ) -> Result<()> {
        let _turn = self.inner.devices.publishing.lock().await;
        let known = self.deliveries_by_device(devices).await?;
        let mut outcome = Outcome::default();
        for device in devices.iter().filter(|one| one.state != DeviceState::Decommissioned) {
            let deliveries = known.get(&device.id).map_or(&[][..], Vec::as_slice);
            let resolved = self.resolve_device(rules, device, deliveries, published).await?;
            published.devices += 1;
            collect(what, device, deliveries, resolved, &mut outcome);
            collect_users(rules, what, device, &mut outcome);
        }
        published.failed += outcome.resolves.iter().filter(|(_, failure)| failure.is_some()).count() as u64;
        if !outcome.resolves.is_empty() {
            self.db().set_resolve_failures(&outcome.resolves).await?;
        }
        let mut woken = Vec::new();
        if !outcome.seen.is_empty() {
            let deadlines = &self.config().devices.deadlines;
            let changed = self.db().observe_deliveries(&outcome.seen, deadlines).await?;
            published.changed += changed.len() as u64;
            woken.extend(changed.into_iter().map(|(key, _)| key.device));
        }
        self.publish_users(rules, &outcome).await?;
        // Last, so that they find all of it written. A device whose users changed is asked for a sign that it has that, though
        // no document may have changed by it.
        self.wake_devices(woken, false);
        self.wake_devices(outcome.of_users, true);
        Ok(())
    }

    async fn publish_users(&self, rules: &Rules, outcome: &Outcome) -> Result<()> {
        if !outcome.users.is_empty() {
            self.db().users_published(&outcome.users, rules.read_at).await?;
        }
        for (device, why) in &outcome.failed_users {
            self.db().users_synced_by(*device, rules.read_at, Some(why)).await?;
        }
        Ok(())
    }

    /// What becomes of each application on a device, and whether the renewed policy is among its layers.
    async fn resolve_device(
        &self,
        rules: &Rules,
        device: &Device,
        deliveries: &[(Name, Delivery)],
        published: &mut Published,
    ) -> Result<BTreeMap<Name, (Resolved, Vec<PolicyId>)>> {
        let selections = rules.selections_of(device, deliveries, self.clock().now());
        let mut all = BTreeMap::new();
        for (plugin, applications) in &rules.applications {
            let mut asked_about = Vec::new();
            let mut policies = BTreeMap::new();
            for application in applications {
                let layers = rules.layers(application, device, &selections);
                if layers.is_empty() {
                    all.insert(application.name.clone(), (Resolved::Withdrawn, Vec::new()));
                    continue;
                }
                let in_force = layers.iter().filter_map(|layer| match layer.source {
                    Source::Policy(policy) => Some(policy.id),
                    Source::Defaults => None,
                });
                let in_force: Vec<_> = in_force.collect();
                match resolve::application(&application.name, &layers) {
                    Ok((asked, _)) => {
                        policies.insert(application.name.clone(), in_force);
                        asked_about.push(asked);
                    }
                    Err(failure) => {
                        all.insert(application.name.clone(), (Resolved::Failed(failure), in_force));
                    }
                }
            }
            for (name, resolved) in self.ask_for(rules, plugin, device, asked_about, published).await? {
                let in_force = policies.remove(&name).unwrap_or_default();
                all.insert(name, (resolved, in_force));
            }
        }
        limit_size(&mut all);
        Ok(all)
    }

    async fn ask_for(
        &self,
        rules: &Rules,
        plugin: &Name,
        device: &Device,
        applications: Vec<syncline_domain::policy::Application>,
        published: &mut Published,
    ) -> Result<Vec<(Name, Resolved)>> {
        if applications.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = applications.iter().map(|one| one.name.clone()).collect();
        let ready = rules.plugin(plugin).and_then(|asked| {
            Ok((asked, resolve::request(device, applications, rules.users_of(device.id))?))
        });
        let (asked, request) = match ready {
            Ok(ready) => ready,
            Err(failure) => {
                let failed = |name| (name, Resolved::Failed(failure.clone()));
                return Ok(names.into_iter().map(failed).collect());
            }
        };
        let mut answers = Vec::new();
        for call in request.calls(&asked.asks) {
            let (kept, called) = self.resolve(asked, call).await?;
            published.calls += u64::from(called);
            answers.extend(kept.iter().cloned());
        }
        Ok(answers)
    }
}

/// Documents of a device beyond its limit are refused, in the order of their names.
fn limit_size(all: &mut BTreeMap<Name, (Resolved, Vec<PolicyId>)>) {
    let mut bytes = 0;
    for (name, (resolved, _)) in all {
        let Resolved::Document(_, size) = resolved else { continue };
        bytes += *size;
        if bytes > DEVICE_BYTES {
            let message = format!(
                "the document of {name} brings the device over {DEVICE_BYTES} bytes in all: make its policies smaller"
            );
            *resolved = Resolved::Failed(Failure::settings("device-size", message));
        }
    }
}

/// What is written down for one device.
fn collect(
    what: &Publish,
    device: &Device,
    deliveries: &[(Name, Delivery)],
    resolved: BTreeMap<Name, (Resolved, Vec<PolicyId>)>,
    outcome: &mut Outcome,
) {
    // Only these words hide or show that something could not be worked out before.
    let may_have_failed = matches!(device.status.state.as_str(), "failed" | "quarantined" | "registered");
    for (application, (resolved, in_force)) in resolved {
        let known = deliveries.iter().find(|(name, _)| *name == application).map(|(_, delivery)| delivery);
        let key = DeliveryKey { device: device.id, application };
        let renewed = what.renewed.is_some_and(|policy| in_force.contains(&policy));
        let failure = match resolved {
            Resolved::Failed(failure) => Some(failure),
            Resolved::Document(digest, _) => {
                outcome.seen.extend(published(key.clone(), Wanted::Document(digest), known, renewed));
                None
            }
            Resolved::Withdrawn => {
                if known.is_some() {
                    outcome.seen.extend(published(key.clone(), Wanted::Withdrawn, known, false));
                }
                None
            }
        };
        if failure.is_some() || may_have_failed {
            outcome.resolves.push((key, failure));
        }
    }
}

/// What becomes of the users of a device for which all was collected.
fn collect_users(rules: &Rules, what: &Publish, device: &Device, outcome: &mut Outcome) {
    let failed = outcome.resolves.iter().rev().take_while(|(key, _)| key.device == device.id);
    let failed = failed.filter_map(|(key, failure)| Some((key, failure.as_ref()?))).last();
    if let Some((key, failure)) = failed.filter(|_| rules.has_users(device.id)) {
        let why = format!("{} could not be worked out: {}", key.application, failure.message);
        outcome.failed_users.push((device.id, why));
    }
    // One application alone is not all that a user changes.
    let changed = rules.changed_users.get(&device.id).filter(|_| what.application.is_none());
    if let Some(users) = changed {
        outcome.users.extend(users);
        outcome.of_users.push(device.id);
    }
}

fn published(key: DeliveryKey, wanted: Wanted, known: Option<&Delivery>, renewed: bool) -> Option<Seen> {
    let version = match known {
        None => 1,
        Some(known) if renewed || known.wanted != wanted => known.wanted_version + 1,
        Some(_) => return None,
    };
    let observation = match wanted {
        Wanted::Document(digest) => Observation::Wanted { digest, version },
        Wanted::Withdrawn => Observation::Withdraw { version },
    };
    Some(Seen { key, observation })
}
