//! Publishing: what devices should hold is worked out and written down; devices have it at their next contact, connected
//! ones at once.
//!
//! * A change of what holds for many devices is published by a run of the plugin's sync (`pipeline::policies`): with a
//!   preview, the guard, and an administrator's approval where it is over a limit.
//! * What concerns single devices (one that came for the first time, was moved, or has news of itself) is written at once.
//!   While a run of the plugin is held, such a device is given what it never had, and nothing else changes for it.
//!
//! A document that could not be worked out leaves the last one in force, and the failure is shown. A version rises where the
//! document is another, or where other policies, or other versions of them, hold on the device: once for each such change,
//! whoever publishes it first.

mod work;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use syncline_domain::{
    Failure, Name,
    device::{Delivery, Device, DeviceState, Observation, Publication, Scope, Wanted},
    event::NewEvent,
    ids::{DeviceId, RunId, UserId},
    log::LogLevel,
    run::{RunMode, RunState, Trigger},
    sync::Sync,
};
use syncline_store::{
    DeliveryKey, DeviceFilter, Page, RunFilter, Seen,
    together::{Queue, Together, together},
};

use self::work::OfDevice;
use super::{resolve::Resolved, rules::Rules};
use crate::{Engine, Error, Result};

/// Devices that are published for in one go.
pub(crate) const BATCH: u32 = 500;
/// How long a change waits for its run; the run goes on when nobody waits any more.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a run is looked at that another one, or another node, keeps waiting.
const LOOK: Duration = Duration::from_millis(50);

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

/// What changes for one application of one device.
pub(crate) struct Change {
    pub key: DeliveryKey,
    /// What the device held or should have held, before.
    pub before: Option<Wanted>,
    pub size: u64,
    pub becomes: Becomes,
}

/// What it becomes.
pub(crate) enum Becomes {
    /// This, in this version, which stands on that.
    Wanted(Wanted, u64, Option<String>),
    Unchanged,
    Failed(Failure),
}

/// What a batch of devices comes to.
#[derive(Default)]
pub(crate) struct Batch {
    pub changes: Vec<Change>,
    /// Failures to be written, or to be forgotten.
    resolves: Vec<(DeliveryKey, Option<Failure>)>,
    /// Whose last change is published with it.
    users: Vec<(DeviceId, UserId)>,
    /// Devices with users for which something could not be worked out, and why.
    failed_users: Vec<(DeviceId, String)>,
    /// Devices with users for which something may be worked out again: what they say next tells how their users do.
    mended: Vec<DeviceId>,
    /// When users were read.
    read_at: Timestamp,
}

impl Engine {
    /// Publishes after a change that is written already, unless that is left to the server's synchronisation.
    pub(crate) async fn publish_change(&self, what: Publication, actor: &str) -> Result<()> {
        if !self.config().devices.publish_at_once {
            return Ok(());
        }
        match what.scope {
            Scope::Devices(_) => self.publish(what).await.map(drop),
            Scope::All | Scope::Group(_) => {
                self.publish_by_runs(&what, Trigger::Manual, actor).await.map(drop)
            }
        }
    }

    /// Publishes by a run of each plugin concerned, and waits for their ends for a while. True if all of them succeeded.
    pub(crate) async fn publish_by_runs(
        &self,
        what: &Publication,
        trigger: Trigger,
        actor: &str,
    ) -> Result<bool> {
        let applications = self.db().applications().await?;
        let concerned = applications
            .into_iter()
            .filter(|one| what.application.as_ref().is_none_or(|name| one.name == *name));
        let plugins: BTreeSet<Name> = concerned.map(|one| one.spec.plugin).collect();
        if plugins.is_empty() {
            // Nothing is asked, and users can be waiting all the same.
            return Ok(self.publish(what.clone()).await?.failed == 0);
        }
        let mut well = true;
        for plugin in plugins {
            match self.policy_sync_or_new(&plugin).await? {
                Some(sync) => well &= self.publish_by_run(&sync, what, trigger, actor).await?,
                // There is nothing to ask: that is written down at the devices.
                None => well &= self.publish(what.clone()).await?.failed == 0,
            }
        }
        Ok(well)
    }

