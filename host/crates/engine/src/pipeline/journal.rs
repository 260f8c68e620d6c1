//! What a run leaves behind while it works: log lines, operations, progress. Collected in memory from any thread, written
//! to the database a few times a second, so that no file waits for it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use syncline_domain::{
    Failure, Name, RelPath,
    clock::Clock,
    event::NewEvent,
    log::{LogLevel, LogLine, LogSource},
    operation::{Operation, OperationKind, OperationState},
    run::{Counts, Phase, PluginProgress, Progress},
};
use syncline_files::Observer;
use syncline_sandbox::{LogSink, ProgressSink};
use syncline_store::{Claim, Db};

use crate::worker::Control;

/// Things passed over are reported one by one up to this number, then counted.
const PASSED_OVER_LINES: u64 = 100;

/// Planned operations that wait to be written, at most.
const MOST_WAITING: usize = 100_000;

/// Collects what a run leaves behind.
pub struct Journal {
    clock: Arc<dyn Clock>,
    control: Arc<Control>,
    lines: Mutex<Vec<LogLine>>,
    operations: Mutex<Vec<Operation>>,
    events: Mutex<Vec<NewEvent>>,
    /// How far each target has come.
    tallies: Mutex<BTreeMap<Name, Tally>>,
    progress: Mutex<Progress>,
    counts: Mutex<Counts>,
    rate: Mutex<Rate>,
    scanned: AtomicU64,
    bytes: AtomicU64,
    passed_over: AtomicU64,
    most_waiting: usize,
}

impl Journal {
    /// An empty journal of an attempt under `control`, which somebody writes down from time to time.
    pub fn new(clock: Arc<dyn Clock>, control: Arc<Control>) -> Self {
        Self { most_waiting: MOST_WAITING, ..Self::keeping_all(clock, control) }
    }

    /// An empty journal that keeps all in memory until it is taken.
    pub fn keeping_all(clock: Arc<dyn Clock>, control: Arc<Control>) -> Self {
        Self {
            clock,
            control,
            lines: Mutex::default(),
            operations: Mutex::default(),
            events: Mutex::default(),
            tallies: Mutex::default(),
            progress: Mutex::default(),
            counts: Mutex::default(),
            rate: Mutex::new(Rate::new()),
            scanned: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            passed_over: AtomicU64::new(0),
            most_waiting: usize::MAX,
        }
    }

    /// Writes a line of the host.
    pub fn say(&self, level: LogLevel, message: impl Into<String>) {
        let line = LogLine {
            at: self.clock.now(),
            level,
            source: LogSource::Host,
            message: visible(&message.into()),
            fields: Vec::new(),
        };
        self.lines.lock().push(line);
    }

    /// Goes to the next step.
    pub fn phase(&self, phase: Phase) {
        self.progress.lock().phase = phase;
    }

    /// What there is to do.
    pub fn expect(&self, operations: u64, bytes: u64) {
        let mut progress = self.progress.lock();
        progress.operations_total = operations;
        progress.bytes_total = bytes;
    }

    /// What there is to do on one target, which is an event, and so is each quarter of it if it is much.
    pub fn begin_target(&self, target: &Name, planned: &Counts, operations: u64) {
        let Counts { copied, updated, removed, bytes, .. } = planned;
        let message = format!(
            "Server {target}: {copied} files to copy, {updated} to update, {removed} to remove, {bytes} bytes"
        );
        let data = serde_json::json!({ "planned": planned });
        self.tell(NewEvent::new("target.started", "system", message).store(target).data(data));
        self.tallies.lock().insert(target.clone(), Tally::of(operations));
    }

    fn tell(&self, event: NewEvent) {
        self.events.lock().push(event);
    }

    fn tally(&self, operations: &[Operation]) {
        let mut tallies = self.tallies.lock();
        for operation in operations {
            let Some(tally) = tallies.get_mut(&operation.target) else { continue };
            if let Some(event) = tally.take(operation) {
                self.tell(event);
            }
        }
    }

