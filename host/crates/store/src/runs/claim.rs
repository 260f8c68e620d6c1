//! Claiming: a node takes the oldest run whose locks are free, and keeps it with heartbeats.
//!
//! A claim is a lease with a fencing token. The lease runs out on the database's time; the token rises with each claim, and
//! every later write of the run carries it: a node that lost its lease writes nothing any more.
//!
//! Locks are taken first come, first served: a run goes only if its locks fit those that are held *and* those that older
//! waiting runs want. So nothing starves: an exclusive request is not passed by for ever by later shared ones.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use syncline_domain::{
    Name,
    ids::{NodeId, RunId},
    run::{Progress, Run, RunState, Subject},
};

use super::{Lock, columns, find, subject};
use crate::{
    db::{Db, Tx},
    dialect::{Session, Turn, sql},
    error::{Error, Result},
};

/// A run that this node has, until its lease is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// As it was when it was claimed: state `claimed`, this attempt counted.
    pub run: Run,
    /// Rises with each claim of the run.
    pub fencing: i64,
    /// How many more attempts it may have if this one fails. Attempts after an approval, and those whose node went away,
    /// are not counted.
    pub attempts_left: u32,
    /// The locks that it holds.
    pub locks: Vec<Lock>,
}

impl Claim {
    /// The sync that it is a run of. [`Error::NotFound`] if it is none.
    pub fn sync(&self) -> Result<&Name> {
        self.run.subject.sync().ok_or_else(|| Error::not_found("sync", &self.run.subject))
    }
}

/// What a node learns when it extends its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Somebody asked to end the run: go to a safe point and end it as cancelled.
    pub cancel: bool,
}

/// How long a node can be silent before what its runs wait for stops holding up other nodes' runs.
const SILENT: Duration = Duration::from_secs(60);
/// Waiting runs that are looked at in one query.
const BATCH: i64 = 200;
/// Most waiting runs that are told what they wait for, each time.
const REASONS: usize = 200;

impl Db {
    /// Takes the oldest queued run that this node can run now, with its locks, for `lease` on the database's time. `None` if
    /// there is none. Runs that wait for a lock are told whose, in their `reason`.
    pub async fn claim_run(&self, lease: Duration) -> Result<Option<Claim>> {
        // Most of the time nothing waits: find that out without a transaction.
        if waiting(&mut self.read().await?, self.node(), self.now(), None, 1).await?.is_empty() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Runs).await?;
        let mut table = LockTable::load(&mut tx).await?;
        let mut blocked = Vec::new();
        let chosen = choose(&mut tx, &mut table, &mut blocked, self.node(), self.now()).await?;
        for (waiting, obstacle) in blocked.iter().take(REASONS) {
            tell(&mut tx, waiting, obstacle).await?;
        }
        let claim = match chosen {
            Some(run) => take(&mut tx, run, self.node(), lease, self.now()).await?,
            None => None,
        };
        tx.commit().await?;
        Ok(claim)
    }

    /// Takes this run, as [`Db::claim_run`] would, for whoever queued it and waits for it. `None` if another node has it by now, or
    /// if it has to wait for a lock.
    pub async fn claim_run_of(&self, run: RunId, lease: Duration) -> Result<Option<Claim>> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Runs).await?;
        let mut table = LockTable::load(&mut tx).await?;
        let mut after = None;
        loop {
            let batch = waiting(&mut tx, self.node(), self.now(), after, BATCH).await?;
            let Some(last) = batch.last() else { return Ok(None) };
            after = Some((last.created_at, last.run));
            for waiting in batch {
                if waiting.run != run {
                    table.want(&waiting);
                    continue;
                }
                if !(waiting.mine && waiting.due) || table.obstacle(&waiting.locks).is_some() {
                    return Ok(None);
                }
                let claim = take(&mut tx, waiting, self.node(), lease, self.now()).await?;
                tx.commit().await?;
                return Ok(claim);
            }
        }
    }

    /// Extends the lease to `lease` from now. [`Error::Fenced`] if it is lost.
    pub async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Heartbeat> {
        beat(&mut self.write_once().await?, claim, lease).await
    }
}

