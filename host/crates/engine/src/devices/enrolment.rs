//! Enrolment tokens.

use syncline_domain::{
    device::enrolment::{Admits, EnrolmentToken},
    event::NewEvent,
    ids::EnrolmentTokenId,
};
use syncline_store::NewEnrolmentToken;

use crate::{Engine, Error, Result};

impl Engine {
    /// Makes an enrolment token. The text is given this once.
    pub async fn create_enrolment_token(
        &self,
        new: NewEnrolmentToken,
        actor: &str,
    ) -> Result<(EnrolmentToken, String)> {
        check_label("enrolment-token-name", &new.name)?;
        if new.expires_at <= self.clock().now() {
            let message = format!("expires_at {} is past", new.expires_at);
            return Err(Error::invalid("enrolment-token-expiry", message));
        }
        let told = match &new.admits {
            Admits::Group(group) => format!("Enrolment token {:?} for group {group} was made", new.name),
            Admits::Device(device) => format!("Enrolment token {:?} for device {device} was made", new.name),
        };
        let mut event = NewEvent::new("enrolment-token.created", actor, told);
        if let Admits::Device(device) = &new.admits {
            event = event.device(*device);
        }
        Ok(self.db().create_enrolment_token(&new, event).await?)
    }

    /// Ends an enrolment token.
    pub async fn revoke_enrolment_token(&self, id: EnrolmentTokenId, actor: &str) -> Result<()> {
        let event =
            NewEvent::new("enrolment-token.revoked", actor, format!("Enrolment token {id} was revoked"));
        self.db().revoke_enrolment_token(id, event).await?;
        // A token for one device can be its credential: it ends with this very moment.
        self.inner.devices.quiet.forget_all();
        Ok(())
    }
}

/// A text that people call something by.
pub(super) fn check_label(code: &'static str, text: &str) -> Result<()> {
    const MOST: usize = 200;
    if text.is_empty() || text.len() > MOST || text.chars().any(char::is_control) {
        let shown: String = text.chars().take(MOST).collect();
        return Err(Error::invalid(
            code,
            format!("a name of {shown:?}: use 1 to {MOST} bytes of printable characters"),
        ));
    }
    Ok(())
}
