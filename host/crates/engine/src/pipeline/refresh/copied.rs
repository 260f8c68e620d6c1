//! From another store: the files of a folder there, copied as syncs copy.

use std::{collections::BTreeSet, sync::Arc};

use syncline_domain::{
    Failure, FailureKind, RelPath,
    declaration::{DeclaredPrune, DeclaredTree, FileDeclarations},
    refresh::{StoreSource, Unlisted},
    run::{Counts, Phase, TargetResult},
};
use syncline_files::{ApplyOptions, Context, DiffOptions, Source, Target, TargetDiff};

use super::{Outcome, Refreshing};
use crate::{Result, places::blocking};

/// Operations that are handed to the journal at once.
const BATCH: usize = 2_000;

/// Takes a refresh from a store down its road.
pub(super) async fn road(work: &Refreshing<'_>, from: &StoreSource) -> Result<Outcome> {
    let record = work.engine.db().store(&from.store).await?;
    let source = Source {
        name: record.name.clone(),
        store: work.engine.open_store(&record).await?,
        prefix: from.prefix.clone(),
    };
    let target = Target { name: work.collection.store.clone(), store: Arc::clone(&work.to.store) };
    work.journal.phase(Phase::Diff);
    // What is removed can only be what stands below the collection's folder.
    let prunes = from.unlisted == Unlisted::Remove && {
        let to = work.to.clone();
        let there = blocking(move || match to.list(&RelPath::root(), None) {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(false),
            Err(failure) => Err(failure),
        });
        there.await?
    };
    let declarations = declare(work, &source, &target, prunes);
    let (journal, digests) = (Arc::clone(&work.journal), Arc::clone(&work.digests));
    let looked = blocking(move || {
        refuse_empty(&source)?;
        let context = Context::new(journal.as_ref());
        let intent = syncline_files::expand(&declarations, &[source], &context)?;
        let options =
            DiffOptions { compare: Default::default(), mtime_tolerance_ns: 0, digests: digests.as_ref() };
        let found = syncline_files::diff(&intent, &[target], &options, &context);
        let diffs = found.into_iter().map(|(_, diff)| diff).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok((intent, diffs))
    });
    let (intent, diffs) = looked.await?;
    work.control.keep_going()?;
    let mut outcome = Outcome::default();
    work.journal.phase(Phase::Guard);
    for diff in &diffs {
        work.guard(&mut outcome, diff.size());
    }
    if !outcome.excesses.is_empty() {
        let journal = Arc::clone(&work.journal);
        let planned = blocking(move || {
            for diff in &diffs {
                let mut operations = diff.operations().peekable();
                while operations.peek().is_some() {
                    journal.planned(operations.by_ref().take(BATCH).collect())?;
                }
            }
            Ok(diffs.iter().map(planned).collect::<Vec<_>>())
        });
        outcome.targets = planned.await?;
        outcome.counts = super::super::files::sum(&outcome.targets);
        return Ok(outcome);
    }
    work.journal.phase(Phase::Apply);
    work.journal.expect(diffs.iter().map(TargetDiff::len).sum(), diffs.iter().map(TargetDiff::bytes).sum());
    let (journal, digests) = (Arc::clone(&work.journal), Arc::clone(&work.digests));
    let applied = blocking(move || {
        let context = Context::new(journal.as_ref());
        let options = ApplyOptions::default();
        Ok(syncline_files::apply(&intent, diffs, &options, digests.as_ref(), &context))
    });
    outcome.targets = applied.await?;
    work.journal.phase(Phase::Record);
    outcome.counts = super::super::files::sum(&outcome.targets);
    let failure = outcome.targets.iter().find_map(|one| one.failure.clone());
    outcome.failure = work.control.keep_going().err().or(failure);
    Ok(outcome)
}

fn declare(work: &Refreshing<'_>, source: &Source, target: &Target, prunes: bool) -> FileDeclarations {
    let targets = BTreeSet::from([target.name.clone()]);
    let tree = DeclaredTree {
        targets: targets.clone(),
        at: work.collection.prefix.clone(),
        source: source.name.clone(),
        folder: RelPath::root(),
        including: Vec::new(),
        excluding: Vec::new(),
        stage: 0,
    };
    let prune = DeclaredPrune { targets, folder: work.collection.prefix.clone(), keep: Vec::new() };
    FileDeclarations {
        trees: vec![tree],
        prunes: if prunes { vec![prune] } else { Vec::new() },
        ..FileDeclarations::default()
    }
}

/// An empty source is far more often a mistake than a wish.
fn refuse_empty(source: &Source) -> std::result::Result<(), Failure> {
    if source.list(&RelPath::root(), None)?.next(1)?.is_empty() {
        let message = format!(
            "store {} has no files below {:?}: nothing is refreshed from there, so that an empty folder cannot empty the collection",
            source.name,
            source.prefix.to_text()
        );
        return Err(Failure::settings("empty-source", message));
    }
    Ok(())
}

fn planned(diff: &TargetDiff) -> TargetResult {
    let counts: Counts = diff.counts();
    TargetResult::new(diff.target().clone(), counts, None)
}
