//! World `file-sync`: a plugin declares which files should stand where.
//!
//! [`FileJob`] is the road itself, without a database. [`road`] takes a run of a sync down it; `try_out` does so with
//! folders named on a command line.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
};

use syncline_domain::{
    Failure, Name, RelPath,
    clock::Clock,
    declaration::FileDeclarations,
    guard::{self, Size},
    ids::RunId,
    log::LogLevel,
    operation::{Operation, OperationState},
    plugin::{Capability, PluginVersion, SandboxLimits, allowed},
    run::{Counts, Phase, Repair, RunMode, RunState, TargetResult},
    sync::{Compare, Pace, Sync, Verify},
};
use syncline_files::{ApplyOptions, Context, DiffOptions, Intent, Source, Target, TargetDiff};
use syncline_sandbox::{BoundSource, BoundTarget, FileSyncAnswer, FileSyncCall, Plugin, Sandbox};

use super::{
    Outcome, Work,
    journal::Journal,
    part::Part,
    sources::{Memory, PluginSource},
};
use crate::{
    Engine, Error, Result,
    places::blocking,
    settings,
    syncs::{Bindings, ResolvedSource},
    worker::Control,
};

pub(super) mod digests;
mod lanes;
mod reach;

use digests::StoredDigests;
pub(crate) use lanes::Apart;
pub(crate) use reach::Reach;

/// Operations that are handed to the journal at once.
const BATCH: usize = 2_000;

/// A source, and what a plugin is told of it.
pub(crate) struct JobSource {
    pub source: Source,
    pub labels: BTreeMap<String, String>,
}

/// A target, and what a plugin is told of it.
pub(crate) struct JobTarget {
    pub name: Name,
    pub labels: BTreeMap<String, String>,
    pub reach: Reach,
    pub apart: Apart,
}

/// All that the road needs.
pub(crate) struct FileJob {
    pub sandbox: Sandbox,
    pub plugin: Plugin,
    pub run: RunId,
    pub cursor: Option<Vec<u8>>,
    pub settings: String,
    pub allowed: Vec<Capability>,
    pub limits: SandboxLimits,
    pub allow_removal: bool,
    pub sources: Vec<JobSource>,
    pub targets: Vec<JobTarget>,
    pub compare: Compare,
    pub verify: Verify,
    pub fsync: bool,
    pub pace: Pace,
    pub clock: Arc<dyn Clock>,
    pub digests: Memory,
    pub journal: Arc<Journal>,
    pub control: Arc<Control>,
}

/// What is not as declared.
pub(crate) struct Difference {
    pub intent: Arc<Intent>,
    pub diffs: Vec<TargetDiff>,
    /// Targets that could not be looked at, or whose time it is not.
    pub unreachable: Vec<TargetResult>,
}

impl Difference {
    /// For the guard.
    pub fn sizes(&self) -> Vec<Size> {
        self.diffs.iter().map(TargetDiff::size).collect()
    }

    /// What would be done, target by target.
    pub fn planned(&self) -> Vec<TargetResult> {
        let planned =
            self.diffs.iter().map(|diff| TargetResult::new(diff.target().clone(), diff.counts(), None));
        planned.chain(self.unreachable.iter().cloned()).collect()
    }

    fn operations(&self) -> impl Iterator<Item = Operation> {
        self.diffs.iter().flat_map(TargetDiff::operations)
    }
}

/// The sum over all targets.
pub(crate) fn sum(targets: &[TargetResult]) -> Counts {
    let mut counts = Counts::default();
    for target in targets {
        counts += target.counts;
    }
    counts
}

impl FileJob {
    /// The plugin states what should be.
    pub async fn declare(&self) -> Result<FileSyncAnswer> {
        self.journal.phase(Phase::Declare);
        let sources = self.sources.iter().map(|one| BoundSource {
            name: one.source.name.clone(),
            labels: labels(&one.labels),
            reader: Arc::new(PluginSource::new(
                one.source.clone(),
                Arc::clone(&self.digests),
                Arc::clone(&self.control),
            )),
        });
        let targets = self
            .targets
            .iter()
            .map(|one| BoundTarget { name: one.name.clone(), labels: labels(&one.labels) });
        let call = FileSyncCall {
            run: self.run,
            cursor: self.cursor.clone(),
            settings: self.settings.clone(),
            allowed: self.allowed.clone(),
            limits: self.limits,
            allow_removal: self.allow_removal,
            sources: sources.collect(),
            targets: targets.collect(),
            log: Arc::clone(&self.journal) as _,
            progress: Arc::clone(&self.journal) as _,
            stop: self.control.signal(),
        };
        Ok(self.sandbox.declare_files(&self.plugin, call).await?)
    }

