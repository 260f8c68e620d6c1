//! The File Status Report: which downloaded patches are missing or out of date on a server. And repairing what it finds.
//!
//! A report goes half of a run's road: the plugin declares, the host compares. It takes no lock, changes nothing, and so runs
//! beside a sync; what that writes meanwhile, the next report sees. A server that cannot be read to its end has an error and
//! no lists. A repair is a run of the same sync, for those files alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Failure, Name, RelPath,
    ids::RunId,
    operation::OperationKind,
    place::StoreRecord,
    run::{Repair, RepairTargets, Run, RunMode, Trigger},
    sync::{Compare, Sync},
};
use syncline_files::{Context, DiffOptions, Intent, Observer, Target, TargetDiff};
use tokio::sync::OnceCell;

use crate::{
    Engine, Error, Result,
    pipeline::{self, files::Order, journal::Journal, part::Part, sources::Memory},
    places::blocking,
    worker::{Control, Stop},
};

/// The collection that a report is about.
pub const PATCHES: &str = "patches";

/// How long a look at one server takes at most.
const LONGEST_LOOK: Duration = Duration::from_secs(3_600);
/// A share whose server is gone can keep whoever opens it for ever.
/// Servers of one report that are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// Threads of one look.
const THREADS: usize = 2;

/// How one server stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerReport {
    /// The server.
    pub name: Name,
    /// When it was looked at.
    pub checked_at: Timestamp,
    /// Why it could not be looked at to its end. There are no lists then.
    pub error: Option<Failure>,
    /// How many patches should stand there.
    pub patches: Option<u64>,
    /// Patches that are not there, sorted.
    #[schema(value_type = Option<Vec<String>>)]
    pub missing: Option<Vec<RelPath>>,
    /// Patches that are there with another content than the library's, sorted.
    #[schema(value_type = Option<Vec<String>>)]
    pub out_of_date: Option<Vec<RelPath>>,
}

/// Servers, and the syncs that bring them patches.
struct Plan {
    patches: Name,
    servers: Vec<(StoreRecord, Vec<Sync>)>,
}

impl Engine {
    /// Looks at servers, or at all that a sync brings patches to; gives a report on each, in the order of the names, as it is
    /// known. The looking ends when the stream is dropped.
    ///
    /// [`Error::NotFound`] of a name that no store has; [`Error::Conflict`] of a store that no sync brings patches to.
    pub async fn report(
        &self,
        servers: Option<&[Name]>,
        check: Compare,
    ) -> Result<impl Stream<Item = ServerReport> + Send + use<>> {
        let plan = self.plan(servers).await?;
        let control = Arc::new(Control::new(Instant::now(), Duration::from_secs(365 * 24 * 3_600)));
        let mut declared: BTreeMap<Name, Arc<Declared>> = BTreeMap::new();
        let mut looks = Vec::with_capacity(plan.servers.len());
        for (record, syncs) in plan.servers {
            let of_sync = |sync: Sync| {
                let new = || Arc::new(Declared::new(self, &plan.patches, &sync, &control));
                Arc::clone(declared.entry(sync.name.clone()).or_insert_with(new))
            };
            let declared = syncs.into_iter().map(of_sync).collect();
            looks.push(Look { engine: self.clone(), record, declared, check, control: Arc::clone(&control) });
        }
        let until_dropped = StopWhenDropped(control);
        let reports = stream::iter(looks).map(Look::report).buffered(SIDE_BY_SIDE);
        Ok(reports.inspect(move |_| {
            let _held = &until_dropped;
        }))
    }

    /// Queues runs that copy what is missing or out of date on these servers: for each what a report found there, or what is
    /// found when the run looks. One run for each sync that brings them patches.
    pub async fn repair(&self, servers: RepairTargets, check: Compare, actor: &str) -> Result<Vec<Run>> {
        let names: Vec<Name> = servers.keys().cloned().collect();
        let plan = self.plan(Some(&names)).await?;
        let mut by_sync: BTreeMap<Name, (Sync, RepairTargets)> = BTreeMap::new();
        for (record, syncs) in plan.servers {
            let found = servers.get(&record.name).cloned().flatten();
            for sync in syncs {
                let (_, targets) = by_sync.entry(sync.name.clone()).or_insert((sync, RepairTargets::new()));
                targets.insert(record.name.clone(), found.clone());
            }
        }
        let mut runs = Vec::with_capacity(by_sync.len());
        for (sync, targets) in by_sync.into_values() {
            let names: Vec<&str> = targets.keys().map(Name::as_str).collect();
            let message = format!("Repairing {} of {} was started", plan.patches, names.join(", "));
            let repair = Repair { collection: plan.patches.clone(), check, targets };
            let mut new = self.new_run_of(&sync, RunMode::Apply, None, actor, Some(&repair)).await?;
            new.trigger = Trigger::Repair;
            runs.push(self.enqueue(&new, message).await?);
        }
        Ok(runs)
    }

