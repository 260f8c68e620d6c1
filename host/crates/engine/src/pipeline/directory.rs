//! World `directory-sync`: a plugin reads a directory, and says who and what is in it.
//!
//! The difference is one transaction of the database, with the cursor that stands for what was read: entries, memberships and
//! users are there together or not at all. A preview and a held run take the same way and are not committed. What was written
//! is read back by another connection.

use std::sync::Arc;

use syncline_domain::{
    Failure,
    directory::EntryId,
    log::LogLevel,
    operation::OperationState,
    plugin::allowed,
    run::{Phase, RunMode},
};
use syncline_files::Observer;
use syncline_sandbox::{DirectorySyncAnswer, DirectorySyncCall};

use super::{Outcome, Work, files};
use crate::{
    Engine, Error, Result,
    directory::{
        import::{self, Import, Imported},
        sink::{Declared, Load, SharedSink},
    },
    settings,
    worker::Control,
};

/// Operations that are handed to the journal at once.
const BATCH: usize = 2_000;
/// Entries that are named where more are not as they were written.
const NAMED: usize = 5;

/// Takes a run of a sync down the road.
pub(super) async fn road(work: &Work<'_>) -> Result<Outcome> {
    work.journal.phase(Phase::Declare);
    let engine = work.engine;
    let sync = &work.sync.name;
    let cursor = if work.claim.run.anew { None } else { engine.db().cursor(sync).await? };
    let mut declared = Declared::new(reader(engine, work));
    if cursor.is_none() {
        // All of it will be named.
        declared.know(engine.db().known_entries(sync).await?);
    }
    let sink = SharedSink::new(declared);
    let answer = declare(work, cursor, sink.clone()).await?;
    work.control.keep_going()?;
    let run = &work.claim.run;
    let import = Import {
        spec: work.sync.spec.directory.clone().unwrap_or_default(),
        limits: work.sync.spec.limits,
        mode: run.mode,
        approved: run.approval.as_ref().map(|approval| approval.sizes.clone()),
        incomplete: answer.incomplete,
        cursor: answer.cursor,
        lease: engine.config().lease,
    };
    write(work, sink.take(), import).await
}

/// Reads all that is known, within a call of the plugin, which waits for it.
fn reader(engine: &Engine, work: &Work<'_>) -> Load {
    let (db, sync) = (engine.db().clone(), work.sync.name.clone());
    let runtime = tokio::runtime::Handle::current();
    Box::new(move || {
        let read = tokio::task::block_in_place(|| runtime.block_on(db.known_entries(&sync)));
        read.map_err(|error| Error::from(error).into_failure())
    })
}

async fn declare(work: &Work<'_>, cursor: Option<Vec<u8>>, sink: SharedSink) -> Result<DirectorySyncAnswer> {
    let engine = work.engine;
    let spec = &work.sync.spec;
    let grants = work.plugin.grants.clone().unwrap_or_default();
    let plugin = engine.load_plugin(&work.plugin.digest).await?;
    let bound = engine.connectors(&spec.sources).await?;
    let call = DirectorySyncCall {
        run: work.claim.run.id,
        cursor,
        settings: settings::text(&work.plugin.manifest, &spec.settings)?,
        allowed: allowed(&work.plugin.wants, &grants),
        limits: work.plugin.limits,
        sources: bound.directories,
        web: bound.web,
        sink: Box::new(sink),
        log: Arc::clone(&work.journal) as _,
        progress: Arc::clone(&work.journal) as _,
        stop: work.control.signal(),
    };
    let answer = engine.sandbox().declare_directory(&plugin, call).await?;
    let cost = &answer.usage;
    let line = format!(
        "the plugin took {} ms of processor time and at most {} KiB of memory",
        cost.cpu_ms,
        cost.memory_peak.div_ceil(1024)
    );
    work.journal.say(LogLevel::Debug, line);
    Ok(answer)
}

/// What was declared is compared, written and looked at again.
async fn write(work: &Work<'_>, declared: Declared, import: Import) -> Result<Outcome> {
    work.journal.phase(Phase::Diff);
    // A task of its own: what the journal writes meanwhile waits for this transaction, and must not keep it waiting.
    let (db, claim, control) = (work.engine.db().clone(), work.claim.clone(), Arc::clone(&work.control));
    let mode = import.mode;
    let carried = tokio::spawn(async move { carry_out(&db, &claim, declared, &import, &control).await });
    let imported = carried.await.map_err(Error::internal)??;
    work.journal.phase(Phase::Record);
    leave_behind(work, mode, imported).await
}

async fn carry_out(
    db: &syncline_store::Db,
    claim: &syncline_store::Claim,
    declared: Declared,
    import: &Import,
    control: &Control,
) -> Result<Imported> {
    let imported = import::carry_out(db, claim, declared, import, control).await?;
    let wrong = db.directory_differences(claim.sync()?, &imported.written).await?;
    if !wrong.is_empty() {
        return Err(not_as_written(&wrong).into());
    }
    Ok(imported)
}

fn not_as_written(wrong: &[EntryId]) -> Failure {
    let named: Vec<_> = wrong.iter().take(NAMED).map(ToString::to_string).collect();
    let message = format!(
        "{} entries are not as they were written, read back: {}; start a run that reads everything anew",
        wrong.len(),
        named.join(", ")
    );
    Failure::host("verify", message)
}

async fn leave_behind(work: &Work<'_>, mode: RunMode, mut imported: Imported) -> Result<Outcome> {
    let targets = imported.report.targets()?;
    for (level, line) in imported.report.lines.drain(..) {
        work.journal.say(level, line);
    }
    if imported.report.passed_over > 0 {
        let line = format!("{} people have no e-mail and stay unlinked", imported.report.passed_over);
        work.journal.say(LogLevel::Info, line);
    }
    let operations = std::mem::take(&mut imported.report.operations);
    work.journal.expect(operations.len() as u64, 0);
    let (ended, planned): (Vec<_>, Vec<_>) =
        operations.into_iter().partition(|one| one.state != OperationState::Planned);
    let journal = Arc::clone(&work.journal);
    let written = tokio::task::spawn_blocking(move || {
        // Those that failed, of a plan too: what could not be done is not planned.
        for batch in ended.chunks(BATCH) {
            journal.finished(batch.to_vec());
        }
        for batch in planned.chunks(BATCH) {
            journal.planned(batch.to_vec())?;
        }
        Ok::<_, Failure>(())
    });
    written.await.map_err(Error::internal)??;
    if mode == RunMode::Preview {
        let held = imported.held.take().into_iter();
        for why in held.chain(imported.excesses.drain(..).map(|excess| excess.to_string())) {
            work.journal.say(LogLevel::Warn, format!("a run would be held: {why}"));
        }
    }
    if imported.applied {
        work.engine.publish_to(imported.report.devices).await?;
    }
    Ok(Outcome {
        counts: files::sum(&targets),
        targets,
        sizes: imported.sizes,
        excesses: imported.excesses,
        held: imported.held,
        ..Outcome::default()
    })
}