    /// The host compares that with what is there. A target that cannot be read is one without a difference, never an
    /// empty one.
    pub async fn difference(&self, declarations: FileDeclarations) -> Result<Difference> {
        self.journal.phase(Phase::Diff);
        let sources: Vec<Source> = self.sources.iter().map(|one| one.source.clone()).collect();
        let targets: Vec<Target> = self.open_targets().cloned().collect();
        let compare = self.compare;
        let journal = Arc::clone(&self.journal);
        let digests = Arc::clone(&self.digests);
        let looked = blocking(move || {
            let context = Context::new(journal.as_ref());
            let intent = syncline_files::expand(&declarations, &sources, &context)?;
            let options = DiffOptions { compare, mtime_tolerance_ns: 0, digests: digests.as_ref() };
            let diffs = syncline_files::diff(&intent, &targets, &options, &context);
            Ok((intent, diffs))
        });
        let (intent, looked) = looked.await?;
        let mut unreachable: Vec<TargetResult> = Vec::new();
        for missing in self.targets.iter().filter_map(JobTarget::missing) {
            self.tell(&missing);
            unreachable.push(missing);
        }
        let mut diffs = Vec::new();
        for (name, diff) in looked {
            match diff {
                Ok(diff) => diffs.push(diff),
                Err(failure) => {
                    let result = TargetResult::new(name, Counts::default(), Some(failure));
                    self.tell(&result);
                    unreachable.push(result);
                }
            }
        }
        self.control.keep_going()?;
        Ok(Difference { intent: Arc::new(intent), diffs, unreachable })
    }

    /// The targets that can be looked at.
    fn open_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter_map(|one| match &one.reach {
            Reach::Open(target) => Some(target),
            Reach::Gone(_) | Reach::Later(_) | Reach::LeftOut => None,
        })
    }

    fn tell(&self, result: &TargetResult) {
        let target = &result.target;
        if let Some(failure) = &result.failure {
            self.journal.say(LogLevel::Error, format!("target {target}: {failure}"));
        }
        if let Some(waits) = &result.waits {
            self.journal.say(LogLevel::Info, format!("target {target} {}", waits.reason));
        }
    }

    /// Writes the difference down as it is, for a preview or a held run, and tells what would be done.
    pub async fn record_planned(&self, difference: Difference) -> Result<Vec<TargetResult>> {
        let journal = Arc::clone(&self.journal);
        let recorded = blocking(move || {
            let mut operations = difference.operations().peekable();
            while operations.peek().is_some() {
                journal.planned(operations.by_ref().take(BATCH).collect())?;
            }
            drop(operations);
            Ok(difference.planned())
        });
        recorded.await
    }

    /// The host makes it so, and looks again.
    pub async fn apply(&self, difference: Difference) -> Result<Vec<TargetResult>> {
        self.journal.phase(Phase::Apply);
        let sum = |of: fn(&TargetDiff) -> u64| difference.diffs.iter().map(of).sum();
        self.journal.expect(sum(TargetDiff::len), sum(TargetDiff::bytes));
        for diff in difference.diffs.iter().filter(|diff| !diff.is_empty()) {
            self.journal.begin_target(diff.target(), &diff.counts(), diff.len());
        }
        let options = ApplyOptions { verify: self.verify, fsync: self.fsync, ..ApplyOptions::default() };
        let (journal, digests) = (Arc::clone(&self.journal), Arc::clone(&self.digests));
        let Difference { intent, diffs, mut unreachable } = difference;
        let apart: BTreeMap<Name, Apart> =
            self.targets.iter().map(|one| (one.name.clone(), one.apart.clone())).collect();
        let (pace, clock) = (self.pace, Arc::clone(&self.clock));
        let applied = blocking(move || {
            let work = lanes::Work {
                intent: &intent,
                options,
                digests: digests.as_ref(),
                observer: journal.as_ref(),
                clock: clock.as_ref(),
            };
            let apart = |name: &Name| apart.get(name).cloned().unwrap_or_default();
            Ok(lanes::apply(&work, diffs, pace, apart))
        });
        let mut results = applied.await?;
        results.append(&mut unreachable);
        self.journal.phase(Phase::Record);
        Ok(results)
    }
}

