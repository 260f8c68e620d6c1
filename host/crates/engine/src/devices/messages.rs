//! Messages of administrators to devices.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{device::message::NOTICE, event::NewEvent, ids::DeviceId};
use syncline_store::NewMessage;

use crate::{Engine, Error, Result};

/// Most bytes of a message's text.
const MOST: usize = 16 << 10;

/// How bad something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Someone should look at it some day.
    Warning,
    /// Something does not work.
    Error,
    /// Nothing works, or data are being lost.
    Critical,
}

/// A message for people at a device.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNotice {
    /// How bad.
    #[serde(default)]
    pub severity: Severity,
    /// A few words.
    pub title: String,
    /// Sentences.
    #[serde(default)]
    pub text: String,
    /// When it is over, if the device has not had it by then.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

impl Engine {
    /// Leaves a message for devices. Gives for how many.
    pub async fn send_notice(&self, devices: &[DeviceId], notice: &NewNotice, actor: &str) -> Result<u64> {
        super::enrolment::check_label("message-title", &notice.title)?;
        if notice.text.len() > MOST {
            let message = format!("a text of {} bytes: use {MOST} at most", notice.text.len());
            return Err(Error::invalid("message-text", message));
        }
        if let Some(at) = notice.expires_at.filter(|at| *at <= self.clock().now()) {
            return Err(Error::invalid("message-expiry", format!("expires_at {at} is past")));
        }
        let message = NewMessage {
            kind: NOTICE.to_owned(),
            summary: notice.title.clone(),
            details: serde_json::json!({
                "severity": notice.severity, "title": notice.title, "text": notice.text, "from": actor,
            }),
            expires_at: notice.expires_at,
        };
        let told = format!("A message was sent to {} devices: {}", devices.len(), notice.title);
        let event = NewEvent::new("message.sent", actor, told);
        let sent = self.db().send_message(devices, &message, Some(event)).await?;
        self.wake_devices(devices.iter().copied(), false);
        Ok(sent)
    }
}
