//! In what order the targets of a run are filled, and how many at once.
//!
//! Targets that nothing sets apart are one bundle: each file of a source is read once for all of them. What could hold up the
//! others goes a way of its own, beside them: a server with a limit on bytes a second, one whose window closes, and the
//! servers of a site for which the sync says how many are filled at once.

use std::{
    collections::{BTreeMap, VecDeque},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use syncline_domain::{
    Failure, Name, RelPath, clock::Clock, operation::Operation, run::TargetResult, sync::Pace,
};
use syncline_files::{ApplyOptions, Context, Digests, Intent, Observer, TargetDiff};

/// Code of the failure of a target whose window closed.
pub(super) const WINDOW_CLOSED: &str = "window-closed";

/// What sets a target apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    /// Where it stands.
    pub site: Option<Name>,
    /// It has a limit on bytes a second.
    pub slow: bool,
    /// When its window closes.
    pub closes: Option<Timestamp>,
}

/// Targets that are filled together.
struct Bundle {
    diffs: Vec<TargetDiff>,
    closes: Option<Timestamp>,
}

/// Bundles of which so many go at once.
struct Lane {
    bundles: VecDeque<Bundle>,
    slots: usize,
    /// Threads of each; 0 for as many as suit the machine.
    threads: usize,
    stagger: Duration,
}

/// What all lanes share.
pub(super) struct Work<'a> {
    pub intent: &'a Intent,
    pub options: ApplyOptions,
    pub digests: &'a (dyn Digests + Send + Sync),
    pub observer: &'a (dyn Observer + Send),
    pub clock: &'a dyn Clock,
}

/// Carries the differences out, lanes side by side. Results come in no order.
pub(super) fn apply(
    work: &Work<'_>,
    diffs: Vec<TargetDiff>,
    pace: Pace,
    apart: impl Fn(&Name) -> Apart,
) -> Vec<TargetResult> {
    let lanes = lanes(diffs, pace, apart);
    let results = Mutex::new(Vec::new());
    let running: Vec<Running> = lanes.into_iter().map(Running::new).collect();
    thread::scope(|scope| {
        for lane in &running {
            for _ in 0..lane.slots {
                scope.spawn(|| lane.run(work, &results));
            }
        }
    });
    results.into_inner()
}

fn lanes(diffs: Vec<TargetDiff>, pace: Pace, apart: impl Fn(&Name) -> Apart) -> Vec<Lane> {
    let mut free = Vec::new();
    let mut sites: BTreeMap<Option<Name>, Vec<Bundle>> = BTreeMap::new();
    let mut lanes = Vec::new();
    for diff in diffs {
        let Apart { site, slow, closes } = apart(diff.target());
        if !pace.is_free() {
            sites.entry(site).or_default().push(Bundle { diffs: vec![diff], closes });
        } else if slow || closes.is_some() {
            lanes.push(Lane::of(vec![Bundle { diffs: vec![diff], closes }], 1));
        } else {
            free.push(diff);
        }
    }
    if !free.is_empty() {
        lanes.push(Lane::of(vec![Bundle { diffs: free, closes: None }], 0));
    }
    lanes.extend(sites.into_values().map(|bundles| paced(bundles, pace)));
    lanes
}

impl Lane {
    fn of(bundles: Vec<Bundle>, threads: usize) -> Self {
        Self { bundles: bundles.into(), slots: 1, threads, stagger: Duration::ZERO }
    }
}

/// The servers of a site.
fn paced(bundles: Vec<Bundle>, pace: Pace) -> Lane {
    let whole = |number: Option<u32>| number.map(|number| number.max(1) as usize);
    let files = whole(pace.files_at_once).unwrap_or(usize::MAX);
    let slots = whole(pace.servers_at_once).unwrap_or(usize::MAX).min(bundles.len()).min(files).max(1);
    let threads = pace.files_at_once.map_or(0, |_| (files / slots).max(1));
    let stagger = Duration::from_secs(pace.stagger_seconds.into());
    Lane { slots, threads, stagger, ..Lane::of(bundles, 0) }
}