fn labels(of: &BTreeMap<String, String>) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Takes a run of a sync down the road.
pub(super) async fn road(work: &Work<'_>) -> Result<Outcome> {
    let run = &work.claim.run;
    let job = match prepare(work).await? {
        Prepared::Job(job) => job,
        Prepared::NothingReached(targets) => return Ok(nothing_reached(targets)),
    };
    let answer = job.declare().await?;
    let mut difference = match &run.repair {
        Some(repair) => repairing(&job, answer.declarations, repair).await?,
        None => job.difference(answer.declarations).await?,
    };
    if let Some(earlier) = run.retry_of {
        keep_failed(work, &mut difference, earlier).await?;
    }
    let sizes = difference.sizes();
    let mut outcome = Outcome { sizes, cursor: Some(answer.cursor), ..Outcome::default() };
    if difference.diffs.is_empty() && !difference.unreachable.is_empty() {
        return Ok(nothing_reached(difference.unreachable));
    }
    work.journal.phase(Phase::Guard);
    outcome.excesses = guard::check(&work.sync.spec.limits, &outcome.sizes);
    if let Some(approval) = &run.approval
        && guard::within_approved(&approval.sizes, &outcome.sizes)
    {
        outcome.excesses.clear();
    }
    if run.mode == RunMode::Preview || !outcome.excesses.is_empty() {
        outcome.targets = job.record_planned(difference).await?;
        outcome.counts = sum(&outcome.targets);
        if run.mode == RunMode::Preview {
            say_excesses(&work.journal, &outcome);
            outcome.excesses.clear();
        }
        return Ok(outcome);
    }
    outcome.targets = job.apply(difference).await?;
    leave_for_windows(work.engine, &mut outcome.targets).await?;
    outcome.counts = sum(&outcome.targets);
    outcome.failure = work.control.keep_going().err();
    if outcome.targets.iter().any(|one| one.failure.is_some()) && outcome.targets.iter().all(useless) {
        outcome.failure = outcome.failure.or_else(|| Some(all_unreachable(&outcome.targets)));
    }
    Ok(outcome)
}

/// The difference in what a run is to repair.
async fn repairing(job: &FileJob, declarations: FileDeclarations, repair: &Repair) -> Result<Difference> {
    let mut part = Part::of(declarations, &repair.collection);
    let mut difference = job.difference(std::mem::take(&mut part.declarations)).await?;
    for diff in &mut difference.diffs {
        let found = repair.targets.get(diff.target()).and_then(Option::as_ref);
        part.keep_differing(diff, found);
    }
    Ok(difference)
}

/// Whether nothing at all could be done about a target, for one reason.
fn useless(result: &TargetResult) -> bool {
    let Counts { copied, updated, removed, unchanged, .. } = result.counts;
    result.failure.is_some() && copied + updated + removed + unchanged == 0
}

fn say_excesses(journal: &Journal, outcome: &Outcome) {
    for excess in &outcome.excesses {
        journal.say(LogLevel::Warn, format!("a run would be held: {excess}"));
    }
}

/// One failure for a run that could reach none of its targets; it can be tried again if any of these can.
fn all_unreachable(targets: &[TargetResult]) -> Failure {
    let failures: Vec<&Failure> = targets.iter().filter_map(|one| one.failure.as_ref()).collect();
    let retried = failures.iter().find(|failure| failure.retry() != syncline_domain::failure::Retry::Never);
    let Some(first) = retried.or(failures.first()) else {
        return Failure::host("no-targets", "no target could be looked at, and none says why");
    };
    let mut failure = (*first).clone();
    if targets.len() > 1 {
        failure.message = format!(
            "none of {} targets could be brought up to date; the first: {}",
            targets.len(),
            first.message
        );
    }
    failure
}