    async fn publish_by_run(
        &self,
        sync: &Sync,
        what: &Publication,
        trigger: Trigger,
        actor: &str,
    ) -> Result<bool> {
        let mut new = self.new_run(sync, RunMode::Apply, None, actor).await?;
        new.trigger = trigger;
        let message = format!("A run of sync {} was started by a change", sync.name);
        let event = NewEvent::new("run.queued", actor, message).run(new.id, &sync.name);
        let run = self.db().enqueue_publication(&new, what, event).await?.id;
        let asked = Instant::now();
        if let Some(claim) = self.db().claim_run_of(run, self.config().lease).await? {
            let engine = self.clone();
            // To its end even if the caller goes away.
            let work = async move { engine.attempt(claim, asked).await };
            self.inner.tasks.spawn(work).await.map_err(Error::internal)?;
        }
        self.until_settled(run).await
    }

    /// Waits until a run has ended or is held. True if it succeeded.
    async fn until_settled(&self, run: RunId) -> Result<bool> {
        let begun = Instant::now();
        loop {
            let state = self.db().run(run).await?.state;
            if state.is_final() || state == RunState::Held || begun.elapsed() > PATIENCE {
                return Ok(state == RunState::Succeeded);
            }
            self.wake();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Publishes for single devices, to its end even if the caller goes away. Many that come at once are gone through at once; what
    /// is told is what came of all of them.
    pub(crate) async fn publish(&self, what: Publication) -> Result<Published> {
        if let Publication { scope: Scope::Devices(devices), application: None } = &what
            && let [device] = devices[..]
        {
            return together(self, Single(device)).await;
        }
        let engine = self.clone();
        let work = async move { engine.publish_now(&what).await };
        self.inner.tasks.spawn(work).await.map_err(Error::internal)?
    }

    async fn publish_now(&self, what: &Publication) -> Result<Published> {
        let alone = match &what.scope {
            Scope::Devices(devices) if devices.len() == 1 => devices.first().copied(),
            _ => None,
        };
        let rules = Rules::read(self, what.application.as_ref(), alone).await?;
        let held = self.held_applications(&rules).await?;
        let mut published = Published::default();
        let mut pages = Pages::of(&what.scope);
        while let Some(devices) = self.next_devices(&mut pages).await? {
            let _turn = self.inner.devices.publishing.lock().await;
            let mut batch = self.work_out(&rules, what, &devices, &mut published).await?;
            batch.hold(&held);
            self.write_batch(batch, &mut published).await?;
        }
        self.tell_published(what, &published).await?;
        Ok(published)
    }

    /// Applications of which a change waits for an administrator.
    async fn held_applications(&self, rules: &Rules) -> Result<BTreeSet<Name>> {
        let mut held = BTreeSet::new();
        for (plugin, applications) in &rules.applications {
            let Some(sync) = self.policy_sync(plugin).await? else { continue };
            let filter =
                RunFilter { sync: Some(sync.name), state: Some(RunState::Held), ..RunFilter::default() };
            if !self.db().runs(&filter, &Page::first(1)).await?.items.is_empty() {
                held.extend(applications.iter().map(|one| one.name.clone()));
            }
        }
        Ok(held)
    }

    async fn tell_published(&self, what: &Publication, published: &Published) -> Result<()> {
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

    /// The devices that are next; `None` if there are no more.
    pub(crate) async fn next_devices(&self, pages: &mut Pages) -> Result<Option<Vec<Device>>> {
        match pages {
            Pages::End => Ok(None),
            Pages::Listed(filter, page) => {
                let listed = self.db().devices(filter, page).await?;
                match listed.next {
                    Some(next) => page.after = Some(next),
                    None => *pages = Pages::End,
                }
                Ok(Some(listed.items))
            }
            Pages::These(ids) => {
                let mut devices = Vec::with_capacity(ids.len());
                for id in std::mem::take(ids) {
                    devices.push(self.db().device(id).await?);
                }
                *pages = Pages::End;
                Ok(Some(devices))
            }
        }
    }

    /// What changes for these devices. Nothing is written but documents, which nobody is given yet.
    pub(crate) async fn work_out(
        &self,
        rules: &Rules,
        what: &Publication,
        devices: &[Device],
        published: &mut Published,
    ) -> Result<Batch> {
        let known = self.deliveries_by_device(devices).await?;
        let mut batch = Batch { read_at: rules.read_at, ..Batch::default() };
        for device in devices.iter().filter(|one| one.state != DeviceState::Decommissioned) {
            let deliveries = known.get(&device.id).map_or(&[][..], Vec::as_slice);
            let resolved = self.resolve_device(rules, device, deliveries, published).await?;
            published.devices += 1;
            batch.add(device, deliveries, resolved);
            batch.add_users(rules, what, device);
        }
        Ok(batch)
    }

    /// Writes what changes, and wakes the devices that are connected.
    pub(crate) async fn write_batch(&self, batch: Batch, published: &mut Published) -> Result<()> {
        published.failed += batch.resolves.iter().filter(|(_, failure)| failure.is_some()).count() as u64;
        if !batch.resolves.is_empty() {
            self.db().set_resolve_failures(&batch.resolves).await?;
        }
        let mut woken = Vec::new();
        let seen: Vec<_> = batch.changes.into_iter().filter_map(Change::seen).collect();
        if !seen.is_empty() {
            let deadlines = &self.config().devices.deadlines;
            let changed = self.db().observe_deliveries(&seen, deadlines).await?;
            published.changed += changed.len() as u64;
            woken.extend(changed.into_iter().map(|(key, _)| key.device));
        }
        if !batch.users.is_empty() {
            let users: Vec<_> = batch.users.iter().map(|(_, user)| *user).collect();
            self.db().users_published(&users, batch.read_at).await?;
        }
        for (device, why) in &batch.failed_users {
            self.db().users_synced_by(*device, batch.read_at, Some(why)).await?;
        }
        // Last, so that they find all of it written. A device whose users changed is asked for a sign that it has that, though
        // no document may have changed by it: its next contact counts as their synchronisation.
        self.wake_devices(woken, false);
        self.wake_devices(batch.users.into_iter().map(|(device, _)| device).chain(batch.mended), true);
        Ok(())
    }
}

/// A device that is published for.
#[derive(Clone, Copy)]
pub(crate) struct Single(DeviceId);

impl Together for Single {
    type Context = Engine;
    type Answer = Published;
    type Error = Error;
    const MOST: usize = BATCH as usize;

    fn queue(engine: &Engine) -> &Queue<Self> {
        &engine.inner.devices.single
    }

    async fn all(engine: &Engine, all: &[Self]) -> Result<Vec<Published>> {
        let devices: BTreeSet<_> = all.iter().map(|one| one.0).collect();
        let what = Publication::of(Scope::Devices(devices.into_iter().collect()));
        let published = engine.publish_now(&what).await?;
        Ok(vec![published; all.len()])
    }

    fn stopping() -> Error {
        Error::internal("nothing was published: the server is stopping")
    }
}

/// The devices of a scope, page by page.
pub(crate) enum Pages {
    Listed(DeviceFilter, Page),
    These(Vec<DeviceId>),
    End,
}

impl Pages {
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::All => Self::Listed(DeviceFilter::default(), Page::first(BATCH)),
            Scope::Group(group) => {
                let filter = DeviceFilter { group: Some(group.clone()), ..DeviceFilter::default() };
                Self::Listed(filter, Page::first(BATCH))
            }
            Scope::Devices(ids) => Self::These(ids.clone()),
        }
    }
}

impl Batch {
    fn add(&mut self, device: &Device, deliveries: &[(Name, Delivery)], resolved: OfDevice) {
        // Only these words hide or show that something could not be worked out before.
        let may_have_failed = matches!(device.status.state.as_str(), "failed" | "quarantined" | "registered");
        for (application, (resolved, basis)) in resolved {
            let known =
                deliveries.iter().find(|(name, _)| *name == application).map(|(_, delivery)| delivery);
            let key = DeliveryKey { device: device.id, application };
            let mut failure = None;
            let (becomes, size) = match resolved {
                Resolved::Failed(why) => {
                    failure = Some(why.clone());
                    (Becomes::Failed(why), 0)
                }
                Resolved::Document(digest, size) => (next(Wanted::Document(digest), basis, known), size),
                Resolved::Withdrawn if known.is_some() => (next(Wanted::Withdrawn, None, known), 0),
                Resolved::Withdrawn => (Becomes::Unchanged, 0),
            };
            if failure.is_some() || may_have_failed {
                self.resolves.push((key.clone(), failure));
            }
            let before = known.map(|one| one.wanted.clone());
            self.changes.push(Change { key, before, size: size as u64, becomes });
        }
    }

