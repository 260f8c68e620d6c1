//! From a server: the files that its manifest lists, several at a time, each gone on with where it broke off.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use syncline_domain::{
    Failure, FailureKind, Fault, RelPath,
    failure::Retry,
    guard::Size,
    operation::{Operation, OperationKind, OperationState},
    refresh::{Digest, HttpSource, ListedFile, Unlisted},
    run::{Counts, Phase, TargetResult},
};
use syncline_files::{
    Observer, Source,
    intake::{Intake, Lack},
};
use syncline_web::HeaderValue;
use tokio::sync::mpsc;

use super::{Outcome, Refreshing, mirror::Mirror};
use crate::{
    Result,
    pipeline::{journal::Journal, sources::Memory},
    places::blocking,
    worker::Control,
};

/// Tries of a file without a byte of progress.
const TRIES: u32 = 4;
/// Tries of a file in all.
const MOST_TRIES: u32 = 40;
/// The longest wait for a server within an attempt; for longer ones the run waits.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a wait looks whether the run is to end.
const LOOK: Duration = Duration::from_millis(200);
/// Pieces under way between network and disk.
const PIECES: usize = 16;

type Done<T> = std::result::Result<T, Failure>;

/// What all downloads share.
struct Intaking {
    to: Source,
    digests: Memory,
    control: Arc<Control>,
    journal: Arc<Journal>,
    mirror: Mirror,
    files: Vec<ListedFile>,
    /// Whether the store keeps what has come until all has: otherwise each file gets its name by itself.
    keeps_parts: bool,
}

impl Intaking {
    /// Something with files, off the threads that answer requests.
    async fn off<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Intake<'_>, &Self) -> Done<T> + Send + 'static,
    ) -> Done<T> {
        let own = Arc::clone(self);
        let done = blocking(move || {
            let keep_going = || own.control.keep_going();
            let intake = Intake { to: &own.to, digests: own.digests.as_ref(), keep_going: &keep_going };
            work(&intake, &own)
        });
        done.await.map_err(crate::Error::into_failure)
    }
}

/// Takes a refresh from a server down its road.
pub(super) async fn road(work: &Refreshing<'_>, source: &HttpSource) -> Result<Outcome> {
    work.journal.phase(Phase::Declare);
    let mirror = work.engine.mirror(source).await?;
    let manifest = unless_stopped(&work.control, mirror.manifest()).await?;
    if manifest.files.is_empty() {
        let message = "the manifest lists no files: nothing is refreshed by it, so that an empty list cannot empty the collection";
        return Err(Failure::new(FailureKind::Invalid, Fault::Remote, "empty-source", message).into());
    }
    let mut own = Intaking {
        to: work.to.clone(),
        digests: Arc::clone(&work.digests),
        control: Arc::clone(&work.control),
        journal: Arc::clone(&work.journal),
        mirror,
        files: manifest.files,
        keeps_parts: true,
    };
    work.journal.phase(Phase::Diff);
    own = blocking(move || {
        let keep_going = || own.control.keep_going();
        let intake = Intake { to: &own.to, digests: own.digests.as_ref(), keep_going: &keep_going };
        let keeps_parts = intake.keeps_parts()?;
        Ok(Intaking { keeps_parts, ..own })
    })
    .await?;
    let own = Arc::new(own);
    let lack = own.off(|intake, own| intake.look(&own.files, &|files| own.journal.scanned(files))).await?;
    let plan = Plan::new(&own, lack, source.unlisted);
    work.journal.phase(Phase::Guard);
    let mut outcome = Outcome::default();
    work.guard(&mut outcome, plan.size(&own));
    if !outcome.excesses.is_empty() {
        let operations = plan.operations(&own).await?;
        let journal = Arc::clone(&work.journal);
        outcome.counts = plan.counts_if_done(&own);
        outcome.targets = target(&own, outcome.counts, None);
        blocking(move || journal.planned(operations)).await?;
        return Ok(outcome);
    }
    work.journal.phase(Phase::Apply);
    let (counts, failure) = plan.carry_out(&own, usize::from(source.parallel)).await;
    work.journal.phase(Phase::Record);
    outcome.counts = counts;
    outcome.targets = target(&own, counts, failure.clone());
    outcome.failure = work.control.keep_going().err().or(failure);
    Ok(outcome)
}