/// A lane under way.
struct Running {
    bundles: Mutex<VecDeque<Bundle>>,
    /// Not before this does the next one start.
    next: Mutex<Option<Instant>>,
    slots: usize,
    threads: usize,
    stagger: Duration,
}

impl Running {
    fn new(lane: Lane) -> Self {
        let Lane { bundles, slots, threads, stagger } = lane;
        Self { bundles: Mutex::new(bundles), next: Mutex::new(None), slots, threads, stagger }
    }

    fn run(&self, work: &Work<'_>, results: &Mutex<Vec<TargetResult>>) {
        loop {
            // Taken in the same breath as its turn, so that servers start in their order.
            let Some(bundle) = self.bundles.lock().pop_front() else { return };
            self.wait_for_turn(work.observer);
            let watch = Watch { observer: work.observer, clock: work.clock, closes: bundle.closes };
            let context = Context::new(&watch);
            let options = ApplyOptions { threads: self.threads, ..work.options };
            let done = syncline_files::apply(work.intent, bundle.diffs, &options, work.digests, &context);
            results.lock().extend(done);
        }
    }

    fn wait_for_turn(&self, observer: &dyn Observer) {
        const LOOK: Duration = Duration::from_millis(50);
        if self.stagger.is_zero() {
            return;
        }
        let mine = {
            let mut next = self.next.lock();
            let mine = next.unwrap_or_else(Instant::now).max(Instant::now());
            *next = Some(mine + self.stagger);
            mine
        };
        // A run that is to stop starts the rest at once, which tells of each of them that nothing was done.
        while Instant::now() < mine && observer.keep_going().is_ok() {
            thread::sleep(LOOK.min(mine.saturating_duration_since(Instant::now())));
        }
    }
}

/// Stops the work on servers whose window has closed.
struct Watch<'a> {
    observer: &'a (dyn Observer + Send),
    clock: &'a dyn Clock,
    closes: Option<Timestamp>,
}

impl Observer for Watch<'_> {
    fn keep_going(&self) -> Result<(), Failure> {
        self.observer.keep_going()?;
        match self.closes {
            Some(closes) if self.clock.now() >= closes => {
                Err(Failure::stopped(WINDOW_CLOSED, format!("the window of the server closed at {closes}")))
            }
            _ => Ok(()),
        }
    }

    fn scanned(&self, entries: u64) {
        self.observer.scanned(entries);
    }

    fn bytes(&self, written: u64) {
        self.observer.bytes(written);
    }

    fn finished(&self, operations: Vec<Operation>) {
        self.observer.finished(operations);
    }

    fn passed_over(&self, store: &Name, path: &RelPath, what: &str) {
        self.observer.passed_over(store, path, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(bundles: usize, pace: Pace) -> (usize, usize) {
        let bundles = (0..bundles).map(|_| Bundle { diffs: Vec::new(), closes: None }).collect();
        let lane = paced(bundles, pace);
        (lane.slots, lane.threads)
    }

    #[test]
    fn a_site_has_as_many_servers_and_files_at_once_as_it_may() {
        let pace =
            |servers_at_once, files_at_once| Pace { servers_at_once, files_at_once, stagger_seconds: 0 };
        assert_eq!(slots(9, pace(Some(3), None)), (3, 0));
        assert_eq!(slots(2, pace(Some(3), None)), (2, 0));
        assert_eq!(slots(9, pace(Some(3), Some(6))), (3, 2));
        assert_eq!(slots(9, pace(Some(3), Some(2))), (2, 1), "no more servers than files");
        assert_eq!(slots(9, pace(None, Some(1))), (1, 1));
        assert_eq!(slots(9, Pace { stagger_seconds: 5, ..Pace::default() }), (9, 0));
    }
}
