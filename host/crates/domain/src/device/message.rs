//! Messages between the server and one device, both ways.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, MessageId};
use crate::word::words;

/// Kind of a message for people.
pub const NOTICE: &str = "notice";
/// Kind of the documents of a device, sent to it.
pub const OFFER: &str = "offer";
/// Kind of what a device says of its documents, where that is news.
pub const REPORT: &str = "report";
/// Kind of a wish that the other side bring the device up to date now.
pub const SYNC_REQUEST: &str = "sync-request";
/// Kind of what became of that.
pub const SYNC_RESULT: &str = "sync-result";
/// Kind of a task, sent to a device.
pub const TASK: &str = "task";
/// Kind of what became of that.
pub const TASK_RESULT: &str = "task-result";
/// Kind of an activation code that came from a device.
pub const ACTIVATION: &str = "activation";
/// Kind of what became of that.
pub const ACTIVATION_RESULT: &str = "activation-result";

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
    /// It was sent once, and what became of it is told elsewhere: by the delivery, the task, the synchronisation.
    Sent,
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
    Waiting = "waiting", Sent = "sent", Acknowledged = "acknowledged", Received = "received", Expired = "expired", Failed = "failed");

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Message {
    /// Id; a device's own message keeps the id that the device gave it.
    pub id: MessageId,
    /// The device.
    pub device: DeviceId,
    /// Which way.
    pub direction: Direction,
    /// What it is: `notice`; `offer` (documents) and `report` (what became of them); `sync-request` and `sync-result`;
    /// `task` and `task-result`; `activation` and `activation-result`.
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