fn target(own: &Intaking, counts: Counts, failure: Option<Failure>) -> Vec<TargetResult> {
    vec![TargetResult::new(own.to.store.name().clone(), counts, failure)]
}

/// Work that ends soon after the run is to end, and not when a server feels like it.
async fn unless_stopped<T>(control: &Control, work: impl Future<Output = Done<T>>) -> Done<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(LOOK) => control.keep_going()?,
        }
    }
}

/// What is to be done.
struct Plan {
    lack: Lack,
    /// Numbers of missing files that come from the server, or from a place in the collection.
    fetched: Vec<(usize, Option<RelPath>)>,
    /// Missing files whose content is that of another missing file, which comes first.
    twins: Vec<(usize, usize)>,
    /// Whether another content stands where a missing file will.
    updates: HashMap<usize, bool>,
    removes: bool,
}

impl Plan {
    fn new(own: &Intaking, lack: Lack, unlisted: Unlisted) -> Self {
        let mut first: HashMap<Digest, usize> = HashMap::new();
        let (mut fetched, mut twins) = (Vec::new(), Vec::new());
        for (number, _) in &lack.missing {
            let digest = own.files[*number].digest;
            match (lack.places.get(&digest), first.get(&digest)) {
                (Some(place), _) => fetched.push((*number, Some(place.clone()))),
                (None, Some(twin)) => twins.push((*number, *twin)),
                (None, None) => {
                    first.insert(digest, *number);
                    fetched.push((*number, None));
                }
            }
        }
        let updates = lack.missing.iter().copied().collect();
        Self { lack, fetched, twins, updates, removes: unlisted == Unlisted::Remove }
    }

    fn size(&self, own: &Intaking) -> Size {
        let deletes = if self.removes { self.lack.unlisted.len() as u64 } else { 0 };
        let declared = own.files.len() as u64;
        Size {
            target: own.to.store.name().clone(),
            deletes,
            removable: if self.removes { self.lack.standing } else { 0 },
            changes: self.lack.missing.len() as u64,
            declared,
            first_fill: self.lack.unchanged == 0 && !self.updates.values().any(|update| *update),
            removals: None,
        }
    }

    fn counts_if_done(&self, own: &Intaking) -> Counts {
        let updated = self.updates.values().filter(|update| **update).count() as u64;
        Counts {
            copied: self.lack.missing.len() as u64 - updated,
            updated,
            removed: if self.removes { self.lack.unlisted.len() as u64 } else { 0 },
            unchanged: self.lack.unchanged,
            bytes: self.lack.missing.iter().map(|(number, _)| own.files[*number].size).sum(),
            ..Counts::default()
        }
    }

    async fn operations(&self, own: &Arc<Intaking>) -> Done<Vec<Operation>> {
        let missing = self.lack.missing.clone();
        let unlisted = if self.removes { self.lack.unlisted.clone() } else { Vec::new() };
        own.off(move |intake, own| {
            let written = missing.iter().map(|(number, update)| {
                let file = &own.files[*number];
                intake.operation(&file.path, kind(*update), file.size, Some(&file.digest))
            });
            let removed = unlisted
                .iter()
                .map(|file| intake.operation(&file.path, OperationKind::Remove, file.size, None));
            Ok(written.chain(removed).collect())
        })
        .await
    }

