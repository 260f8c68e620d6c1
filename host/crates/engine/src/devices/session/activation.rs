//! Activation codes that someone typed in on a device.

use syncline_domain::{
    device::{activation::Activation as End, user::User},
    event::NewEvent,
    ids::MessageId,
};
use syncline_protocol::items::{Activation, Id};
use syncline_store::NewActivation;
use uuid::Uuid;

use super::Turn;
use crate::{Engine, Result};

/// Most characters of a code as it is typed; what has more is none.
const MOST: usize = 200;

impl Engine {
    /// Takes a code. Its answer waits as a message, and goes out with this very contact. True if someone was activated: what
    /// the device should hold may be another now.
    pub(super) async fn take_activation(&self, turn: &Turn<'_>, activation: &Activation) -> Result<bool> {
        let Ok(id) = Id::try_from(activation.activation_id.as_slice()) else { return Ok(false) };
        let new = NewActivation {
            id: MessageId(Uuid::from(id)),
            device: turn.device.id,
            code: activation.code.chars().take(MOST).collect(),
        };
        let event = |user: &User| {
            let told = format!("User {:?} was activated on device {:?}", user.name, turn.device.name);
            NewEvent::new("user.activated", "device", told)
        };
        let Some(activated) = self.db().activate(&new, event).await? else { return Ok(false) };
        if !matches!(activated.end, End::Activated(_)) {
            return Ok(false);
        }
        // One after the other: for a device alone, its users alone are read.
        self.publish_for_users([activated.before], "device").await?;
        self.publish_for_users([Some(turn.device.id)], "device").await?;
        Ok(true)
    }
}
