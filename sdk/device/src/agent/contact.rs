//! When the agent last spoke with the server: for `status`.

use serde::{Deserialize, Serialize};

use crate::{error::Result, state::StateFolder};

const FILE: &str = "contact.json";

/// How the contact with the server stands. Times are milliseconds since 1970, by the device's clock; 0 is never.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// Whether the server answered on the connection that stands.
    pub connected: bool,
    /// `WebSocket` or `HTTP`.
    pub transport: String,
    /// The last answer of the server.
    pub last_contact: u64,
    /// When the agent comes next.
    pub next_contact: u64,
    /// When someone on the device last asked for a sync.
    pub last_asked: u64,
    /// The last sync that either side asked for and that ended well.
    pub last_sync: u64,
    /// Why there is no contact; empty while there is.
    pub error: String,
}

impl Contact {
    /// The stored one.
    pub fn load(state: &StateFolder) -> Result<Option<Self>> {
        state.read(FILE)
    }

    /// Stores it.
    pub fn save(&self, state: &StateFolder) -> Result<()> {
        state.write(FILE, self)
    }

    pub(super) fn answered(&mut self, transport: &str, now: u64) {
        transport.clone_into(&mut self.transport);
        self.connected = true;
        self.last_contact = now;
        self.error.clear();
    }

    pub(super) fn failed(&mut self, error: &str, next: u64) {
        self.connected = false;
        self.next_contact = next;
        error.clone_into(&mut self.error);
    }

    pub(super) const fn asked(&mut self, now: u64) {
        self.last_asked = now;
    }
}
