//! `log`: lines in the log of the run, safe to show and within limits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use syncline_domain::{
    clock::Clock,
    log::{LogLevel, LogLine, LogSource},
    plugin::SandboxLimits,
};

use crate::{
    bindings::syncline::plugin::log::{Host, Label, Level},
    call::Call,
    host::LogSink,
    text::visible,
};

/// Most bytes of a message, escapes included.
const MESSAGE: usize = 4 << 10;
/// Most bytes of a field's name, and of its value.
const FIELD: usize = 1 << 10;
/// Most fields of a line.
const FIELDS: usize = 32;
const SECOND: Duration = Duration::from_secs(1);

/// Where lines go, and how many more there may be.
pub(crate) struct LogContext {
    sink: Arc<dyn LogSink>,
    clock: Arc<dyn Clock>,
    bytes_limit: u64,
    bytes_left: u64,
    lines_per_second: u32,
    second: Option<(Instant, u32)>,
    dropped: u64,
}

impl LogContext {
    pub(crate) fn new(sink: Arc<dyn LogSink>, clock: Arc<dyn Clock>, limits: &SandboxLimits) -> Self {
        Self {
            sink,
            clock,
            bytes_limit: limits.log_bytes,
            bytes_left: limits.log_bytes,
            lines_per_second: limits.log_lines_per_second,
            second: None,
            dropped: 0,
        }
    }

    fn write(&mut self, level: LogLevel, message: &str, fields: Vec<Label>, now: Instant) {
        if !self.sink.enabled(level) {
            return;
        }
        // Before the text is touched: a flood has to be cheap.
        if self.bytes_left == 0 || !self.is_in_time(now) {
            self.dropped += 1;
            return;
        }
        let fields = fields.into_iter().take(FIELDS);
        let fields: Vec<_> =
            fields.map(|field| (visible(&field.name, FIELD), visible(&field.value, FIELD))).collect();
        let message = visible(message, MESSAGE);
        let bytes =
            message.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        match self.bytes_left.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes_left = left;
                let at = self.clock.now();
                self.sink.line(LogLine { at, level, source: LogSource::Plugin, message, fields });
            }
            None => {
                // Later lines that happen to be short would give a log with holes.
                self.bytes_left = 0;
                self.dropped += 1;
            }
        }
    }

    fn is_in_time(&mut self, now: Instant) -> bool {
        let (since, lines) = match self.second {
            Some((since, lines)) if now.duration_since(since) < SECOND => (since, lines),
            _ => (now, 0),
        };
        self.second = Some((since, lines.saturating_add(1)));
        lines < self.lines_per_second
    }

    /// The call is over: tells how many lines were dropped.
    pub(crate) fn finish(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped == 0 {
            return;
        }
        let message = format!(
            "{dropped} log lines of the plugin were dropped: past {} bytes a run (limit `log_bytes`) or {} lines a second \
             (limit `log_lines_per_second`)",
            self.bytes_limit, self.lines_per_second
        );
        let fields = vec![("dropped".to_owned(), dropped.to_string())];
        let at = self.clock.now();
        self.sink.line(LogLine { at, level: LogLevel::Warn, source: LogSource::Host, message, fields });
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

impl Host for Call {
    fn write(&mut self, level: Level, message: String, fields: Vec<Label>) -> wasmtime::Result<()> {
        self.begin()?;
        self.log.write(level.into(), &message, fields, Instant::now());
        Ok(())
    }

    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        self.begin()?;
        Ok(self.log.sink.enabled(level.into()))
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use syncline_domain::clock::SystemClock;

    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<LogLine>>);

    impl LogSink for Seen {
        fn line(&self, line: LogLine) {
            self.0.lock().push(line);
        }
    }

    fn context(limits: SandboxLimits) -> (LogContext, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        (LogContext::new(Arc::clone(&seen) as _, Arc::new(SystemClock), &limits), seen)
    }

    #[test]
    fn lines_past_the_rate_are_counted_and_the_next_second_is_free_again() {
        let (mut log, seen) = context(SandboxLimits { log_lines_per_second: 3, ..Default::default() });
        let began = Instant::now();
        for step in 0..10 {
            log.write(LogLevel::Info, "x", Vec::new(), began + step * Duration::from_millis(50));
        }
        log.write(LogLevel::Info, "later", Vec::new(), began + SECOND);
        log.finish();
        let seen = seen.0.lock();
        assert_eq!(seen.len(), 3 + 1 + 1);
        assert_eq!(seen[4].source, LogSource::Host);
        assert!(seen[4].message.starts_with("7 log lines"), "{}", seen[4].message);
    }

    #[test]
    fn bytes_are_counted_as_they_are_kept() {
        let (mut log, seen) = context(SandboxLimits { log_bytes: 20, ..Default::default() });
        let now = Instant::now();
        log.write(LogLevel::Info, "\n\n\n\n\n\n", Vec::new(), now);
        log.write(LogLevel::Info, "123456789", Vec::new(), now);
        log.write(LogLevel::Info, "1", Vec::new(), now);
        log.finish();
        assert_eq!(seen.0.lock().len(), 2);
        assert!(seen.0.lock()[1].message.starts_with("2 log lines"));
    }

    #[test]
    fn long_lines_are_cut() {
        let (mut log, seen) = context(SandboxLimits { log_bytes: 1 << 20, ..Default::default() });
        let field = Label { name: "n".repeat(2_000), value: "v".repeat(2_000) };
        log.write(LogLevel::Info, &"m".repeat(5_000), vec![field; 40], Instant::now());
        let seen = seen.0.lock();
        assert_eq!((seen[0].message.len(), seen[0].fields.len()), (MESSAGE, FIELDS));
        assert_eq!((seen[0].fields[0].0.len(), seen[0].fields[0].1.len()), (FIELD, FIELD));
    }
}
