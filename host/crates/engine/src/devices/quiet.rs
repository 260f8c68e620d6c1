//! Contacts that say nothing and find nothing, which is what nearly all contacts are: answered from memory, with one entry
//! in the log of presence and no other access to the database.
//!
//! A device is quiet after a contact that left nothing outstanding. Whatever is written that a device may have to be told
//! goes through [`Engine::wake_devices`], which forgets that it is quiet, here and (PostgreSQL) on the other nodes; while
//! those cannot be heard, no device is quiet. Where a change and a contact cross, the contact counts as the earlier one.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use syncline_domain::{device::SyncKind, ids::DeviceId};
use syncline_protocol::{InstanceUid, opamp::AgentToServer};

use super::session::{Answer, order};
use crate::{Engine, Result};

/// How long a device is quiet at most: so that nothing that was overlooked lasts.
const LASTS: Duration = Duration::from_secs(900);

/// The BLAKE3 of a credential: the credential itself is not kept.
type Key = [u8; 32];

/// What is known of a device that is quiet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calm {
    pub device: DeviceId,
    pub uid: InstanceUid,
    pub capabilities: u64,
    /// Whether it speaks our items.
    pub ours: bool,
    /// How often it comes.
    pub period: Duration,
    /// What a contact of it completes.
    pub synced: Option<SyncKind>,
    pub until: Timestamp,
}

/// The devices that are quiet.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_credential: HashMap<Key, Calm>,
    credentials: HashMap<DeviceId, Key>,
    /// Rises whenever something is forgotten: what was read before is not remembered after.
    epoch: u64,
    /// Whether all changes are heard of.
    open: bool,
}

impl Inner {
    fn forget(&mut self, device: DeviceId) {
        if let Some(key) = self.credentials.remove(&device) {
            self.by_credential.remove(&key);
        }
    }
}

impl Quiet {
    /// From here on changes are heard of.
    pub fn open(&self) {
        let mut inner = self.0.lock();
        inner.open = true;
        inner.epoch += 1;
    }

    /// From here on changes can be missed: no device is quiet.
    pub fn close(&self) {
        let mut inner = self.0.lock();
        let epoch = inner.epoch + 1;
        *inner = Inner { epoch, ..Inner::default() };
    }

    /// Whatever was known of any device.
    pub fn forget_all(&self) {
        let mut inner = self.0.lock();
        *inner = Inner { epoch: inner.epoch + 1, open: inner.open, ..Inner::default() };
    }

    /// There may be something to tell them.
    pub fn forget(&self, devices: impl IntoIterator<Item = DeviceId>) {
        let mut inner = self.0.lock();
        inner.epoch += 1;
        for device in devices {
            inner.forget(device);
        }
    }

    /// Before anything is read about a device that may be quiet afterwards.
    pub(super) fn begin(&self, device: DeviceId) -> u64 {
        let mut inner = self.0.lock();
        inner.forget(device);
        inner.epoch
    }

    /// Nothing is outstanding, by what was read since `begun`.
    pub(super) fn remember(&self, bearer: &str, calm: Calm, begun: u64) {
        let mut inner = self.0.lock();
        if inner.open && inner.epoch == begun {
            let key = key(bearer);
            inner.by_credential.insert(key, calm);
            inner.credentials.insert(calm.device, key);
        }
    }

    fn find(&self, bearer: &str) -> Option<Calm> {
        let key = key(bearer);
        self.0.lock().by_credential.get(&key).copied()
    }
}

fn key(bearer: &str) -> Key {
    blake3::hash(bearer.as_bytes()).into()
}

impl Engine {
    /// Whether this is the credential of a device that is quiet, so that it need not be looked up to listen to it.
    pub fn is_of_quiet_device(&self, bearer: &str) -> bool {
        self.inner.devices.quiet.find(bearer).is_some()
    }

    /// The answer to a message without content of a device that is quiet; `None` if either is not so.
    pub async fn answer_quietly(&self, bearer: &str, message: &AgentToServer) -> Result<Option<Answer>> {
        let now = self.clock().now();
        let Some(calm) = self.inner.devices.quiet.find(bearer).filter(|calm| calm.until > now) else {
            return Ok(None);
        };
        let empty = AgentToServer {
            instance_uid: calm.uid.to_vec(),
            sequence_num: message.sequence_num,
            capabilities: calm.capabilities,
            ..AgentToServer::default()
        };
        if empty != *message {
            return Ok(None);
        }
        let last = self.db().last_sequence(calm.device).await?;
        if order::order(last, calm.uid, message.sequence_num) != order::Order::Next {
            return Ok(None);
        }
        let answer = self.quiet_answer(&calm, message, now);
        self.db().record_contact(self.presence(&calm, message, now)).await?;
        Ok(Some(answer))
    }

    /// Until when a device that is quiet now is so.
    pub(super) fn quiet_until(&self, now: Timestamp) -> Timestamp {
        now.checked_add(LASTS).unwrap_or(Timestamp::MAX)
    }

    /// Hears what other nodes say of devices, for as long as this node works.
    pub(crate) async fn hear_nodes_until_stopped(&self) {
        tokio::select! {
            () = self.hear_nodes() => {}
            () = self.inner.stopping.cancelled() => {}
        }
    }

    async fn hear_nodes(&self) {
        const AGAIN: Duration = Duration::from_secs(2);
        let quiet = &self.inner.devices.quiet;
        loop {
            match self.db().listen_to_nodes().await {
                // There are none.
                Ok(None) => return,
                Ok(Some(mut nodes)) => {
                    quiet.open();
                    loop {
                        match nodes.next().await {
                            Ok(Some(news)) => self.wake_for_others(news.devices, news.full).await,
                            Ok(None) => self.wake_all_here(false),
                            Err(error) => {
                                tracing::warn!(%error, "What other nodes say of devices cannot be heard");
                                break;
                            }
                        }
                    }
                    quiet.close();
                }
                Err(error) => tracing::warn!(%error, "What other nodes say of devices cannot be heard"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
