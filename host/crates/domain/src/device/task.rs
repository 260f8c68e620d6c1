//! Tasks: named actions that a device has configured, run at most once on each.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::word::words;
use crate::{
    Name,
    ids::{DeviceId, TaskId},
};

/// A task for devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Task {
    /// Id: what the device's journal knows it by.
    pub id: TaskId,
    /// The action, as the device has configured it. The server can choose no command.
    pub action: Name,
    /// What the action is given.
    #[schema(value_type = Object)]
    pub parameters: serde_json::Value,
    /// Who made it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// Devices that have not begun by then do not run it.
    pub expires_at: Option<Timestamp>,
    /// How many devices stand where.
    pub counts: TaskCounts,
}

/// A task as a device is sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenTask {
    /// Id.
    pub id: TaskId,
    /// The action.
    pub action: Name,
    /// What it is given.
    pub parameters: serde_json::Value,
    /// Devices that have not begun by then do not run it.
    pub expires_at: Option<Timestamp>,
    /// Whether the device was sent it before.
    pub sent: bool,
}

/// How many devices stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskCounts {
    /// Not sent.
    pub waiting: u64,
    /// Sent.
    pub sent: u64,
    /// Done.
    pub succeeded: u64,
    /// Not done.
    pub failed: u64,
    /// Over.
    pub expired: u64,
}

/// How far a task is on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum TaskState {
    /// To be sent.
    Waiting,
    /// Sent; sent again until the device answers, which its journal allows.
    Sent,
    /// Done.
    Succeeded,
    /// It ran and failed, or the device has no such action.
    Failed,
    /// Its time was over before the device took it.
    Expired,
}

words!(TaskState, "state of a task":
    Waiting = "waiting", Sent = "sent", Succeeded = "succeeded", Failed = "failed", Expired = "expired");

impl TaskState {
    /// Whether nothing follows.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Expired)
    }
}

/// A task on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeviceTask {
    /// The task.
    pub task: TaskId,
    /// The device.
    pub device: DeviceId,
    /// How far it is.
    pub state: TaskState,
    /// What came out, in the device's words.
    pub outcome: Option<String>,
    /// Since when.
    pub at: Timestamp,
}
