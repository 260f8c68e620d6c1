//! What is set about devices.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use syncline_engine::devices::DeviceConfig;

use super::config::within;
use crate::outcome::{CliError, Result};

/// Longest period: a device that comes less often than once in a month is not looked after.
const MONTH: u64 = 31 * 86_400;

/// The part of the settings that is about devices.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DeviceValues {
    /// URL of /v1/opamp that devices are told to come to [default: the host that they came to]
    #[arg(long, env = "SYNCLINE_OPAMP_URL", value_name = "URL")]
    pub opamp_url: Option<String>,
    /// How often a device comes, unless its own policy says otherwise [default: 3600]
    #[arg(long, env = "SYNCLINE_DEVICE_SECONDS", value_name = "SECONDS")]
    pub device_seconds: Option<u64>,
    /// Percent by which the interval of agents of other makers is longer or shorter [default: 10]
    #[arg(long, env = "SYNCLINE_DEVICE_SPREAD_PERCENT", value_name = "PERCENT")]
    pub device_spread_percent: Option<u8>,
    /// Periods without contact after which a device counts as silent [default: 3]
    #[arg(long, env = "SYNCLINE_DEVICE_SILENT_PERIODS", value_name = "COUNT")]
    pub device_silent_periods: Option<u32>,
    /// How often the server works out all documents anew and looks for drift [default: 3600]
    #[arg(long, env = "SYNCLINE_SERVER_SYNC_SECONDS", value_name = "SECONDS")]
    pub server_sync_seconds: Option<u64>,
    /// When a change of policies, groups or users reaches devices [default: at-once]
    #[arg(long, env = "SYNCLINE_PUBLISH", value_enum, value_name = "WHEN")]
    pub publish: Option<PublishWhen>,
    /// How long a document may wait for its device before it is looked for again [default: 7200]
    #[arg(long, env = "SYNCLINE_DELIVERY_WAITING_SECONDS", value_name = "SECONDS")]
    pub delivery_waiting_seconds: Option<u32>,
    /// How long a device may take to answer an offer, before it is offered again [default: 300]
    #[arg(long, env = "SYNCLINE_DELIVERY_OFFERED_SECONDS", value_name = "SECONDS")]
    pub delivery_offered_seconds: Option<u32>,
    /// How long a device may take to apply a document, before it is offered again [default: 900]
    #[arg(long, env = "SYNCLINE_DELIVERY_APPLYING_SECONDS", value_name = "SECONDS")]
    pub delivery_applying_seconds: Option<u32>,
}

/// When changes are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishWhen {
    /// With the change
    AtOnce,
    /// With the server's next synchronisation
    ServerSync,
}

impl DeviceValues {
    /// These values, and those of `less` where there is none.
    #[must_use]
    pub fn or(self, less: Self) -> Self {
        Self {
            opamp_url: self.opamp_url.or(less.opamp_url),
            device_seconds: self.device_seconds.or(less.device_seconds),
            device_spread_percent: self.device_spread_percent.or(less.device_spread_percent),
            device_silent_periods: self.device_silent_periods.or(less.device_silent_periods),
            server_sync_seconds: self.server_sync_seconds.or(less.server_sync_seconds),
            publish: self.publish.or(less.publish),
            delivery_waiting_seconds: self.delivery_waiting_seconds.or(less.delivery_waiting_seconds),
            delivery_offered_seconds: self.delivery_offered_seconds.or(less.delivery_offered_seconds),
            delivery_applying_seconds: self.delivery_applying_seconds.or(less.delivery_applying_seconds),
        }
    }

    /// The URL that devices are told, checked.
    pub fn opamp_url(&self) -> Result<Option<String>> {
        let Some(url) = &self.opamp_url else { return Ok(None) };
        let fits = |uri: &http::Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|one| !one.as_str().contains('@'))
                && uri.path() == "/v1/opamp"
                && uri.query().is_none()
        };
        match url.parse::<http::Uri>() {
            Ok(uri) if fits(&uri) => Ok(Some(url.clone())),
            _ => Err(CliError::usage(format!(
                "opamp-url {url:?}: write it like https://devices.example:4320/v1/opamp"
            ))),
        }
    }

    /// Sets what is said here, within bounds.
    pub fn apply(&self, config: &mut DeviceConfig) -> Result<()> {
        let seconds = |name, value: Option<u64>, to: &mut Duration| {
            if let Some(value) = value {
                *to = Duration::from_secs(within(name, value, 1, MONTH)?);
            }
            Ok::<_, CliError>(())
        };
        seconds("device-seconds", self.device_seconds, &mut config.period)?;
        seconds("server-sync-seconds", self.server_sync_seconds, &mut config.server_sync)?;
        if let Some(percent) = self.device_spread_percent {
            within("device-spread-percent", percent.into(), 0, 50)?;
            config.spread_percent = percent;
        }
        if let Some(periods) = self.device_silent_periods {
            within("device-silent-periods", periods.into(), 1, 1_000)?;
            config.silent_periods = periods;
        }
        if let Some(when) = self.publish {
            config.publish_at_once = when == PublishWhen::AtOnce;
        }
        let deadlines = &mut config.deadlines;
        for (name, value, to) in [
            ("delivery-waiting-seconds", self.delivery_waiting_seconds, &mut deadlines.waiting),
            ("delivery-offered-seconds", self.delivery_offered_seconds, &mut deadlines.offered),
            ("delivery-applying-seconds", self.delivery_applying_seconds, &mut deadlines.applying),
        ] {
            if let Some(value) = value {
                within(name, value.into(), 1, MONTH)?;
                *to = value;
            }
        }
        Ok(())
    }
}
