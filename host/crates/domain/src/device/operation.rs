//! Forced synchronisation: what a person started, and how far each device has come.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::GroupPath;
use crate::word::words;
use crate::{
    Name,
    ids::{DeviceId, SyncOperationId},
};

/// What is to synchronise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SyncScope {
    /// The server itself: resolve again, sweep drift, publish what is staged.
    Server,
    /// These devices.
    Devices(Vec<DeviceId>),
    /// All devices in this group and below it.
    Group(GroupPath),
    /// The devices that this selection gave when it was run.
    Selection(Name),
}

impl SyncScope {
    /// A text that is the same for the same scope: what a repeat is recognised by.
    pub fn key(&self) -> String {
        match self {
            Self::Server => "server".to_owned(),
            Self::Group(group) => format!("group {group}"),
            Self::Selection(name) => format!("selection {name}"),
            Self::Devices(devices) => {
                let mut ids: Vec<_> = devices.iter().map(ToString::to_string).collect();
                ids.sort();
                ids.dedup();
                format!("devices {}", ids.join(" "))
            }
        }
    }
}

/// What became of one device in a forced synchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum SyncOutcome {
    /// It was asked to report everything that it is and has, and is waited for.
    Woken,
    /// It is not connected: it synchronises at its next contact.
    Deferred,
    /// It was in contact after the request, has reported everything, and nothing is outstanding. An end.
    Synchronised,
    /// It did not, and why. An end.
    Failed,
}

words!(SyncOutcome, "outcome of a synchronisation":
    Woken = "woken", Deferred = "deferred", Synchronised = "synchronised", Failed = "failed");

impl SyncOutcome {
    /// Whether nothing follows.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Synchronised | Self::Failed)
    }
}

/// One device of a forced synchronisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SyncedDevice {
    /// The device.
    pub device: DeviceId,
    /// How far it is.
    pub outcome: SyncOutcome,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// How many devices stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SyncCounts {
    /// Told.
    pub woken: u64,
    /// Waited for.
    pub deferred: u64,
    /// Done.
    pub synchronised: u64,
    /// Not done.
    pub failed: u64,
}

/// A forced synchronisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SyncOperation {
    /// Id.
    pub id: SyncOperationId,
    /// What is to synchronise.
    pub scope: SyncScope,
    /// Who asked.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When the last device came to an end; absent while it is under way.
    pub finished_at: Option<Timestamp>,
    /// Why it did not go well, where that is not the devices' own: of a synchronisation of the server.
    #[serde(default)]
    pub failure: Option<String>,
    /// How many devices stand where.
    pub counts: SyncCounts,
}