    async fn plan(&self, servers: Option<&[Name]>) -> Result<Plan> {
        let patches: Name = PATCHES.parse()?;
        let stores = self.db().stores().await?;
        let bring = |sync: &Sync| sync.spec.directory.is_none() && sync.spec.sources.contains(&patches);
        let mut syncs = self.db().syncs().await?;
        if !self.db().collections().await?.iter().any(|collection| collection.name == patches) {
            syncs.clear();
        }
        syncs.retain(bring);
        let all: BTreeSet<Name> = syncs.iter().flat_map(|sync| sync.spec.targets.iter().cloned()).collect();
        let mut names: Vec<Name> = servers.map_or_else(|| all.iter().cloned().collect(), <[Name]>::to_vec);
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        if names.is_empty() {
            return Err(Error::invalid("servers", "no server is named: name at least one"));
        }
        let mut planned = Vec::with_capacity(names.len());
        for name in &names {
            let record = stores.iter().find(|store| store.name == *name).cloned();
            let record = record.ok_or_else(|| Error::NotFound { what: "store", name: name.to_string() })?;
            let own = syncs.iter().filter(|sync| sync.spec.targets.contains(name)).cloned().collect();
            planned.push((record, own));
        }
        let without: Vec<&str> = names.iter().filter(|name| !all.contains(*name)).map(Name::as_str).collect();
        if !without.is_empty() {
            let message = format!(
                "no sync brings collection {patches} to {}: add it to the targets of a sync that has {patches} among its \
                 sources",
                without.join(", ")
            );
            return Err(Error::conflict("no-patches", message));
        }
        Ok(Plan { patches, servers: planned })
    }
}

/// What a sync declares of patches: asked for once, when the first of its servers is looked at.
struct Declared {
    engine: Engine,
    patches: Name,
    sync: Sync,
    control: Arc<Control>,
    known: OnceCell<Result<Arc<Known>, Failure>>,
}

/// The patches that should stand on each server.
struct Known {
    intent: Intent,
    part: Part,
    digests: Memory,
}

impl Declared {
    fn new(engine: &Engine, patches: &Name, sync: &Sync, control: &Arc<Control>) -> Self {
        Self {
            engine: engine.clone(),
            patches: patches.clone(),
            sync: sync.clone(),
            control: Arc::clone(control),
            known: OnceCell::new(),
        }
    }

    async fn known(&self) -> Result<Arc<Known>, Failure> {
        let ask = || async { self.ask().await.map(Arc::new).map_err(told) };
        self.known.get_or_init(ask).await.clone()
    }

    async fn ask(&self) -> Result<Known> {
        let engine = &self.engine;
        let plugin = pipeline::runnable_plugin(engine, &self.sync).await?;
        let journal = Journal::keeping_all(Arc::clone(&engine.inner.clock), Arc::clone(&self.control));
        let order = Order {
            run: RunId::new(engine.clock().now()),
            compare: Compare::Quick,
            // All of it: a plugin that was told where it left off could leave out what has not changed since.
            cursor: None,
            mode: RunMode::Preview,
            only: Some(Vec::new()),
            collection: Some(self.patches.clone()),
            journal: Arc::new(journal),
            control: Arc::clone(&self.control),
        };
        let job = order.job(engine, &self.sync, &plugin).await?;
        let mut part = Part::of(job.declare().await?.declarations, &self.patches);
        let declarations = std::mem::take(&mut part.declarations);
        let sources: Vec<_> = job.sources.iter().map(|one| one.source.clone()).collect();
        let watch = Watch::of(&self.control);
        let intent = move || syncline_files::expand(&declarations, &sources, &Context::new(&watch));
        Ok(Known { intent: blocking(intent).await?, part, digests: Arc::clone(&job.digests) })
    }
}

