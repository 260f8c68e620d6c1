//! What a run of device policies publishes.

use serde::{Deserialize, Serialize};

use super::GroupPath;
use crate::{Name, ids::DeviceId};

/// Whom something is published for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Every device.
    #[default]
    All,
    /// In this group or below it.
    Group(GroupPath),
    /// These.
    Devices(Vec<DeviceId>),
}

/// What is published: everything by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Publication {
    /// For whom.
    pub scope: Scope,
    /// Only this application.
    pub application: Option<Name>,
}

impl Publication {
    /// Everything for these.
    pub fn of(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }
}