/// The outcome of a run that could do nothing about any of its targets: of some it was not the time, and others were away.
fn nothing_reached(targets: Vec<TargetResult>) -> Outcome {
    let away = targets.iter().any(|one| one.failure.is_some());
    let failure = away.then(|| all_unreachable(&targets));
    Outcome { failure, targets, ..Outcome::default() }
}

/// Targets whose window closed before all was done wait for it to open again; nothing failed there.
async fn leave_for_windows(engine: &Engine, targets: &mut [TargetResult]) -> Result<()> {
    let closed =
        |one: &TargetResult| one.failure.as_ref().is_some_and(|why| why.code == lanes::WINDOW_CLOSED);
    if !targets.iter().any(closed) {
        return Ok(());
    }
    let mut windows = engine.closed_windows(engine.clock().now()).await?;
    for target in targets.iter_mut().filter(|one| closed(one)) {
        if let Some(waits) = windows.remove(&target.target) {
            (target.failure, target.cause) = (None, None);
            target.waits = Some(waits);
        }
    }
    Ok(())
}

/// What a run begins with.
enum Prepared {
    Job(Box<FileJob>),
    /// Nothing is there to be compared: the plugin need not be asked.
    NothingReached(Vec<TargetResult>),
}

async fn prepare(work: &Work<'_>) -> Result<Prepared> {
    let run = &work.claim.run;
    let repair = run.repair.as_ref();
    let repaired = repair.map(|repair| repair.targets.keys().cloned().collect::<Vec<_>>());
    let only = repaired.or_else(|| run.only.clone());
    // A part is not what a cursor stands for.
    let cursor =
        if run.anew || only.is_some() { None } else { work.engine.db().cursor(&work.sync.name).await? };
    let order = Order {
        run: run.id,
        mode: run.mode,
        compare: repair.map_or(work.sync.spec.compare, |repair| repair.check),
        cursor,
        only,
        collection: repair.map(|repair| repair.collection.clone()),
        journal: Arc::clone(&work.journal),
        control: Arc::clone(&work.control),
    };
    if work.sync.spec.refresh_before && repair.is_none() {
        tell_of_refreshes(work, &work.engine.bindings(&work.sync.spec).await?.sources).await?;
    }
    let job = order.job(work.engine, &work.sync, &work.plugin).await?;
    if job.open_targets().next().is_some() {
        return Ok(Prepared::Job(Box::new(job)));
    }
    Ok(Prepared::NothingReached(job.targets.iter().filter_map(JobTarget::missing).collect()))
}

/// A refresh that was waited for and failed leaves the files as they were: whoever reads the log should know.
async fn tell_of_refreshes(work: &Work<'_>, sources: &[ResolvedSource]) -> Result<()> {
    for collection in sources.iter().filter_map(|source| source.collection.as_ref()) {
        let Some(run) = work.engine.last_refresh(&collection.name).await? else { continue };
        if run.state != RunState::Succeeded {
            let why = run.failure.map(|failure| format!(": {failure}")).unwrap_or_default();
            let message = format!(
                "collection {} is as it was before its last refresh, run {}, which {}{why}",
                collection.name, run.id, run.state
            );
            work.journal.say(LogLevel::Warn, message);
        }
    }
    Ok(())
}

/// What a job is to be like, beside what its sync says.
pub(crate) struct Order {
    pub run: RunId,
    pub mode: RunMode,
    pub compare: Compare,
    pub cursor: Option<Vec<u8>>,
    /// The targets that it is for; all of the sync if absent.
    pub only: Option<Vec<Name>>,
    /// The source that it is for; all of the sync if absent.
    pub collection: Option<Name>,
    pub journal: Arc<Journal>,
    pub control: Arc<Control>,
}

