//! Messages between the server and one device, both ways.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::word::words;
use crate::ids::{DeviceId, MessageId};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Direction {
    /// From the server.
    ToDevice,
    /// To the server.
    FromDevice,
}

words!(Direction, "direction of a message": ToDevice = "to-device", FromDevice = "from-device");

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum MessageOutcome {
    /// Kept until the device acknowledges it.
    Waiting,
    /// The device has it.
    Acknowledged,
    /// It came from the device and was taken in.
    Received,
    /// Its time was over before the device had it.
    Expired,
    /// It could not be used; see the details.
    Failed,
}

words!(MessageOutcome, "outcome of a message":
    Waiting = "waiting", Acknowledged = "acknowledged", Received = "received", Expired = "expired", Failed = "failed");

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Message {
    /// Id; a device's own message keeps the id that the device gave it.
    pub id: MessageId,
    /// The device.
    pub device: DeviceId,
    /// Which way.
    pub direction: Direction,
    /// What it is: `notice`, `sync-request`, `applications`, `hello`.
    pub kind: String,
    /// In one line, for people.
    pub summary: String,
    /// All of it.
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
    /// When the server wrote or received it.
    pub at: Timestamp,
    /// When it is over, if the device has not had it by then.
    pub expires_at: Option<Timestamp>,
    /// What became of it.
    pub outcome: MessageOutcome,
    /// Since when.
    pub outcome_at: Timestamp,
}
