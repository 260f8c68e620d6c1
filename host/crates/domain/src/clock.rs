//! Time, passed in so that tests can set it.

use jiff::Timestamp;

/// Tells what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC. Can step when the machine's clock is set.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
