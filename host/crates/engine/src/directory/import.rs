//! One run of a directory: its difference, the guard, and all that it writes, as one transaction. A preview and a run that is
//! held go the same way, and are not committed: what they list is what an applied run would do.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use syncline_domain::{
    Failure, Name, RelPath,
    device::GroupPath,
    directory::{
        Becomes, EntryId, EntryKind, Happening, ImportSpec, LinkState, RejectionRecord, UserBecomes,
        import::{ENTRIES, MAX_DELETE_PERCENT, MEMBERSHIPS, USERS},
        link::step,
    },
    guard::{self, Excess, GuardLimits, Size},
    ids::DeviceId,
    log::LogLevel,
    operation::{Operation, OperationKind, OperationState},
    run::{Counts, RunMode, TargetResult},
};
use syncline_store::{Claim, Db, DirectoryWriting};

use super::{
    difference::{Difference, PutKind, name},
    people::{self, Of},
    placement::{Placer, below},
    sink::Declared,
};
use crate::{Error, Result, worker::Control};

/// What a run goes by.
pub(crate) struct Import {
    pub spec: ImportSpec,
    pub limits: GuardLimits,
    pub mode: RunMode,
    /// Up to which size an administrator approved.
    pub approved: Option<Vec<Size>>,
    /// Why the host takes the read for one that is not whole.
    pub incomplete: Option<String>,
    /// What stands for what was declared.
    pub cursor: Option<Vec<u8>>,
    /// How long the run's lease is.
    pub lease: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub report: Report,
    pub sizes: Vec<Size>,
    pub excesses: Vec<Excess>,
    /// Why it is held, where no limit says so.
    pub held: Option<String>,
    /// Whether it was written.
    pub applied: bool,
    /// Entries with their digests as they were written, or `None` where they are gone: to be looked at again.
    pub written: Vec<(EntryId, Option<String>)>,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub operations: Vec<Operation>,
    pub lines: Vec<(LogLevel, String)>,
    /// Devices of users that changed.
    pub devices: Vec<DeviceId>,
    pub entries: Counts,
    pub memberships: Counts,
    pub users: Counts,
    /// People who are not linked because they lack something.
    pub passed_over: u64,
}

impl Report {
    /// Something that is done.
    pub fn operation(&mut self, target: &str, id: &str, kind: OperationKind, note: String) -> Result<()> {
        let counts = self.counts(target);
        match kind {
            OperationKind::Copy => counts.copied += 1,
            OperationKind::Remove => counts.removed += 1,
            _ => counts.updated += 1,
        }
        let operation = new_operation(target, id, kind, note, None)?;
        self.operations.push(operation);
        Ok(())
    }

    /// Something that cannot be done.
    pub fn failed(
        &mut self,
        target: &str,
        id: &str,
        kind: OperationKind,
        note: &str,
        failure: Failure,
    ) -> Result<()> {
        self.counts(target).failed += 1;
        let operation = new_operation(target, id, kind, note.to_owned(), Some(failure))?;
        self.operations.push(operation);
        Ok(())
    }

    fn counts(&mut self, target: &str) -> &mut Counts {
        match target {
            ENTRIES => &mut self.entries,
            MEMBERSHIPS => &mut self.memberships,
            _ => &mut self.users,
        }
    }

    fn warn(&mut self, line: impl Into<String>) {
        self.lines.push((LogLevel::Warn, line.into()));
    }

    /// The counts of each target.
    pub fn targets(&self) -> Result<Vec<TargetResult>> {
        let all = [(ENTRIES, self.entries), (MEMBERSHIPS, self.memberships), (USERS, self.users)];
        let result = |(target, counts)| Ok(TargetResult::new(name(target)?, counts, None));
        all.into_iter().map(result).collect()
    }
}

fn new_operation(
    target: &str,
    id: &str,
    kind: OperationKind,
    note: String,
    failure: Option<Failure>,
) -> Result<Operation> {
    let state = if failure.is_some() { OperationState::Failed } else { OperationState::Planned };
    Ok(Operation {
        target: name(target)?,
        path: path(id)?,
        kind,
        size: 0,
        stage: 0,
        state,
        digest: None,
        note,
        failure,
    })
}

/// An id as a path: ids can be any text, and paths cannot.
fn path(id: &str) -> Result<RelPath> {
    let escaped = match id {
        "" | "." | ".." => format!("%{id}"),
        other => other.replace('%', "%25").replace('/', "%2F"),
    };
    let cut = escaped.floor_char_boundary(RelPath::MAX_NAME);
    RelPath::new(&escaped.as_bytes()[..cut]).map_err(Error::internal)
}

