//! How much devices may ask at a time, apart for what costs differently: so that a herd that enrols does not keep the others
//! from their contacts, and large documents not the small ones.
//!
//! Contacts without news are answered from memory and are not limited. Whoever is turned away is told when to come again:
//! after half a minute to a whole one, each another time.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota};
use syncline_domain::ids::DeviceId;
use syncline_engine::devices::session::Presented;
use syncline_protocol::opamp::AgentToServer;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::metrics::Metrics;

/// Messages of one device in a row, without those that have no news; then so many a second.
const BURST: NonZeroU32 = NonZeroU32::new(600).unwrap();
const A_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Devices whose rate is remembered before those that are silent are forgotten.
const MANY: usize = 50_000;

/// What a message costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows for a new device, a new credential.
    Enrolment,
    /// What a device says of what it holds: its deliveries are looked through and moved.
    Report,
    /// Nothing of the kind.
    Contact,
}

impl Kind {
    fn of(presented: &Presented, message: &AgentToServer) -> Self {
        if presented.device().is_none() {
            return Self::Enrolment;
        }
        let says = message.remote_config_status.is_some()
            || message.effective_config.is_some()
            || message.agent_description.is_some()
            || message.custom_message.is_some();
        if says { Self::Report } else { Self::Contact }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Report => "report",
            Self::Contact => "contact",
        }
    }
}

/// Why a message is not taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This device asks too often.
    TooOften,
    /// Too many ask.
    TooMany,
}

/// The places that there are for messages of devices.
pub(crate) struct Limits {
    enrolments: Arc<Semaphore>,
    reports: Arc<Semaphore>,
    contacts: Arc<Semaphore>,
    /// Bytes of messages larger than what most are, in places of 64 KiB.
    content: Arc<Semaphore>,
    rates: DefaultKeyedRateLimiter<DeviceId>,
}

/// A place that was taken, until it is dropped.
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// How long a message waits for a place over plain HTTP, where whoever sent it gives up by itself.
pub(super) const OF_REQUEST: Duration = Duration::from_secs(10);
/// The same on a connection that stays: waiting is less work than coming again.
pub(super) const OF_SOCKET: Duration = Duration::from_secs(60);
/// Bytes of a place for content.
const PIECE: usize = 64 << 10;

impl Default for Limits {
    fn default() -> Self {
        let places = |many| Arc::new(Semaphore::new(many));
        Self {
            enrolments: places(64),
            reports: places(256),
            contacts: places(256),
            // 256 MiB.
            content: places(4_096),
            rates: DefaultKeyedRateLimiter::keyed(Quota::per_second(A_SECOND).allow_burst(BURST)),
        }
    }
}

impl Limits {
    /// A place for answering this message, after waiting for one.
    pub async fn place(
        &self,
        presented: &Presented,
        message: &AgentToServer,
        patience: Duration,
        metrics: &Metrics,
    ) -> Result<Place, Refusal> {
        let kind = Kind::of(presented, message);
        if let Some(device) = presented.device() {
            if self.rates.len() > MANY {
                self.rates.retain_recent();
            }
            if self.rates.check_key(&device).is_err() {
                metrics.device_refused("rate");
                return Err(Refusal::TooOften);
            }
        }
        let places = match kind {
            Kind::Enrolment => &self.enrolments,
            Kind::Report => &self.reports,
            Kind::Contact => &self.contacts,
        };
        // A herd is let in one after the other; only what would wait for long is sent away.
        match timeout(patience, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Place(place)),
            // The places are there for as long as the server is.
            Ok(Err(_)) | Err(_) => {
                metrics.device_refused(kind.as_str());
                Err(Refusal::TooMany)
            }
        }
    }

    /// A place for reading a body of so many bytes.
    pub fn content(&self, bytes: usize, metrics: &Metrics) -> Result<Place, Refusal> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        Arc::clone(&self.content).try_acquire_many_owned(pieces).map(Place).map_err(|_| {
            metrics.device_refused("content");
            Refusal::TooMany
        })
    }
}
