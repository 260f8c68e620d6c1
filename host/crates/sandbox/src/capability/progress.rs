//! `progress`: how far the plugin has come.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use syncline_domain::run::PluginProgress;

use crate::{bindings::syncline::plugin::progress::Host, call::Call, host::ProgressSink, text::visible};

/// Most bytes of a unit.
const UNIT: usize = 32;
/// Positions that come sooner after each other are held back: the latest of them is shown.
const APART: Duration = Duration::from_millis(100);

/// Where positions go, and the one that is held back.
pub(crate) struct ProgressContext {
    sink: Arc<dyn ProgressSink>,
    shown: Option<Instant>,
    held_back: Option<PluginProgress>,
}

impl ProgressContext {
    pub(crate) fn new(sink: Arc<dyn ProgressSink>) -> Self {
        Self { sink, shown: None, held_back: None }
    }

    fn report(&mut self, progress: PluginProgress, now: Instant) {
        if self.shown.is_some_and(|shown| now.duration_since(shown) < APART) {
            self.held_back = Some(progress);
        } else {
            self.shown = Some(now);
            self.held_back = None;
            self.sink.report(progress);
        }
    }

    /// The call is over: the latest position holds.
    pub(crate) fn finish(&mut self) {
        if let Some(progress) = self.held_back.take() {
            self.sink.report(progress);
        }
    }
}

impl Host for Call {
    fn report(&mut self, done: u64, total: Option<u64>, unit: String) -> wasmtime::Result<()> {
        self.begin()?;
        let unit = visible(&unit, UNIT);
        self.progress.report(PluginProgress { done, total, unit }, Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<u64>>);

    impl ProgressSink for Seen {
        fn report(&self, progress: PluginProgress) {
            self.0.lock().push(progress.done);
        }
    }

    #[test]
    fn the_latest_position_is_shown_in_the_end() {
        let seen = Arc::new(Seen::default());
        let mut context = ProgressContext::new(Arc::clone(&seen) as _);
        let began = Instant::now();
        for step in 0..250_u32 {
            let progress = PluginProgress { done: u64::from(step), total: None, unit: String::new() };
            context.report(progress, began + step * Duration::from_millis(1));
        }
        context.finish();
        assert_eq!(*seen.0.lock(), [0, 100, 200, 249]);
    }
}