/// Compares, asks the guard, and writes: or leaves nothing behind, if it is a preview or held.
pub(crate) async fn carry_out(
    db: &Db,
    claim: &Claim,
    mut declared: Declared,
    import: &Import,
    control: &Control,
) -> Result<Imported> {
    let mut writing = db.write_directory(claim).await?;
    let difference = Difference::find(&mut writing, &mut declared).await?;
    keep_going(&mut writing, control, import.lease).await?;
    // A read of all of it takes its time anyway, and would find out if what is written down were wrong.
    let size = if declared.complete { writing.count_size().await? } else { writing.size().await? };
    let mut imported = Imported { sizes: difference.sizes(size)?, ..Imported::default() };
    let approved = import.approved.as_deref().unwrap_or_default();
    if let Some(why) = &import.incomplete {
        refuse_incomplete(declared.complete, why)?;
        let looked_at = imported.sizes.iter().all(|size| guard::removals_within(approved, size));
        if import.approved.is_none() || !looked_at {
            imported.held = Some(format!(
                "the plugin says that it read all, and an answer of the directory says otherwise ({why}): look at what \
                 would be removed"
            ));
        }
    }
    imported.excesses = guard::check_beyond(approved, &import.limits, MAX_DELETE_PERCENT, &imported.sizes);
    let of = Of { sync: claim.sync()?, now: writing.now() };
    let mut work = Work { writing: &mut writing, of, import, control, report: Report::default() };
    work.all(&difference, &declared).await?;
    imported.report = work.report;
    let holds = !imported.excesses.is_empty() || imported.held.is_some();
    if import.mode == RunMode::Preview || holds {
        return Ok(imported);
    }
    keep_going(&mut writing, control, import.lease).await?;
    writing.set_size(difference.size_after(size)).await?;
    let put = difference.puts.into_iter().map(|(put, _)| (put.entry, Some(put.digest)));
    imported.written = put.chain(difference.gone.into_iter().map(|id| (id, None))).collect();
    writing.commit(Some(import.cursor.as_deref()), Vec::new()).await?;
    imported.applied = true;
    for operation in &mut imported.report.operations {
        if operation.state == OperationState::Planned {
            operation.state = OperationState::Done;
        }
    }
    Ok(imported)
}

/// Asks whether to go on, and keeps the lease where its heartbeats wait for what is written here.
pub(super) async fn keep_going(
    writing: &mut DirectoryWriting,
    control: &Control,
    lease: Duration,
) -> Result<()> {
    let asked = Instant::now();
    if writing.keep_lease(lease).await? {
        control.renew(asked, lease);
    }
    Ok(control.keep_going()?)
}

/// A list of changes from a read that is not whole stands for nothing: the next run asks for it again.
fn refuse_incomplete(complete: bool, why: &str) -> Result<()> {
    if complete {
        return Ok(());
    }
    let message = format!("the directory was not read to its end, and nothing was changed: {why}");
    Err(Failure::unavailable("incomplete", message).into())
}

struct Work<'a> {
    writing: &'a mut DirectoryWriting,
    of: Of<'a>,
    import: &'a Import,
    control: &'a Control,
    report: Report,
}