    /// Takes operations of a difference that is not carried out. Waits, on a thread that may, while much is still to be
    /// written: a difference of millions of files is not held in memory twice.
    pub fn planned(&self, mut operations: Vec<Operation>) -> Result<(), Failure> {
        while self.operations.lock().len() >= self.most_waiting {
            self.control.keep_going()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        self.progress.lock().operations_total += operations.len() as u64;
        self.operations.lock().append(&mut operations);
        Ok(())
    }

    /// Things passed over so far.
    pub fn passed_over_count(&self) -> u64 {
        self.passed_over.load(Relaxed)
    }

    /// Says how many things more were passed over than lines were written for.
    pub fn close(&self) {
        let more = self.passed_over_count().saturating_sub(PASSED_OVER_LINES);
        if more > 0 {
            self.say(LogLevel::Warn, format!("passed over {more} more links and special files"));
        }
    }

    /// Takes what was collected since the last call.
    pub fn take(&self) -> (Vec<LogLine>, Vec<Operation>) {
        (std::mem::take(&mut *self.lines.lock()), std::mem::take(&mut *self.operations.lock()))
    }

    /// Before what has come since.
    fn put_back(&self, mut lines: Vec<LogLine>, mut operations: Vec<Operation>) {
        let mut later = self.lines.lock();
        lines.append(&mut later);
        *later = lines;
        let mut later = self.operations.lock();
        operations.append(&mut later);
        *later = operations;
    }

    /// How far the run has come.
    pub fn progress(&self) -> (Progress, Counts) {
        let counts = *self.counts.lock();
        let mut progress = self.progress.lock().clone();
        progress.scanned = self.scanned.load(Relaxed);
        progress.bytes_done = self.bytes.load(Relaxed);
        progress.bytes_per_second = self.rate.lock().at(progress.bytes_done);
        let left = progress.bytes_total.saturating_sub(progress.bytes_done);
        progress.remaining_ms = left
            .saturating_mul(1_000)
            .checked_div(progress.bytes_per_second)
            .filter(|_| progress.bytes_total > 0);
        (progress, Counts { bytes: self.bytes.load(Relaxed), ..counts })
    }

    /// Writes what was collected since the last call. What cannot be written is kept for the next one.
    pub async fn flush(&self, db: &Db, claim: &Claim) -> Result<(), syncline_store::Error> {
        let (lines, operations) = self.take();
        if !lines.is_empty()
            && let Err(error) = db.append_log(claim, &lines).await
        {
            self.put_back(lines, operations);
            return Err(error);
        }
        if !operations.is_empty()
            && let Err(error) = db.append_operations(claim, &operations).await
        {
            self.put_back(Vec::new(), operations);
            return Err(error);
        }
        let events = std::mem::take(&mut *self.events.lock());
        if !events.is_empty() {
            let all = events.iter().cloned().map(|event| super::of_run(event, &claim.run)).collect();
            if let Err(error) = db.tell_of_run(claim, all).await {
                let mut later = self.events.lock();
                later.splice(0..0, events);
                return Err(error);
            }
        }
        let (progress, counts) = self.progress();
        db.save_progress(claim, &progress, &counts, &[]).await
    }
}

/// Text that an attacker can choose (names of files) must not draw on an operator's terminal.
fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

impl Observer for Journal {
    fn keep_going(&self) -> Result<(), Failure> {
        self.control.keep_going()
    }

    fn scanned(&self, files: u64) {
        self.scanned.fetch_add(files, Relaxed);
    }

    fn bytes(&self, written: u64) {
        self.bytes.fetch_add(written, Relaxed);
    }

    fn finished(&self, mut operations: Vec<Operation>) {
        let mut sum = Counts::default();
        for operation in &operations {
            count(&mut sum, operation);
        }
        *self.counts.lock() += sum;
        self.tally(&operations);
        self.progress.lock().operations_done += operations.len() as u64;
        self.operations.lock().append(&mut operations);
    }

    fn passed_over(&self, store: &Name, path: &RelPath, what: &str) {
        if self.passed_over.fetch_add(1, Relaxed) < PASSED_OVER_LINES {
            self.say(LogLevel::Warn, format!("passed over {store}:{path}: {what}"));
        }
    }
}

/// How far a target has come.
struct Tally {
    planned: u64,
    ended: u64,
    counts: Counts,
}

impl Tally {
    /// With fewer operations than this, how it ended is told soon enough.
    const MUCH: u64 = 1_000;

    fn of(planned: u64) -> Self {
        Self { planned, ended: 0, counts: Counts::default() }
    }

    /// Takes an operation that ended; an event where it makes a quarter of them full.
    fn take(&mut self, operation: &Operation) -> Option<NewEvent> {
        let quarter = |ended: u64| ended.saturating_mul(4) / self.planned.max(1);
        let (before, after) = (quarter(self.ended), quarter(self.ended + 1));
        self.ended += 1;
        count(&mut self.counts, operation);
        if self.planned < Self::MUCH || before == after || after >= 4 {
            return None;
        }
        let (target, Self { planned, ended, counts }) = (&operation.target, &*self);
        let message = format!(
            "Server {target}: {ended} of {planned} done; copied {} files, updated {}, removed {}, {} failed",
            counts.copied, counts.updated, counts.removed, counts.failed
        );
        let data = serde_json::json!({ "ended": ended, "planned": planned, "counts": counts });
        Some(NewEvent::new("target.progress", "system", message).store(target).data(data))
    }
}

fn count(counts: &mut Counts, operation: &Operation) {
    let slot = match (operation.state, operation.kind) {
        (OperationState::Failed | OperationState::Skipped, _) => &mut counts.failed,
        (_, OperationKind::Copy) => &mut counts.copied,
        (_, OperationKind::Update | OperationKind::Touch) => &mut counts.updated,
        (_, OperationKind::Remove) => &mut counts.removed,
        (_, OperationKind::CreateFolder | OperationKind::RemoveFolder) => &mut counts.folders,
    };
    *slot += 1;
}

impl LogSink for Journal {
    fn line(&self, line: LogLine) {
        self.lines.lock().push(line);
    }
}

impl ProgressSink for Journal {
    fn report(&self, progress: PluginProgress) {
        self.progress.lock().plugin = Some(progress);
    }
}

/// Bytes a second over the last few seconds.
struct Rate {
    samples: std::collections::VecDeque<(Instant, u64)>,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(5);

    fn new() -> Self {
        Self { samples: [(Instant::now(), 0)].into() }
    }

    fn at(&mut self, bytes: u64) -> u64 {
        let now = Instant::now();
        while self.samples.len() > 1
            && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > Self::WINDOW)
        {
            self.samples.pop_front();
        }
        self.samples.push_back((now, bytes));
        let Some((at, then)) = self.samples.front() else { return 0 };
        let millis = u64::try_from(now.duration_since(*at).as_millis()).unwrap_or(u64::MAX).max(1);
        bytes.saturating_sub(*then).saturating_mul(1_000) / millis
    }
}
