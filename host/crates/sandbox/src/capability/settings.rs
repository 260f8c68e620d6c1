//! `settings`: what an administrator set for the sync.

use syncline_domain::{Failure, FailureKind, Fault, plugin::SandboxLimits};

use crate::{
    bindings::syncline::plugin::settings::{Host, Json},
    call::Call,
};

/// The settings of this call.
pub(crate) struct SettingsContext {
    json: String,
}

impl SettingsContext {
    /// `json` is one object, valid by the plugin's schema. Too large is whoever wrote it to blame, not the plugin.
    pub(crate) fn new(json: String, limits: &SandboxLimits) -> Result<Self, Failure> {
        if json.len() as u64 <= limits.settings_bytes {
            return Ok(Self { json });
        }
        let message = format!(
            "the sync's settings are {} bytes of JSON, and the plugin's limit `settings_bytes` is {}: shorten them, or an \
             administrator can raise the limit",
            json.len(),
            limits.settings_bytes
        );
        Err(Failure::new(FailureKind::Limit, Fault::Settings, "settings-size", message))
    }
}

impl Host for Call {
    fn get(&mut self) -> wasmtime::Result<Json> {
        self.begin()?;
        self.carry(self.settings.json.len())?;
        Ok(self.settings.json.clone())
    }
}