impl Order {
    /// The job, with its sources and targets opened.
    pub async fn job(self, engine: &Engine, sync: &Sync, plugin: &PluginVersion) -> Result<FileJob> {
        let spec = &sync.spec;
        let Bindings { sources: bound_sources, targets: bound_targets } = engine.bindings(spec).await?;
        let package = engine.load_plugin(&plugin.digest).await?;
        let mut sources = Vec::new();
        for source in bound_sources {
            let needs_files = self.collection.as_ref().is_none_or(|wanted| source.name == *wanted);
            sources.push(open_source(engine, source, needs_files).await?);
        }
        let targets = reach::open(engine, bound_targets, self.only.as_deref(), self.mode).await?;
        let grants = plugin.grants.clone().unwrap_or_default();
        Ok(FileJob {
            sandbox: engine.sandbox().clone(),
            plugin: package,
            run: self.run,
            cursor: self.cursor,
            settings: settings::text(&plugin.manifest, &spec.settings)?,
            allowed: allowed(&plugin.wants, &grants),
            limits: plugin.limits,
            allow_removal: spec.allow_removal,
            sources,
            targets,
            compare: self.compare,
            verify: spec.verify,
            fsync: spec.fsync,
            pace: spec.pace,
            clock: Arc::clone(&engine.inner.clock),
            digests: Arc::new(StoredDigests::new(engine.db().clone())),
            journal: self.journal,
            control: self.control,
        })
    }
}

async fn open_source(engine: &Engine, resolved: ResolvedSource, needs_files: bool) -> Result<JobSource> {
    let store = engine.open_store(&resolved.store).await?;
    let mut labels = resolved.store.labels.clone();
    labels.insert("store".to_owned(), resolved.store.name.to_string());
    if let Some(collection) = &resolved.collection {
        labels.insert("collection".to_owned(), collection.name.to_string());
    }
    let prefix = resolved.collection.as_ref().map(|collection| collection.prefix.clone()).unwrap_or_default();
    let source = Source { name: resolved.name.clone(), store, prefix };
    if !needs_files {
        return Ok(JobSource { source, labels });
    }
    let looked = source.clone();
    let first =
        blocking(move || looked.list(&RelPath::root(), None)?.next(1)).await.map_err(
            |error| match error {
                Error::Failed(failure) if failure.kind == syncline_domain::FailureKind::NotFound => {
                    Error::Failed(empty(&resolved))
                }
                other => other,
            },
        )?;
    if first.is_empty() {
        return Err(empty(&resolved).into());
    }
    Ok(JobSource { source, labels })
}

/// An empty source is far more often a mistake than a wish, and syncing it would empty every target.
fn empty(resolved: &ResolvedSource) -> Failure {
    let prefix =
        resolved.collection.as_ref().map(|collection| collection.prefix.to_text()).unwrap_or_default();
    let folder = Path::new(&resolved.store.path).join(prefix);
    let refreshed = resolved.collection.as_ref().is_some_and(|collection| collection.source.is_some());
    let first = if refreshed {
        format!(
            "refresh it (`syncline collection refresh {}`), or fill {} by hand",
            resolved.name,
            folder.display()
        )
    } else if resolved.collection.is_some() {
        format!("fill {} by hand, or give it a source and refresh it", folder.display())
    } else {
        format!("fill {} first", folder.display())
    };
    let what = if resolved.collection.is_some() { "collection" } else { "source" };
    let message = format!(
        "{what} {:?} has no files: {first} (a sync of an empty source is refused, so that it cannot empty its targets)",
        resolved.name
    );
    Failure::settings("empty-source", message)
}

/// Leaves of the difference only what failed or was not reached in an earlier run.
async fn keep_failed(work: &Work<'_>, difference: &mut Difference, earlier: RunId) -> Result<()> {
    let run = work.engine.db().run(earlier).await?;
    if run.targets.is_empty() || !run.excesses.is_empty() {
        // The earlier run failed before it had a difference, or was held and rejected: nothing of it was done.
        return Ok(());
    }
    let failed = work.engine.db().failed_operations(earlier).await?;
    let mut paths: BTreeMap<Name, HashSet<RelPath>> = BTreeMap::new();
    for operation in failed.into_iter().filter(|one| one.state != OperationState::Done) {
        paths.entry(operation.target).or_default().insert(operation.path);
    }
    let whole: HashSet<Name> =
        run.targets.into_iter().filter(|one| one.failure.is_some()).map(|one| one.target).collect();
    for diff in &mut difference.diffs {
        if whole.contains(diff.target()) {
            continue;
        }
        let of_target = paths.remove(diff.target()).unwrap_or_default();
        diff.retain(|path| of_target.contains(path));
    }
    Ok(())
}
