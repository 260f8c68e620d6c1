//! The road of a run on folders named on a command line: the same sandbox and pipeline, no server, no database.
//!
//! For authors of plugins. What it finds is what a run would find; with `apply` it is what a run would do. Plugins that
//! decide what devices hold are asked by [`policy`].

pub mod policy;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use syncline_domain::{
    Failure, Name, RelPath,
    clock::Clock,
    guard::{self, Excess, GuardLimits},
    ids::RunId,
    log::LogLine,
    operation::Operation,
    plugin::{Manifest, SandboxLimits},
    run::{Counts, TargetResult},
    sync::{Compare, Pace, Verify},
};
use syncline_files::{FolderStore, Source, Target, digests::NoDigests};
use syncline_sandbox::{Allocation, Plugin, Sandbox, SandboxConfig};

use crate::{
    Result,
    pipeline::{
        files::{Apart, FileJob, JobSource, JobTarget, Reach, sum},
        journal::Journal,
    },
    settings,
    worker::Control,
};

/// What is tried out on what.
#[derive(Debug, Clone)]
pub struct TryOut {
    /// The package.
    pub package: Vec<u8>,
    /// Folders to read, by the names that the plugin sees.
    pub sources: Vec<(Name, PathBuf)>,
    /// Folders to fill.
    pub targets: Vec<(Name, PathBuf)>,
    /// Settings of the sync.
    pub settings: serde_json::Value,
    /// Whether to make it so.
    pub apply: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct TryReport {
    /// What the package says of itself. It was granted all that it asks for.
    pub plugin: Manifest,
    /// What was done, or would be.
    pub counts: Counts,
    /// The same for each target.
    pub targets: Vec<TargetResult>,
    /// Each change.
    pub operations: Vec<Operation>,
    /// What the plugin and the host wrote.
    pub log: Vec<LogLine>,
    /// Limits of a sync with default settings that the difference exceeds: nothing was done then.
    pub excesses: Vec<Excess>,
    /// Why it did not work.
    pub failure: Option<Failure>,
}

/// Tries a plugin out.
pub async fn try_out(what: TryOut, clock: Arc<dyn Clock>) -> Result<TryReport> {
    let limits = SandboxLimits::default();
    let Ready { manifest, sandbox, plugin, settings } =
        ready(&what.package, &what.settings, &limits, &clock).await?;
    let control = Arc::new(Control::new(Instant::now(), Duration::from_secs(365 * 24 * 3_600)));
    let journal = Arc::new(Journal::keeping_all(Arc::clone(&clock), Arc::clone(&control)));
    let job = FileJob {
        sandbox,
        plugin,
        run: RunId::new(clock.now()),
        cursor: None,
        settings,
        allowed: manifest.wants.clone(),
        limits,
        allow_removal: true,
        sources: sources(&what.sources)?,
        targets: targets(&what.targets),
        compare: Compare::Quick,
        verify: Verify::Full,
        fsync: false,
        pace: Pace::default(),
        clock: Arc::clone(&clock),
        digests: Arc::new(NoDigests),
        journal: Arc::clone(&journal),
        control,
    };
    let mut report = TryReport {
        plugin: manifest,
        counts: Counts::default(),
        targets: Vec::new(),
        operations: Vec::new(),
        log: Vec::new(),
        excesses: Vec::new(),
        failure: None,
    };
    if let Err(error) = road(&job, what.apply, &mut report).await {
        report.failure = Some(error.into_failure());
    }
    journal.close();
    report.counts = sum(&report.targets);
    report.counts.passed_over = journal.passed_over_count();
    (report.log, report.operations) = journal.take();
    Ok(report)
}

/// A package in a sandbox of its own, with its settings.
struct Ready {
    manifest: Manifest,
    sandbox: Sandbox,
    plugin: Plugin,
    settings: String,
}

async fn ready(
    package: &[u8],
    settings: &serde_json::Value,
    limits: &SandboxLimits,
    clock: &Arc<dyn Clock>,
) -> Result<Ready> {
    let inspected = Sandbox::inspect(package)?;
    let manifest = inspected.manifest;
    let sandbox = Sandbox::new(SandboxConfig {
        cache: None,
        allocation: Allocation::OnDemand,
        concurrency: 1,
        clock: Arc::clone(clock),
    })?;
    let bytes = package.to_vec();
    let plugin = sandbox.load(&inspected.digest, async move || Ok(bytes)).await?;
    let given = if settings.is_null() { serde_json::json!({}) } else { settings.clone() };
    settings::check_by(&manifest, limits.settings_bytes, &given)?;
    let settings = settings::text(&manifest, &given)?;
    Ok(Ready { manifest, sandbox, plugin, settings })
}

async fn road(job: &FileJob, apply: bool, report: &mut TryReport) -> Result<()> {
    let answer = job.declare().await?;
    let difference = job.difference(answer.declarations).await?;
    report.excesses = guard::check(&GuardLimits::default(), &difference.sizes());
    if apply && report.excesses.is_empty() {
        report.targets = job.apply(difference).await?;
    } else {
        report.targets = job.record_planned(difference).await?;
    }
    Ok(())
}

fn sources(folders: &[(Name, PathBuf)]) -> Result<Vec<JobSource>> {
    let open = |(name, path): &(Name, PathBuf)| {
        let store = Arc::new(FolderStore::open_unmarked(name.clone(), path)?);
        let source = Source { name: name.clone(), store, prefix: RelPath::root() };
        let labels = BTreeMap::from([("collection".to_owned(), name.to_string())]);
        Ok(JobSource { source, labels })
    };
    folders.iter().map(open).collect()
}

fn targets(folders: &[(Name, PathBuf)]) -> Vec<JobTarget> {
    let open = |(name, path): &(Name, PathBuf)| JobTarget {
        name: name.clone(),
        labels: BTreeMap::from([("store".to_owned(), name.to_string())]),
        reach: match FolderStore::open_unmarked(name.clone(), path) {
            Ok(store) => Reach::Open(Target { name: name.clone(), store: Arc::new(store) }),
            Err(failure) => Reach::Gone(failure),
        },
        apart: Apart::default(),
    };
    folders.iter().map(open).collect()
}
