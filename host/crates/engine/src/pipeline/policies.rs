//! World `device-policy`: a plugin decides which documents devices should hold.
//!
//! What is declared is one answer for each distinct input, what is compared are documents, and the guard counts, for each
//! application, documents that change and documents that are taken back; and, as `devices`, the devices that are touched.
//! Devices are gone through twice, since the guard wants to know how much it is before anything is written; the answers of
//! the plugin are remembered in between.

use std::collections::{BTreeMap, BTreeSet};

use syncline_domain::{
    Failure, Name, RelPath,
    device::{Publication, Wanted},
    guard::{self, Size},
    ids::DeviceId,
    log::LogLevel,
    operation::{Operation, OperationKind, OperationState},
    plugin::DEVICES,
    run::{Counts, Phase, RunMode, TargetResult},
};
use syncline_files::Observer;

use super::{Outcome, Work, files};
use crate::{
    Error, Result,
    devices::{
        Published,
        publish::{Becomes, Change, Pages},
        rules::Rules,
    },
};

/// Takes a run of a sync down the road.
pub(super) async fn road(work: &Work<'_>) -> Result<Outcome> {
    let run = &work.claim.run;
    let what = work.engine.db().publication(run.id).await?;
    let mut rules = Rules::read(work.engine, what.application.as_ref(), None).await?;
    rules.applications.retain(|plugin, _| *plugin == work.sync.spec.plugin);
    work.journal.phase(Phase::Diff);
    let mut difference = go_through(work, &rules, &what, Purpose::Measure).await?;
    work.journal.phase(Phase::Guard);
    let sizes = difference.sizes()?;
    let mut excesses = guard::check(&work.sync.spec.limits, &sizes);
    if run.approval.as_ref().is_some_and(|one| guard::within_approved(&one.sizes, &sizes)) {
        excesses.clear();
    }
    let held = !excesses.is_empty();
    if run.mode == RunMode::Preview || held {
        difference = go_through(work, &rules, &what, Purpose::Plan).await?;
        if run.mode == RunMode::Preview {
            for excess in excesses.drain(..) {
                work.journal.say(LogLevel::Warn, format!("a run would be held: {excess}"));
            }
        }
    } else {
        work.journal.phase(Phase::Apply);
        difference = go_through(work, &rules, &what, Purpose::Apply).await?;
    }
    let targets = difference.targets();
    Ok(Outcome { counts: files::sum(&targets), targets, sizes, excesses, ..Outcome::default() })
}

/// Why devices are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To know how much changes.
    Measure,
    /// To write down what would change.
    Plan,
    /// To change it.
    Apply,
}

async fn go_through(
    work: &Work<'_>,
    rules: &Rules,
    what: &Publication,
    purpose: Purpose,
) -> Result<Difference> {
    let engine = work.engine;
    let mut difference = Difference::default();
    let mut published = Published::default();
    let mut pages = Pages::of(&what.scope);
    while let Some(devices) = engine.next_devices(&mut pages).await? {
        work.control.keep_going()?;
        // Until it is written: another node's run is kept away by the run's lock, this node's single devices by this one.
        let _turn = engine.inner.devices.publishing.lock().await;
        let batch = engine.work_out(rules, what, &devices, &mut published).await?;
        for change in &batch.changes {
            difference.add(change);
        }
        if purpose != Purpose::Measure {
            let state = match purpose {
                Purpose::Apply => OperationState::Done,
                _ => OperationState::Planned,
            };
            let operations = batch
                .changes
                .iter()
                .filter_map(|one| operation(one, state).transpose())
                .collect::<Result<_>>()?;
            work.journal.finished(operations);
        }
        if purpose == Purpose::Apply {
            engine.write_batch(batch, &mut published).await?;
        }
    }
    let Published { devices, calls, .. } = published;
    work.journal.say(LogLevel::Info, format!("{devices} devices, {calls} calls into the plugin"));
    Ok(difference)
}