/// A look at one server.
struct Look {
    engine: Engine,
    record: StoreRecord,
    declared: Vec<Arc<Declared>>,
    check: Compare,
    control: Arc<Control>,
}

/// What differs there.
#[derive(Default)]
struct Findings {
    patches: u64,
    missing: BTreeSet<RelPath>,
    out_of_date: BTreeSet<RelPath>,
}

impl Look {
    async fn report(self) -> ServerReport {
        let checked_at = self.engine.clock().now();
        let name = self.record.name.clone();
        match self.findings_unless_stopped().await {
            Ok(found) => ServerReport {
                name,
                checked_at,
                error: None,
                patches: Some(found.patches),
                missing: Some(found.missing.into_iter().collect()),
                out_of_date: Some(found.out_of_date.into_iter().collect()),
            },
            Err(failure) => ServerReport {
                name,
                checked_at,
                error: Some(failure),
                patches: None,
                missing: None,
                out_of_date: None,
            },
        }
    }

    async fn findings_unless_stopped(&self) -> Result<Findings, Failure> {
        tokio::select! {
            found = self.findings() => found,
            () = self.engine.inner.stopping.cancelled() => {
                self.control.stop(Stop::NodeStopping);
                Err(Failure::stopped("node-stopping", "the node is being stopped: ask again, or ask another one"))
            }
        }
    }

    async fn findings(&self) -> Result<Findings, Failure> {
        let mut all = Findings::default();
        for declared in &self.declared {
            let known = declared.known().await?;
            let found = self.compare(known).await?;
            all.patches += found.patches;
            all.missing.extend(found.missing);
            all.out_of_date.extend(found.out_of_date);
        }
        Ok(all)
    }

    async fn compare(&self, known: Arc<Known>) -> Result<Findings, Failure> {
        let store = self.engine.open_in_time(&self.record).await.map_err(Error::into_failure)?;
        let target = Target { name: self.record.name.clone(), store };
        let watch = Arc::new(Watch::of(&self.control));
        let (watched, check) = (Arc::clone(&watch), self.check);
        let look = blocking(move || compare(&known, &target, check, watched.as_ref()));
        match tokio::time::timeout(LONGEST_LOOK, look).await {
            Ok(found) => found.map_err(told),
            Err(_) => {
                watch.over.store(true, Relaxed);
                Err(self.no_answer(LONGEST_LOOK))
            }
        }
    }

    fn no_answer(&self, within: Duration) -> Failure {
        let message =
            format!("store {} was not read to its end within {} s", self.record.name, within.as_secs());
        Failure::unavailable("no-answer", message)
    }
}

fn compare(known: &Known, target: &Target, check: Compare, watch: &Watch) -> Result<Findings, Failure> {
    let options = DiffOptions { compare: check, mtime_tolerance_ns: 0, digests: known.digests.as_ref() };
    let context = Context { observer: watch, threads: THREADS };
    let diffs = syncline_files::diff(&known.intent, std::slice::from_ref(target), &options, &context);
    let none = || Failure::host("report", format!("store {} was not compared", target.name));
    let (_, diff) = diffs.into_iter().next().ok_or_else(none)?;
    let diff: TargetDiff = diff?;
    let mut found = Findings { patches: known.intent.files(&target.name), ..Findings::default() };
    for operation in known.part.differing(&diff) {
        match operation.kind {
            OperationKind::Copy => found.missing.insert(operation.path),
            _ => found.out_of_date.insert(operation.path),
        };
    }
    Ok(found)
}

/// Why a server has no lists.
fn told(error: Error) -> Failure {
    if let Error::Internal(error) = &error {
        tracing::error!(%error, "A report failed by a fault of the host");
    }
    error.into_failure()
}

/// Stops a look.
struct Watch {
    control: Arc<Control>,
    /// Nobody waits for it any more.
    over: AtomicBool,
}

impl Watch {
    fn of(control: &Arc<Control>) -> Self {
        Self { control: Arc::clone(control), over: AtomicBool::new(false) }
    }
}

impl Observer for Watch {
    fn keep_going(&self) -> Result<(), Failure> {
        if self.over.load(Relaxed) {
            return Err(Failure::stopped("no-answer", "nobody waits for this any more"));
        }
        self.control.keep_going()
    }
}

/// Whoever asked has gone: what is under way ends.
struct StopWhenDropped(Arc<Control>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop(Stop::Cancelled);
    }
}
