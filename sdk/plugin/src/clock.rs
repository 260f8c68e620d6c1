//! Time, as the host has it.

use std::time::{Duration, SystemTime};

use crate::raw::syncline::plugin::clock;

/// Now. Can step when the host's clock is set, so it is not for measuring. Keep it out of declared contents: they
/// would differ from run to run.
pub fn now() -> SystemTime {
    from_millis(clock::now())
}

/// Since the call began. Never goes back.
pub fn elapsed() -> Duration {
    Duration::from_millis(clock::elapsed().into())
}

/// Until the run is stopped for its limit of wall-clock time.
pub fn remaining() -> Duration {
    Duration::from_millis(clock::remaining().into())
}

pub(crate) fn from_millis(millis: i64) -> SystemTime {
    let distance = Duration::from_millis(millis.unsigned_abs());
    let moment = if millis < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}