/// What changes, by application.
#[derive(Debug, Default)]
struct Difference {
    applications: BTreeMap<Name, Part>,
    /// Devices for which anything changes.
    touched: BTreeSet<DeviceId>,
    devices: BTreeSet<DeviceId>,
}

#[derive(Debug, Default)]
struct Part {
    counts: Counts,
    /// Documents that devices have, or should have had by now.
    before: u64,
    declared: u64,
    failure: Option<Failure>,
}

impl Difference {
    fn add(&mut self, change: &Change) {
        let Change { key, before, size, becomes } = change;
        let part = self.applications.entry(key.application.clone()).or_default();
        self.devices.insert(key.device);
        let had = matches!(before, Some(Wanted::Document(_)));
        part.before += u64::from(had);
        match becomes {
            _ if change.is_same_document() => {
                part.declared += 1;
                part.counts.unchanged += 1;
                return;
            }
            Becomes::Unchanged => {
                part.declared += u64::from(had);
                part.counts.unchanged += 1;
                return;
            }
            Becomes::Failed(failure) => {
                part.declared += u64::from(had);
                part.counts.failed += 1;
                part.failure.get_or_insert_with(|| failure.clone());
                return;
            }
            Becomes::Wanted(Wanted::Withdrawn, ..) => part.counts.removed += 1,
            Becomes::Wanted(Wanted::Document(_), ..) => {
                part.declared += 1;
                part.counts.bytes += size;
                let slot = if had { &mut part.counts.updated } else { &mut part.counts.copied };
                *slot += 1;
            }
        }
        self.touched.insert(key.device);
    }

    /// For the guard.
    fn sizes(&self) -> Result<Vec<Size>> {
        let all: Name =
            DEVICES.parse().map_err(|_| Failure::host("name", "the name of all devices is none"))?;
        let of = self.applications.iter().map(|(name, part)| Size {
            target: name.clone(),
            deletes: part.counts.removed,
            removable: part.before,
            changes: part.counts.copied + part.counts.updated,
            declared: part.declared,
            first_fill: part.before == 0,
            removals: None,
        });
        let touched = Size {
            target: all,
            deletes: 0,
            removable: 0,
            changes: self.touched.len() as u64,
            declared: self.devices.len() as u64,
            first_fill: self.applications.values().all(|part| part.before == 0),
            removals: None,
        };
        Ok(of.chain([touched]).collect())
    }

    fn targets(&self) -> Vec<TargetResult> {
        let target = |(name, part): (&Name, &Part)| {
            // A part of the devices is told by the operations; all of them, by the plugin.
            let failure = part
                .failure
                .clone()
                .filter(|_| part.counts == Counts { failed: part.counts.failed, ..Counts::default() });
            TargetResult::new(name.clone(), part.counts, failure)
        };
        self.applications.iter().map(target).collect()
    }
}

fn operation(change: &Change, state: OperationState) -> Result<Option<Operation>> {
    if change.is_same_document() {
        return Ok(None);
    }
    let Change { key, before, size, becomes } = change;
    let (kind, digest, failure) = match becomes {
        Becomes::Unchanged => return Ok(None),
        Becomes::Wanted(Wanted::Withdrawn, ..) => (OperationKind::Remove, None, None),
        Becomes::Wanted(Wanted::Document(digest), ..) => {
            let had = matches!(before, Some(Wanted::Document(_)));
            let kind = if had { OperationKind::Update } else { OperationKind::Copy };
            (kind, Some(digest.to_string()), None)
        }
        Becomes::Failed(failure) => (OperationKind::Update, None, Some(failure.clone())),
    };
    let path = RelPath::new(key.device.to_string()).map_err(Error::internal)?;
    let state = if failure.is_some() { OperationState::Failed } else { state };
    let target = key.application.clone();
    Ok(Some(Operation {
        target,
        path,
        kind,
        size: *size,
        stage: 0,
        state,
        digest,
        note: String::new(),
        failure,
    }))
}