    /// What becomes of the users of a device that was added just now.
    fn add_users(&mut self, rules: &Rules, what: &Publication, device: &Device) {
        let own = self.resolves.iter().rev().take_while(|(key, _)| key.device == device.id);
        let own: Vec<_> = own.filter(|_| rules.has_users(device.id)).collect();
        if let Some((key, failure)) =
            own.iter().rev().find_map(|(key, failure)| Some((key, failure.as_ref()?)))
        {
            let why = format!("{} could not be worked out: {}", key.application, failure.message);
            self.failed_users.push((device.id, why));
        } else if !own.is_empty() {
            self.mended.push(device.id);
        }
        // One application alone is not all that a user changes.
        let changed = rules.changed_users.get(&device.id).filter(|_| what.application.is_none());
        self.users.extend(changed.into_iter().flatten().map(|user| (device.id, *user)));
    }

    /// Leaves out what waits for an administrator, but for what a device never had. Users of whom something is left out are not
    /// published.
    fn hold(&mut self, held: &BTreeSet<Name>) {
        let waits = |one: &Change| one.before.is_some() && held.contains(&one.key.application);
        let wanted = |one: &&Change| matches!(one.becomes, Becomes::Wanted(..));
        let waiting = self.changes.iter().filter(|one| waits(one)).filter(wanted);
        let waiting: BTreeSet<_> = waiting.map(|one| one.key.device).collect();
        self.users.retain(|(device, _)| !waiting.contains(device));
        self.changes.retain(|one| !waits(one));
    }
}

impl Change {
    /// A new version alone: nothing that a device would notice.
    pub fn is_same_document(&self) -> bool {
        matches!(&self.becomes, Becomes::Wanted(wanted, ..) if Some(wanted) == self.before.as_ref())
    }

    fn seen(self) -> Option<Seen> {
        let observation = match self.becomes {
            Becomes::Wanted(Wanted::Document(digest), version, basis) => {
                Observation::Wanted { digest, version, basis }
            }
            Becomes::Wanted(Wanted::Withdrawn, version, _) => Observation::Withdraw { version },
            Becomes::Unchanged | Becomes::Failed(_) => return None,
        };
        Some(Seen { key: self.key, observation })
    }
}

fn next(wanted: Wanted, basis: Option<String>, known: Option<&Delivery>) -> Becomes {
    let Some(known) = known else { return Becomes::Wanted(wanted, 1, basis) };
    let version = known.wanted_version;
    if known.wanted == wanted && known.basis == basis {
        return Becomes::Unchanged;
    }
    // What it stood on was not written down: nothing says that this is news.
    let known_by_now = known.wanted == wanted && known.basis.is_none();
    Becomes::Wanted(wanted, if known_by_now { version } else { version + 1 }, basis)
}
