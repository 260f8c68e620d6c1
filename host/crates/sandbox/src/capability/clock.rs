//! `clock`: time, as the host has it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use syncline_domain::clock::Clock;

use crate::{
    bindings::syncline::plugin::clock::{Host, Milliseconds, Timestamp},
    call::Call,
};

/// The host's clock, and when the call began.
pub(crate) struct ClockContext {
    clock: Arc<dyn Clock>,
    began: Instant,
    wall: Duration,
}

impl ClockContext {
    /// `wall` is how long the call may take.
    pub(crate) fn new(clock: Arc<dyn Clock>, wall: Duration) -> Self {
        Self { clock, began: Instant::now(), wall }
    }

    /// The call begins now: until here it waited for a place.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.began = now;
    }
}

fn milliseconds(duration: Duration) -> Milliseconds {
    Milliseconds::try_from(duration.as_millis()).unwrap_or(Milliseconds::MAX)
}

impl Host for Call {
    fn now(&mut self) -> wasmtime::Result<Timestamp> {
        self.begin()?;
        Ok(self.clock.clock.now().as_millisecond())
    }

    fn elapsed(&mut self) -> wasmtime::Result<Milliseconds> {
        self.begin()?;
        Ok(milliseconds(self.clock.began.elapsed()))
    }

    fn remaining(&mut self) -> wasmtime::Result<Milliseconds> {
        self.begin()?;
        Ok(milliseconds(self.clock.wall.saturating_sub(self.clock.began.elapsed())))
    }
}