impl Work<'_> {
    async fn all(&mut self, difference: &Difference, declared: &Declared) -> Result<()> {
        self.entries(difference).await?;
        self.keep_going().await?;
        let settled = self.memberships(difference).await?;
        self.keep_going().await?;
        self.users(difference, &settled).await?;
        self.keep_going().await?;
        if self.import.spec.match_computers {
            self.computers().await?;
        }
        self.purge().await?;
        self.rejections(difference, declared).await
    }

    async fn keep_going(&mut self) -> Result<()> {
        keep_going(self.writing, self.control, self.import.lease).await
    }

    async fn entries(&mut self, difference: &Difference) -> Result<()> {
        self.report.entries.unchanged = difference.unchanged;
        let mut back = Vec::new();
        for (put, kind) in &difference.puts {
            let before = difference.before.get(&put.entry);
            let (operation, note) = match (kind, before) {
                (PutKind::Added, _) | (_, None) => {
                    (OperationKind::Copy, format!("{} {:?}", put.kind, put.name))
                }
                (PutKind::Back, _) => (OperationKind::Copy, format!("{} {:?} is back", put.kind, put.name)),
                (PutKind::Changed, Some(before)) if before.name != put.name => {
                    (OperationKind::Update, format!("{} {:?}, before {:?}", put.kind, put.name, before.name))
                }
                (PutKind::Changed, Some(before))
                    if before.parent != put.parent.as_ref().map(syncline_store::reference_key) =>
                {
                    (OperationKind::Update, format!("{} {:?} has moved", put.kind, put.name))
                }
                (PutKind::Changed, Some(_)) => {
                    (OperationKind::Update, format!("{} {:?}", put.kind, put.name))
                }
            };
            if let Some(before) = before {
                let seen = step(before.kind, before.state, Happening::Seen).map_err(Error::internal)?;
                if seen.entry != Becomes::State(before.state) {
                    back.push(put.entry.clone());
                }
            }
            self.report.operation(ENTRIES, put.entry.as_str(), operation, note)?;
        }
        self.writing.put_entries(difference.puts.iter().map(|(put, _)| put)).await?;
        self.writing.set_state(&back, LinkState::Linked).await?;
        let (mut forgotten, mut orphaned) = (Vec::new(), Vec::new());
        for id in &difference.gone {
            let Some(before) = difference.before.get(id) else { continue };
            let gone = step(before.kind, before.state, Happening::Gone).map_err(Error::internal)?;
            let (list, what) = match gone.entry {
                Becomes::Forgotten => (&mut forgotten, "is gone"),
                Becomes::State(_) => (&mut orphaned, "is gone; its user is disabled"),
            };
            list.push(id.clone());
            let note = format!("{} {:?} {what}", before.kind, before.name);
            self.report.operation(ENTRIES, id.as_str(), OperationKind::Remove, note)?;
        }
        self.writing.let_go(&difference.gone).await?;
        self.writing.forget(&forgotten).await?;
        self.writing.set_state(&orphaned, LinkState::Orphaned).await?;
        Ok(())
    }

    /// Gives who came into a group or out of one.
    async fn memberships(&mut self, difference: &Difference) -> Result<HashSet<EntryId>> {
        let out = difference.members_out.iter().map(|(group, key, _)| (group.clone(), key.clone()));
        let out: Vec<_> = out.chain(difference.members_moved.iter().cloned()).collect();
        self.writing.remove_members(&out).await?;
        self.writing.put_members(&difference.members_in).await?;
        self.writing.set_lists(&difference.lists).await?;
        let settled = self.writing.settle_members(difference.puts.iter().map(|(put, _)| put)).await?;
        let moved: HashSet<_> = difference.members_moved.iter().map(|(group, _)| group.clone()).collect();
        let mut touched = HashSet::new();
        for one in &difference.members_in {
            let who = match (&one.member, &one.reference) {
                (Some(member), _) => member.to_string(),
                (None, syncline_domain::directory::Reference::Id(id)) => format!("{id} (not found)"),
                (None, syncline_domain::directory::Reference::Alias(alias)) => format!("{alias} (not found)"),
            };
            touched.extend(one.member.clone());
            let kind = if moved.contains(&one.group) { OperationKind::Touch } else { OperationKind::Copy };
            self.report.operation(
                MEMBERSHIPS,
                one.group.as_str(),
                kind,
                format!("{who} is in {}", one.group),
            )?;
        }
        for (group, _, member) in &difference.members_out {
            let who =
                member.as_ref().map_or_else(|| "one that was not found".to_owned(), ToString::to_string);
            touched.extend(member.clone());
            let note = format!("{who} is in {group} no more");
            self.report.operation(MEMBERSHIPS, group.as_str(), OperationKind::Remove, note)?;
        }
        self.report.memberships.removed += difference.with_group;
        touched.extend(settled.into_iter().map(|(_, member)| member));
        for group in &difference.groupless {
            self.report.warn(format!(
                "members were told of group {group}, which was never told itself: passed over"
            ));
        }
        let waiting = self.writing.waiting_members().await?;
        if waiting > 0 {
            let line = format!(
                "{waiting} memberships refer to nobody who is known; they are looked for again in later runs"
            );
            self.report.lines.push((LogLevel::Info, line));
        }
        Ok(touched)
    }

    async fn users(&mut self, difference: &Difference, settled: &HashSet<EntryId>) -> Result<()> {
        let spec = &self.import.spec;
        let other_rules = self.writing.set_import(spec).await?;
        let mut placer = Placer::new(self.writing, spec).await?;
        for complaint in std::mem::take(&mut placer.complaints) {
            self.report.warn(complaint);
        }
        let mut concerned: HashSet<EntryId> = self.writing.held_people().await?.into_iter().collect();
        // Those who are new have no users yet.
        let known = difference.puts.iter().filter(|(_, kind)| *kind != PutKind::Added);
        concerned.extend(known.map(|(put, _)| put.entry.clone()));
        concerned.extend(difference.gone.iter().cloned());
        if spec.places() {
            let structure = |kind: EntryKind| matches!(kind, EntryKind::Unit | EntryKind::Group);
            let moved =
                difference.puts.iter().any(|(put, kind)| structure(put.kind) && *kind != PutKind::Added)
                    || difference
                        .gone
                        .iter()
                        .any(|id| difference.before.get(id).is_some_and(|one| structure(one.kind)));
            if moved || other_rules {
                concerned.extend(self.writing.linked_people().await?);
            } else {
                concerned.extend(below(self.writing, settled.clone()).await?);
            }
        }
        people::update(self.writing, &self.of, spec, &mut placer, &mut self.report, concerned).await?;
        people::link(self.writing, &self.of, self.import, &mut placer, &mut self.report, self.control).await
    }

    async fn computers(&mut self) -> Result<()> {
        let computers = self.writing.computers().await?;
        let plain = |name: &str| name.trim_end_matches('$').to_owned();
        let names: Vec<_> = computers.iter().map(|(_, name, _)| plain(name)).collect();
        let devices = self.writing.devices_named(&names).await?;
        let mut matched = Vec::new();
        for (entry, name, before) in computers {
            let device = devices.get(&plain(&name)).copied();
            if device == before {
                continue;
            }
            let note = match device {
                Some(device) => format!("computer {name:?} is device {device}"),
                None => format!("computer {name:?} is no device any more"),
            };
            self.report.operation(ENTRIES, entry.as_str(), OperationKind::Touch, note)?;
            matched.push((entry, device));
        }
        self.writing.set_devices(&matched).await?;
        Ok(())
    }

    async fn purge(&mut self) -> Result<()> {
        let Some(days) = self.import.spec.purge_orphans_after_days else { return Ok(()) };
        let Ok(before) = self.of.now.checked_sub(SignedDuration::from_hours(i64::from(days) * 24)) else {
            return Ok(());
        };
        let orphans = self.writing.orphans_before(before).await?;
        let standings = self.writing.standings(&orphans).await?;
        let (mut forgotten, mut removed) = (Vec::new(), Vec::new());
        for id in &orphans {
            let Some(one) = standings.get(id) else { continue };
            let purged = step(one.kind, one.state, Happening::Purge).map_err(Error::internal)?;
            forgotten.push(id.clone());
            removed.extend(one.user.filter(|_| purged.user == UserBecomes::Removed));
            let note = format!("user of {:?}, which was gone for {days} days", one.name);
            self.report.operation(USERS, id.as_str(), OperationKind::Remove, note)?;
        }
        self.report.devices.extend(self.writing.devices_of(&removed).await?);
        self.writing.forget(&forgotten).await?;
        self.writing.remove_users(&removed).await?;
        Ok(())
    }

    async fn rejections(&mut self, difference: &Difference, declared: &Declared) -> Result<()> {
        let since = self.of.now;
        let sync = &self.of.sync;
        let record = |one: &syncline_domain::directory::Rejection| RejectionRecord {
            sync: Name::clone(sync),
            entry: one.id.clone(),
            name: one.name.clone(),
            reason: one.reason.clone(),
            since,
        };
        let rejected: Vec<_> = declared.rejected.values().chain(&declared.nameless).map(record).collect();
        let puts = difference.puts.iter().map(|(put, _)| &put.entry);
        let mut settled: Vec<_> = puts.chain(&difference.gone).chain(&difference.same).cloned().collect();
        let before = self.writing.rejections().await?.into_iter().filter_map(|one| one.entry);
        settled.extend(before.filter(|entry| declared.is_taken_over(entry)));
        self.writing.put_rejections(&rejected, &settled, declared.complete).await?;
        for one in self.writing.rejections().await? {
            let id = one.entry.as_ref().map_or(one.name.as_str(), EntryId::as_str).to_owned();
            self.report.failed(ENTRIES, &id, OperationKind::Update, &one.name, one.reason)?;
        }
        Ok(())
    }
}

/// The group of a person that no run places: where an operator links one by hand.
pub(crate) fn group_by_hand(spec: &ImportSpec) -> GroupPath {
    spec.default_group()
}
