//! Devices: what they should hold, and what they and the server say to each other.
//!
//! * what administrators register: [`enrolment`] (tokens), [`applications`], [`groups`], [`selections`], [`policies`],
//!   [`registry`] (the devices themselves)
//! * what devices should hold: `publish` works it out and writes it down, asking the plugin through `resolve` once per
//!   distinct input; [`explain`] says why
//! * one contact of one device: [`session`]
//! * contacts without news, answered from memory, and what nodes tell each other: `quiet`
//! * what people start: [`sync`] (forced synchronisation), [`messages`], [`tasks`]; who uses devices: [`users`], [`user_import`]
//! * what runs by itself: [`background`]
//!
//! Nothing is queued for a device: what it should hold is looked up at each contact, and connected devices are woken.

pub mod applications;
pub mod background;
mod connected;
mod documents;
pub mod enrolment;
pub mod explain;
pub mod groups;
pub mod messages;
pub mod policies;
pub(crate) mod publish;
pub(crate) mod quiet;
pub mod registry;
mod resolve;
pub(crate) mod rules;
pub mod selections;
pub mod session;
pub mod sync;
pub mod tasks;
pub mod user_import;
pub mod users;

use std::time::Duration;

use syncline_domain::device::Deadlines;
use syncline_store::together::Queue;

pub use connected::{Connection, Wake};
pub use publish::Published;

/// How devices are managed.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// How often a device comes.
    pub period: Duration,
    /// By how many percent the period of a device that can be told nothing but an interval is longer or shorter.
    pub spread_percent: u8,
    /// Periods without a sign after which a device counts as silent.
    pub silent_periods: u32,
    /// How often the server resolves everything again.
    pub server_sync: Duration,
    /// How often contacts are brought into the device rows, and deadlines looked at.
    pub round: Duration,
    /// How long a delivery may stay in each state.
    pub deadlines: Deadlines,
    /// Whether a change is published at once, or with the server's next synchronisation.
    pub publish_at_once: bool,
    /// After how long a device is offered another credential.
    pub credential_lasts: Duration,
    /// Most bytes of a message from a device, decompressed. Documents of a device are sent within the same bound.
    pub message_limit: usize,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(3_600),
            spread_percent: 10,
            silent_periods: 3,
            server_sync: Duration::from_secs(3_600),
            round: Duration::from_secs(1),
            deadlines: Deadlines::default(),
            publish_at_once: true,
            credential_lasts: Duration::from_secs(30 * 86_400),
            message_limit: 12 << 20,
        }
    }
}

/// What the use cases of devices keep in memory. All of it can be lost.
#[derive(Default)]
pub(crate) struct Shared {
    answers: resolve::Answers,
    documents: documents::Documents,
    connected: connected::Connected,
    heard: session::Heard,
    pub(crate) quiet: quiet::Quiet,
    /// Publishing goes one batch after the other, so that versions rise by one.
    pub(crate) publishing: tokio::sync::Mutex<()>,
    /// Single devices that are published for.
    single: Queue<publish::Single>,
}
