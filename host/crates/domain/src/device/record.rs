//! The device itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{GroupPath, Status};
use crate::ids::DeviceId;
use crate::word::words;

/// Where a device stands with this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum DeviceState {
    /// Known by name; it has never come, or has to enrol anew.
    Registered,
    /// It has a credential of its own that was accepted.
    Enrolled,
    /// It was seen in two places at once. Nothing is sent to it until it is enrolled anew.
    Quarantined,
    /// Taken out of management: its credentials are revoked.
    Decommissioned,
}

words!(DeviceState, "state of a device":
    Registered = "registered", Enrolled = "enrolled", Quarantined = "quarantined", Decommissioned = "decommissioned");

/// What began a synchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum SyncKind {
    /// The time had come.
    Periodic,
    /// A person asked for it, at the server or at the device.
    Forced,
}

words!(SyncKind, "kind of synchronisation": Periodic = "periodic", Forced = "forced");

/// What the agent said that it can do. An ability that was not announced is not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Abilities {
    /// Takes configuration (`AcceptsRemoteConfig`).
    pub takes_config: bool,
    /// Says what became of it (`ReportsRemoteConfig`).
    pub reports_config: bool,
    /// Says what is really in force (`ReportsEffectiveConfig`): deliveries can be verified.
    pub reports_effective: bool,
    /// Takes a credential of its own and an endpoint (`AcceptsOpAMPConnectionSettings`).
    pub takes_credential: bool,
    /// Comes at the interval that it is told (`ReportsHeartbeat`).
    pub takes_interval: bool,
    /// Speaks our custom capability: reports by application, messages, tasks, exact next contact.
    pub speaks_items: bool,
}

/// Most bytes of the name of a fact.
pub const MAX_FACT_NAME: usize = 128;

/// Facts, sorted by name, each a JSON value.
pub type Facts = BTreeMap<String, serde_json::Value>;

/// A machine under management.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Device {
    /// Id.
    pub id: DeviceId,
    /// What people call it; need not be unique.
    pub name: String,
    /// Where it stands.
    pub state: DeviceState,
    /// Why it stands there, for a quarantine or a decommissioning.
    pub reason: Option<String>,
    /// Where it sits in the tree.
    pub group: GroupPath,
    /// What is known of it, named as OpenTelemetry names it where it does: `os.type`, `host.name`.
    #[schema(value_type = Object)]
    pub facts: Facts,
    /// What its agent can do.
    pub abilities: Abilities,
    /// When it was made known.
    pub registered_at: Timestamp,
    /// When its own credential was first accepted.
    pub enrolled_at: Option<Timestamp>,
    /// When it was really here last, to the fold of presence.
    pub last_contact: Option<Timestamp>,
    /// When it is expected.
    pub next_contact: Option<Timestamp>,
    /// After this it counts as silent.
    pub silent_after: Option<Timestamp>,
    /// Last periodic synchronisation.
    pub last_periodic_sync: Option<Timestamp>,
    /// Last forced synchronisation.
    pub last_forced_sync: Option<Timestamp>,
    /// The process that speaks for it (16 bytes, in hexadecimal).
    pub instance_uid: Option<String>,
    /// Its last sequence number.
    pub sequence: u64,
    /// Colour, state, reason and since when.
    pub status: Status,
    /// Counts changes by people; the `ETag` of the API.
    pub revision: i64,
}

impl Device {
    /// Whether it has never been in contact: what is set on it alone would reach nobody.
    pub fn never_came(&self) -> bool {
        self.last_contact.is_none()
    }
}
