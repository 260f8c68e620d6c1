//! The devices that are connected to this node, and how they are woken.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use syncline_domain::ids::DeviceId;
use tokio::sync::Notify;

use crate::Engine;

/// Wakes one connection.
#[derive(Debug, Default)]
pub struct Wake {
    notify: Notify,
    full: AtomicBool,
}

impl Wake {
    /// Waits until the device is to be looked after; true if it is to report everything.
    pub async fn woken(&self) -> bool {
        self.notify.notified().await;
        self.full.swap(false, Ordering::AcqRel)
    }

    fn wake(&self, full: bool) {
        if full {
            self.full.store(true, Ordering::Release);
        }
        self.notify.notify_one();
    }
}

/// A connection, with the number that tells it apart from others of its device.
type Numbered = (u64, Arc<Wake>);

/// The connections of this node by device: more than one for a moment, when an agent connects anew.
#[derive(Debug, Default)]
pub(crate) struct Connected {
    next: AtomicU64,
    by_device: Mutex<HashMap<DeviceId, Vec<Numbered>>>,
}

/// A connected device, until it is dropped.
pub struct Connection {
    engine: Engine,
    device: DeviceId,
    number: u64,
    wake: Arc<Wake>,
}

impl Connection {
    /// The device.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// What wakes it.
    pub fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut all = self.engine.inner.devices.connected.by_device.lock();
        if let Some(connections) = all.get_mut(&self.device) {
            connections.retain(|(number, _)| *number != self.number);
            if connections.is_empty() {
                all.remove(&self.device);
            }
        }
    }
}

impl Engine {
    /// A device is connected to this node, and can be woken until the connection is dropped.
    pub fn device_connected(&self, device: DeviceId) -> Connection {
        let connected = &self.inner.devices.connected;
        let number = connected.next.fetch_add(1, Ordering::Relaxed);
        let wake = Arc::new(Wake::default());
        connected.by_device.lock().entry(device).or_default().push((number, Arc::clone(&wake)));
        Connection { engine: self.clone(), device, number, wake }
    }

    /// Whether a device is connected to this node.
    pub fn is_connected(&self, device: DeviceId) -> bool {
        self.inner.devices.connected.by_device.lock().contains_key(&device)
    }

    /// How many devices are connected to this node.
    pub fn connected_devices(&self) -> usize {
        self.inner.devices.connected.by_device.lock().len()
    }

    /// There may be something to tell these devices: those that are connected, here or to another node, are woken, and what the
    /// others have is looked up at their next contact. `full`: they are to report everything.
    pub(crate) fn wake_devices(&self, devices: impl IntoIterator<Item = DeviceId>, full: bool) {
        let devices: Vec<_> = devices.into_iter().collect();
        self.wake_here(&devices, full);
        if self.db().is_shared() && !devices.is_empty() {
            let engine = self.clone();
            self.inner.tasks.spawn(async move {
                if let Err(error) = engine.db().tell_nodes(&devices, full).await {
                    tracing::error!(%error, "Other nodes could not be told of devices: they are told at their next contact");
                }
            });
        }
    }

    /// Another node says that there may be something to tell these devices, or all.
    pub(super) async fn wake_for_others(&self, devices: Option<Vec<DeviceId>>, full: bool) {
        let connected = match devices {
            None => {
                self.wake_all_here(full);
                self.inner.devices.connected.by_device.lock().keys().copied().collect()
            }
            Some(devices) => {
                self.wake_here(&devices, full);
                devices.into_iter().filter(|device| self.is_connected(*device)).collect::<Vec<_>>()
            }
        };
        if full && let Err(error) = self.db().devices_woken(&connected).await {
            tracing::error!(%error, "It could not be written down that devices were woken; they are all the same");
        }
    }

    /// The same as [`Engine::wake_devices`], on this node alone.
    fn wake_here(&self, devices: &[DeviceId], full: bool) {
        self.inner.devices.quiet.forget(devices.iter().copied());
        let all = self.inner.devices.connected.by_device.lock();
        for (_, wake) in devices.iter().filter_map(|device| all.get(device)).flatten() {
            wake.wake(full);
        }
    }

    /// The same, for every device.
    pub(super) fn wake_all_here(&self, full: bool) {
        self.inner.devices.quiet.forget_all();
        for (_, wake) in self.inner.devices.connected.by_device.lock().values().flatten() {
            wake.wake(full);
        }
    }
}