/// Extends the lease to `lease` from now; [`Error::Fenced`] if it is lost.
pub(crate) async fn beat(session: &mut Session, claim: &Claim, lease: Duration) -> Result<Heartbeat> {
    let query = sql("UPDATE runs SET lease_until = {now} + $4 WHERE id = $1 AND node = $2 AND fencing = $3
            AND state IN ('claimed', 'running', 'cancelling')
        RETURNING id, state");
    let query = query.bind(claim.run.id).bind(claim.run.node).bind(claim.fencing).bind(micros(lease));
    let row = query.row(session).await?.ok_or(Error::Fenced { run: claim.run.id })?;
    let state: RunState = row.of("runs", "id").parse("state")?;
    Ok(Heartbeat { cancel: state == RunState::Cancelling })
}

/// Keeps the run as it is until the transaction ends, and gives its state; [`Error::Fenced`] if this claim is lost.
pub(crate) async fn hold(session: &mut Session, claim: &Claim) -> Result<RunState> {
    let query = sql("SELECT id, state FROM runs WHERE id = $1 AND node = $2 AND fencing = $3
            AND state IN ('claimed', 'running', 'cancelling') {for update}");
    let query = query.bind(claim.run.id).bind(claim.run.node).bind(claim.fencing);
    let row = query.row(session).await?.ok_or(Error::Fenced { run: claim.run.id })?;
    row.of("runs", "id").parse("state")
}

/// Whose locks a run has to wait for.
struct Holder {
    run: RunId,
    subject: Subject,
    exclusive: bool,
    /// Not if it only waits itself, before the run that looks.
    held: bool,
}

impl Holder {
    /// What a run that needs the resource waits for.
    fn keeps(&self, resource: &str) -> String {
        let Self { run, subject, .. } = self;
        match (subject, self.held) {
            (Subject::Collection(_), true) => format!("{resource} is being refreshed by run {run}"),
            (Subject::Collection(_), false) => format!("{resource} is next for the refresh of run {run}"),
            (Subject::Sync(_), true) => format!("{resource}, which is held by run {run} of {subject}"),
            (Subject::Sync(_), false) => format!("{resource}, which is next for run {run} of {subject}"),
        }
    }
}

/// Who has and who wants which resource.
#[derive(Default)]
struct LockTable {
    by_resource: HashMap<String, Vec<Holder>>,
}

impl LockTable {
    async fn load(session: &mut Session) -> Result<Self> {
        let query =
            sql("SELECT l.run, l.resource, l.exclusive, r.sync, r.collection FROM run_locks l JOIN runs r ON r.id = l.run
            WHERE l.held");
        let mut table = Self::default();
        for row in &query.rows(session).await? {
            let row = row.of("run_locks", "run");
            let holder = Holder {
                run: row.parse("run")?,
                subject: subject(&row)?,
                exclusive: row.get("exclusive")?,
                held: true,
            };
            table.by_resource.entry(row.get("resource")?).or_default().push(holder);
        }
        Ok(table)
    }

    /// Why these locks cannot be had now; `None` if they can.
    fn obstacle(&self, locks: &[Lock]) -> Option<String> {
        locks.iter().find_map(|lock| {
            let holders = self.by_resource.get(&lock.resource)?;
            let other = holders.iter().find(|holder| holder.exclusive || lock.exclusive)?;
            Some(other.keeps(&lock.resource))
        })
    }

    fn want(&mut self, waiting: &Waiting) {
        for lock in &waiting.locks {
            let holder = Holder {
                run: waiting.run,
                subject: waiting.subject.clone(),
                exclusive: lock.exclusive,
                held: false,
            };
            self.by_resource.entry(lock.resource.clone()).or_default().push(holder);
        }
    }
}

/// A queued run.
struct Waiting {
    run: RunId,
    subject: Subject,
    created_at: Timestamp,
    /// Whether this node can run it.
    mine: bool,
    /// Whether its time has come.
    due: bool,
    waiting_for: Option<String>,
    locks: Vec<Lock>,
}

/// The oldest run that can go. Those before it that wait for a lock are put into `blocked` with why.
async fn choose(
    tx: &mut Tx,
    table: &mut LockTable,
    blocked: &mut Vec<(Waiting, String)>,
    node: NodeId,
    now: Timestamp,
) -> Result<Option<Waiting>> {
    let mut after = None;
    loop {
        let batch = waiting(tx, node, now, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(None) };
        after = Some((last.created_at, last.run));
        for waiting in batch {
            match table.obstacle(&waiting.locks) {
                None if waiting.mine && waiting.due => return Ok(Some(waiting)),
                // Why it is tried again says more.
                _ if !waiting.due => table.want(&waiting),
                None => table.want(&waiting),
                Some(reason) => {
                    table.want(&waiting);
                    blocked.push((waiting, reason));
                }
            }
        }
    }
}

/// Queued runs whose time has come, and refreshes that will go on (what is half refreshed must not be read in between), oldest
/// first: those that `node` can run, and those of other nodes that are alive, whose
/// wishes count as well.
async fn waiting(
    session: &mut Session,
    node: NodeId,
    now: Timestamp,
    after: Option<(Timestamp, RunId)>,
    limit: i64,
) -> Result<Vec<Waiting>> {
    let (after_time, after_run) =
        after.map_or((i64::MIN, String::new()), |(time, run)| (time.as_microsecond(), run.to_string()));
    let query =
        sql("SELECT r.id, r.sync, r.collection, r.created_at, r.waiting_for, l.resource, l.exclusive,
            (r.bound_to IS NULL OR r.bound_to = $1) AS mine,
            (r.not_before IS NULL OR r.not_before <= $2) AS due
        FROM (
            SELECT id, sync, collection, created_at, waiting_for, bound_to, not_before FROM runs
            WHERE state = 'queued' AND (not_before IS NULL OR not_before <= $2 OR collection IS NOT NULL)
                AND (created_at > $3 OR (created_at = $3 AND id > $4))
                AND (bound_to IS NULL OR bound_to = $1
                    OR bound_to IN (SELECT id FROM nodes WHERE last_seen > {now} - $5))
            ORDER BY created_at, id LIMIT $6
        ) r LEFT JOIN run_locks l ON l.run = r.id
        ORDER BY r.created_at, r.id, l.resource");
    let query = query.bind(node).bind(now).bind(after_time).bind(after_run).bind(micros(SILENT)).bind(limit);
    let rows = query.rows(session).await?;
    let mut found: Vec<Waiting> = Vec::new();
    for row in &rows {
        let row = row.of("runs", "id");
        let run: RunId = row.parse("id")?;
        if found.last().is_none_or(|last| last.run != run) {
            found.push(Waiting {
                run,
                subject: subject(&row)?,
                created_at: row.time("created_at")?,
                mine: row.get("mine")?,
                due: row.get("due")?,
                waiting_for: row.get("waiting_for")?,
                locks: Vec::new(),
            });
        }
        let resource: Option<String> = row.get("resource")?;
        if let (Some(resource), Some(last)) = (resource, found.last_mut()) {
            last.locks.push(Lock { resource, exclusive: row.get("exclusive")? });
        }
    }
    Ok(found)
}

/// Writes down what a run waits for, unless it says so already.
async fn tell(tx: &mut Tx, waiting: &Waiting, obstacle: &str) -> Result<()> {
    if waiting.waiting_for.as_deref() != Some(obstacle) {
        let query = sql("UPDATE runs SET reason = $2, waiting_for = $3 WHERE id = $1 AND state = 'queued'");
        let query = query.bind(waiting.run).bind(format!("waits for {obstacle}")).bind(obstacle);
        query.execute(tx).await?;
    }
    Ok(())
}

/// Writes the claim; `None` if the run was cancelled since it was chosen, which PostgreSQL lets happen in between.
async fn take(
    tx: &mut Tx,
    mut chosen: Waiting,
    node: NodeId,
    lease: Duration,
    now: Timestamp,
) -> Result<Option<Claim>> {
    let query =
        sql("UPDATE runs SET state = 'claimed', node = $2, attempt = attempt + 1, fencing = fencing + 1,
            lease_until = {now} + $3, started_at = $4, finished_at = NULL, not_before = NULL, reason = NULL,
            waiting_for = NULL, failure = NULL, progress = $5
        WHERE id = $1 AND state = 'queued' RETURNING id, fencing, max_attempts, uncounted");
    let query =
        query.bind(chosen.run).bind(node).bind(micros(lease)).bind(now).bind_json(&Progress::default());
    let Some(row) = query.row(tx).await? else { return Ok(None) };
    let row = row.of("runs", "id");
    let query = sql("UPDATE run_locks SET held = TRUE WHERE run = $1");
    query.bind(chosen.run).execute(tx).await?;
    let run = find(tx, chosen.run).await?;
    let query = sql("INSERT INTO run_attempts (run, attempt, node, started_at, state)
        VALUES ($1, $2, $3, $4, 'claimed')");
    query.bind(run.id).bind(run.attempt).bind(node).bind(now).execute(tx).await?;
    // By their bytes, as a run asks for them: a database sorts by the rules of some language.
    chosen.locks.sort_by(|a, b| a.resource.cmp(&b.resource));
    let allowed: u32 = row.unsigned::<u32>("max_attempts")? + row.unsigned::<u32>("uncounted")?;
    Ok(Some(Claim {
        attempts_left: allowed.saturating_sub(run.attempt),
        fencing: row.get("fencing")?,
        locks: chosen.locks,
        run,
    }))
}

/// Lets others have what a run holds. In the transaction that ends it, or that lets it wait again.
pub(crate) async fn release_locks(session: &mut Session, run: RunId, next: RunState) -> Result<()> {
    if next.is_final() {
        return forget_locks(session, run).await;
    }
    sql("UPDATE run_locks SET held = FALSE WHERE run = $1").bind(run).execute(session).await?;
    Ok(())
}

/// Forgets what a run holds or wants.
pub(crate) async fn forget_locks(session: &mut Session, run: RunId) -> Result<()> {
    sql("DELETE FROM run_locks WHERE run = $1").bind(run).execute(session).await?;
    Ok(())
}

/// Microseconds, for arithmetic with the database's time.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// The columns of a run and those of its lease.
pub(crate) const SELECT_LEASED: &str =
    concat!("SELECT ", columns!(), ", fencing, max_attempts, losses FROM runs WHERE ");