    /// Does it: all files come, then each gets its name, then what is not listed goes. Nothing of it is visible before all have
    /// come. The first failure is told.
    async fn carry_out(&self, own: &Arc<Intaking>, parallel: usize) -> (Counts, Option<Failure>) {
        let mut counts = Counts { unchanged: self.lack.unchanged, ..Counts::default() };
        let total = self.lack.missing.len() as u64 + self.size(own).deletes;
        own.journal.expect(total, self.counts_if_done(own).bytes);
        let came = match self.make_ready(own).await {
            Ok(()) => self.fetch_all(own, parallel).await,
            Err(failure) => Err((None, failure)),
        };
        let operations = self.operations(own).await.unwrap_or_default();
        let mut report = Report { own, operations, counts: &mut counts };
        match came {
            Ok(()) => {}
            Err((number, failure)) => {
                let path = number.map(|number| own.to.locate(&own.files[number].path));
                report.none_done(path.as_ref(), &failure);
                return (counts, Some(failure));
            }
        }
        let failure = self.settle_all(own, &mut report).await.err();
        if let Some(failure) = &failure {
            report.none_done(None, failure);
        }
        (counts, failure)
    }

    /// What earlier attempts left of files that are not wanted any more goes, and the rest has to fit.
    async fn make_ready(&self, own: &Arc<Intaking>) -> Done<()> {
        let missing = self.lack.missing.clone();
        own.off(move |intake, own| {
            let wanted: Vec<&ListedFile> = missing.iter().map(|(number, _)| &own.files[*number]).collect();
            let standing = intake.sweep(&wanted)?;
            let needed = wanted.iter().map(|file| file.size).sum::<u64>().saturating_sub(standing);
            match own.to.store.free_bytes()? {
                Some(free) if needed > free => {
                    let name = own.to.store.name();
                    let message = format!(
                        "store {name}: {needed} bytes are to be downloaded and {free} are free; free space there"
                    );
                    Err(Failure::new(FailureKind::Limit, Fault::Remote, "no-space", message))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// Downloads, so many at a time. After a failure that others would have as well, no more are begun.
    async fn fetch_all(
        &self,
        own: &Arc<Intaking>,
        parallel: usize,
    ) -> std::result::Result<(), (Option<usize>, Failure)> {
        let over: Arc<Mutex<Option<Failure>>> = Arc::default();
        let mut each = Vec::with_capacity(self.fetched.len());
        for (number, place) in self.fetched.clone() {
            let (own, over) = (Arc::clone(own), Arc::clone(&over));
            each.push(async move {
                if over.lock().is_some() {
                    return None;
                }
                let failure = fetch(&own, number, place.as_ref()).await.err()?;
                if ends_all(&failure) {
                    over.lock().get_or_insert_with(|| failure.clone());
                }
                Some((number, failure))
            });
        }
        let ended: Vec<_> = stream::iter(each).buffer_unordered(parallel.max(1)).collect().await;
        let failed: Vec<(usize, Failure)> = ended.into_iter().flatten().collect();
        // One that says when to come again, or that passes, before one that does not.
        let passes = |failure: &Failure| failure.retry() != Retry::Never;
        match failed.iter().find(|(_, failure)| !passes(failure)).or(failed.first()) {
            None => Ok(()),
            Some((number, failure)) => Err((Some(*number), failure.clone())),
        }
    }

    async fn settle_all(&self, own: &Arc<Intaking>, report: &mut Report<'_>) -> Done<()> {
        let firsts = self.fetched.iter().map(|(number, _)| (*number, None));
        let twins = self.twins.iter().map(|(number, twin)| (*number, Some(*twin)));
        let all: Vec<(usize, Option<usize>)> = firsts.chain(twins).collect();
        for batch in all.chunks(64) {
            let owned = batch.to_vec();
            let settled = own.off(move |intake, own| settle(intake, own, &owned));
            report.done(settled.await?);
        }
        if self.removes {
            let unlisted = self.lack.unlisted.clone();
            let removed = own.off(move |intake, own| {
                let mut removed = Vec::new();
                for file in &unlisted {
                    if intake.remove(file)? {
                        removed.push(own.to.locate(&file.path));
                    }
                }
                Ok(removed)
            });
            report.done(removed.await?);
        }
        own.off(|intake, _| intake.sweep(&[]).map(drop)).await
    }
}

/// Gives files that have come their names, and looks at them again.
fn settle(intake: &Intake<'_>, own: &Intaking, files: &[(usize, Option<usize>)]) -> Done<Vec<RelPath>> {
    let (mut settled, mut learnt) = (Vec::new(), Vec::new());
    for (number, twin) in files {
        let file = &own.files[*number];
        if let Some(twin) = twin
            && !intake.copy(file, &own.files[*twin].path)?
        {
            let message = format!("{:?} changed as soon as it stood", own.files[*twin].path.to_text());
            return Err(Failure::changed("changed", message));
        }
        if own.keeps_parts || twin.is_some() {
            intake.settle(file, false)?;
        }
        let known = intake.verify(file)?;
        let (folder, sha256) = intake.folder_of(file);
        learnt.push((folder, sha256, known));
        settled.push(own.to.locate(&file.path));
    }
    intake.remember(learnt);
    Ok(settled)
}

const fn kind(update: bool) -> OperationKind {
    if update { OperationKind::Update } else { OperationKind::Copy }
}

/// Whether all other files would fail in the same way.
fn ends_all(failure: &Failure) -> bool {
    failure.kind == FailureKind::Stopped
        || matches!(failure.code.as_str(), "no-space" | "read-only" | "certificate")
}

/// Tells the journal what became of each operation, once.
struct Report<'a> {
    own: &'a Intaking,
    /// Those that nothing was told of yet.
    operations: Vec<Operation>,
    counts: &'a mut Counts,
}

impl Report<'_> {
    fn done(&mut self, paths: Vec<RelPath>) {
        let paths: std::collections::HashSet<RelPath> = paths.into_iter().collect();
        let (done, left) =
            std::mem::take(&mut self.operations).into_iter().partition(|one| paths.contains(&one.path));
        self.operations = left;
        let mut done: Vec<Operation> = done;
        for operation in &mut done {
            operation.state = OperationState::Done;
            match operation.kind {
                OperationKind::Update => self.counts.updated += 1,
                OperationKind::Remove => self.counts.removed += 1,
                _ => self.counts.copied += 1,
            }
            if operation.kind != OperationKind::Remove {
                self.counts.bytes += operation.size;
            }
        }
        self.own.journal.finished(done);
    }

    /// The rest was not done, because of this.
    fn none_done(&mut self, culprit: Option<&RelPath>, failure: &Failure) {
        let mut left = std::mem::take(&mut self.operations);
        for operation in &mut left {
            let is_it = culprit == Some(&operation.path);
            operation.state = if is_it { OperationState::Failed } else { OperationState::Skipped };
            operation.failure = Some(failure.clone());
            self.counts.failed += 1;
        }
        self.own.journal.finished(left);
    }
}

/// Has a file come whole, under its temporary name.
async fn fetch(own: &Arc<Intaking>, number: usize, place: Option<&RelPath>) -> Done<()> {
    if let Some(place) = place.cloned() {
        let copied = own.off(move |intake, own| {
            let copied = intake.copy(&own.files[number], &place)?;
            if copied && !own.keeps_parts {
                intake.settle(&own.files[number], false)?;
            }
            Ok(copied)
        });
        if copied.await? {
            own.journal.bytes(own.files[number].size);
            return Ok(());
        }
    }
    let (mut tries, mut all, mut etag, mut afresh) = (0, 0, None, false);
    loop {
        own.control.keep_going()?;
        let standing = own.off(move |intake, own| intake.standing(&own.files[number])).await?;
        let Err(failure) = attempt(own, number, standing, &mut etag).await else { return Ok(()) };
        let came = own.off(move |intake, own| intake.standing(&own.files[number])).await?;
        all += 1;
        tries = if came > standing { 0 } else { tries + 1 };
        let wait = match failure.retry() {
            // What an earlier attempt left can be of another file of the name: once more, from the first byte.
            _ if failure.code == "digest" && standing > 0 && !std::mem::replace(&mut afresh, true) => {
                Duration::ZERO
            }
            Retry::Now => LOOK,
            Retry::Backoff => Duration::from_millis(500 << tries.min(6)),
            Retry::After(millis) => Duration::from_millis(millis.into()),
            Retry::Never => return Err(failure),
        };
        if tries >= TRIES || all >= MOST_TRIES || wait > LONGEST_WAIT {
            return Err(failure);
        }
        tracing::debug!(collection = %own.to.name, %failure, "A download broke off and is gone on with");
        unless_stopped(&own.control, async {
            tokio::time::sleep(wait).await;
            Ok(())
        })
        .await?;
    }
}

/// Goes on with a file behind what stands of it.
async fn attempt(
    own: &Arc<Intaking>,
    number: usize,
    standing: u64,
    etag: &mut Option<HeaderValue>,
) -> Done<()> {
    let size = own.files[number].size;
    if standing == size {
        return own.off(move |intake, own| receive(intake, own, number, standing, None)).await;
    }
    let begun = own.mirror.open(&own.files[number], standing, etag.as_ref());
    let mut body = match unless_stopped(&own.control, begun).await {
        Err(failure) if failure.code == "range" => {
            // Whatever stands there is of no use to this server.
            *etag = None;
            own.off(move |intake, own| intake.part(intake.root()?.as_ref(), &own.files[number])?.restart())
                .await?;
            return Err(failure);
        }
        body => body?,
    };
    *etag = body.etag.take();
    let (give, pieces) = mpsc::channel::<Bytes>(PIECES);
    let first = body.first;
    let written = own.off(move |intake, own| receive(intake, own, number, first, Some(pieces)));
    let read = async {
        // Ends without a failure where nobody takes any more: who wrote says why.
        while let Some(piece) = body.answer.chunk().await? {
            if give.send(piece).await.is_err() {
                break;
            }
        }
        drop(give);
        Ok(())
    };
    let (written, read) = tokio::join!(written, unless_stopped(&own.control, read));
    match (written, read) {
        // It is short because the server broke off.
        (Err(failure), Err(cause)) if failure.code == SHORT => Err(cause),
        (written, _) => written,
    }
}

/// Code of a file of which not all came.
const SHORT: &str = "short";

/// Writes what comes behind the first `first` bytes, and looks at the digest once it is whole.
fn receive(
    intake: &Intake<'_>,
    own: &Intaking,
    number: usize,
    first: u64,
    pieces: Option<mpsc::Receiver<Bytes>>,
) -> Done<()> {
    let file = &own.files[number];
    let dir = if own.keeps_parts { intake.root()? } else { intake.home(file)? };
    let mut part = intake.part(dir.as_ref(), file)?;
    if first == 0 && part.length() > 0 && pieces.is_some() {
        part.restart()?;
    }
    if part.length() != first {
        return Err(Failure::changed(
            "changed",
            "a temporary file changed while its server was asked for the rest",
        ));
    }
    if let Some(mut pieces) = pieces {
        while let Some(piece) = pieces.blocking_recv() {
            let keep_going = || own.control.keep_going();
            own.to.store.admit(piece.len() as u64, &keep_going)?;
            keep_going()?;
            part.write(&piece)?;
            own.journal.bytes(piece.len() as u64);
        }
    }
    if part.length() < file.size {
        let message =
            format!("{:?} broke off after {} of {} bytes", file.path.to_text(), part.length(), file.size);
        return Err(Failure::unavailable(SHORT, message));
    }
    part.finish(file)?;
    if own.keeps_parts { Ok(()) } else { part.commit(file, false) }
}
