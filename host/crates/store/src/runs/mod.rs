//! Runs: how they are queued and looked up.
//!
//! * a node takes one, keeps it and gives it back: [`claim`]
//! * what it writes while it has it, and how an attempt ends: [`attempt`]
//! * leases that are over: [`lease`]
//! * what people decide: [`decide`]
//! * operations, log and attempts: [`history`]
//!
//! Every write of a node that has a run goes through [`claim::hold`] or names run, node and fencing token itself; every
//! change of a state names the state that it was.

pub(crate) mod attempt;
pub(crate) mod chunk;
pub(crate) mod claim;
pub(crate) mod decide;
pub(crate) mod history;
pub(crate) mod lease;

use jiff::Timestamp;
use syncline_domain::{
    Name,
    event::NewEvent,
    ids::{NodeId, RunId, ScheduleId},
    run::{Counts, Progress, Repair, Run, RunMode, RunState, Subject, Trigger},
};

use crate::{
    db::{Db, Tx},
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    page::{Listed, Page},
    places,
    row::{Columns, Row},
    syncs,
};

macro_rules! columns {
    () => {
        "id, sync, mode, origin, actor, schedule, nominal_time, retry_of, repair, anew, state, reason, attempt, node, \
         bound_to, created_at, not_before, started_at, finished_at, counts, targets, progress, sizes, excesses, \
         approval, failure, plugin_digest, collection, waiting_for, only_targets"
    };
}
pub(crate) use columns;

/// What a run needs for itself (`exclusive`) or together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Any text that all runs use for the same thing, such as `store:site-1`. Shown to people.
    pub resource: String,
    /// Whether nobody else may have it at the time.
    pub exclusive: bool,
}

/// A run to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Id.
    pub id: RunId,
    /// What it is of.
    pub subject: Subject,
    /// Whether it changes anything.
    pub mode: RunMode,
    /// What began it.
    pub trigger: Trigger,
    /// Who began it.
    pub actor: String,
    /// The schedule, if one began it.
    pub schedule: Option<ScheduleId>,
    /// The time for which the schedule meant it.
    pub nominal_time: Option<Timestamp>,
    /// The run whose failed operations it tries again.
    pub retry_of: Option<RunId>,
    /// What it repairs, if that is all it is for.
    pub repair: Option<Repair>,
    /// Whether the plugin is given no cursor.
    pub anew: bool,
    /// The targets that it is for; all of the sync if absent.
    pub only: Option<Vec<Name>>,
    /// The node that alone can run it.
    pub bound_to: Option<NodeId>,
    /// Attempts after failures that can pass, the first included.
    pub max_attempts: u32,
    /// What it reads and writes. All of it is taken at once when the run is claimed. Each resource once.
    pub locks: Vec<Lock>,
}

/// Which runs are wanted: those for which all that is set holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFilter {
    /// Of this sync.
    pub sync: Option<Name>,
    /// Refreshing this collection.
    pub collection: Option<Name>,
    /// In this state.
    pub state: Option<RunState>,
    /// Of this schedule.
    pub schedule: Option<ScheduleId>,
    /// Of this mode.
    pub mode: Option<RunMode>,
    /// That try this run's failed operations again.
    pub retry_of: Option<RunId>,
    /// That have not ended.
    pub unfinished: bool,
}

impl Db {
    /// Queues a run of a sync or collection that is there. [`Error::Exists`] if the id is taken.
    pub async fn enqueue_run(&self, run: &NewRun, event: NewEvent) -> Result<Run> {
        let mut tx = self.begin().await?;
        must_exist(&mut tx, &run.subject).await?;
        insert(&mut tx, run, RunState::Queued, None, self.now()).await?;
        let queued = find(&mut tx, run.id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(queued)
    }

    /// The run of this id.
    pub async fn run(&self, id: RunId) -> Result<Run> {
        find(&mut self.read().await?, id).await
    }

    /// Runs, newest first.
    pub async fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Listed<Run>> {
        let mut query = sql(concat!("SELECT ", columns!(), " FROM runs WHERE TRUE"))
            .push_some(" AND id < $?", page.position::<RunId>()?)
            .push_some(" AND sync = $?", filter.sync.as_ref())
            .push_some(" AND collection = $?", filter.collection.as_ref())
            .push_some(" AND state = $?", filter.state)
            .push_some(" AND schedule = $?", filter.schedule)
            .push_some(" AND mode = $?", filter.mode.map(mode_word))
            .push_some(" AND retry_of = $?", filter.retry_of);
        if filter.unfinished {
            query = query.push(" AND state IN ('queued', 'claimed', 'running', 'held', 'cancelling')");
        }
        let query = query.push_with(" ORDER BY id DESC LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let runs = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(runs, page, |run| run.id.to_string()))
    }

    /// How many runs there are in each state that has any.
    pub async fn run_states(&self) -> Result<Vec<(RunState, u64)>> {
        let query = sql("SELECT state, COUNT(*) AS runs FROM runs GROUP BY state");
        let rows = query.rows(&mut self.read().await?).await?;
        let parse = |row: &Row| {
            let row = row.of("runs", "state");
            Ok((row.parse("state")?, row.unsigned("runs")?))
        };
        rows.iter().map(parse).collect()
    }
}

/// [`Error::NotFound`] unless what a run is of is there, and stays there until this transaction ends.
pub(crate) async fn must_exist(session: &mut Session, subject: &Subject) -> Result<()> {
    match subject {
        Subject::Sync(name) => syncs::must_exist(session, name).await,
        Subject::Collection(name) => places::collection_must_exist(session, name).await,
    }
}

/// Of the columns `sync` and `collection`.
pub(crate) fn subject(row: &Columns<'_>) -> Result<Subject> {
    Ok(match row.parse_opt("collection")? {
        Some(collection) => Subject::Collection(collection),
        None => Subject::Sync(row.parse("sync")?),
    })
}

/// Writes a new run, in state queued with its locks wanted, or skipped.
pub(crate) async fn insert(
    tx: &mut Tx,
    run: &NewRun,
    state: RunState,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    let finished = state.is_final().then_some(now);
    let query = sql("INSERT INTO runs (id, sync, mode, origin, actor, schedule, nominal_time, retry_of, anew,
            state, reason, attempt, max_attempts, uncounted, losses, bound_to, fencing, created_at, finished_at,
            counts, targets, progress, sizes, excesses, collection, repair, only_targets)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, 0, 0, $13, 0, $14, $15,
            $16, '[]', $17, '[]', '[]', $18, $19, $20)")
    .bind(run.id)
    .bind(run.subject.sync().map_or("", Name::as_str))
    .bind(mode_word(run.mode))
    .bind_word(&run.trigger)
    .bind(&run.actor)
    .bind(run.schedule)
    .bind(run.nominal_time)
    .bind(run.retry_of)
    .bind(run.anew)
    .bind(state)
    .bind(reason)
    .bind(run.max_attempts)
    .bind(run.bound_to)
    .bind(now)
    .bind(finished)
    .bind_json(&Counts::default())
    .bind_json(&Progress::default())
    .bind(run.subject.collection())
    .bind_json_opt(run.repair.as_ref())
    .bind_json_opt(run.only.as_ref());
    query.execute(tx).await.map_err(|error| error.or_exists("run", run.id))?;
    if !state.is_final() {
        want_locks(tx, run.id, &run.locks).await?;
    }
    Ok(())
}

/// Writes down what a queued run needs. A resource that is named twice is needed once, exclusively if any of both is.
pub(crate) async fn want_locks(session: &mut Session, run: RunId, locks: &[Lock]) -> Result<()> {
    let mut needed = std::collections::BTreeMap::new();
    for lock in locks {
        *needed.entry(&lock.resource).or_insert(false) |= lock.exclusive;
    }
    for (resource, exclusive) in needed {
        let query = sql("INSERT INTO run_locks (run, resource, exclusive, held) VALUES ($1, $2, $3, FALSE)");
        query.bind(run).bind(resource).bind(exclusive).execute(session).await?;
    }
    Ok(())
}

/// The run of this id.
pub(crate) async fn find(session: &mut Session, id: RunId) -> Result<Run> {
    let query = sql(concat!("SELECT ", columns!(), " FROM runs WHERE id = $1"));
    parse(&query.bind(id).row(session).await?.or_not_found("run", id)?)
}

/// The run of this id, which no other transaction changes until this one ends.
pub(crate) async fn find_for_update(session: &mut Session, id: RunId) -> Result<Run> {
    let query = sql(concat!("SELECT ", columns!(), " FROM runs WHERE id = $1 {for update}"));
    parse(&query.bind(id).row(session).await?.or_not_found("run", id)?)
}

/// [`Error::Transition`] unless a run in state `from` can go to state `to`.
pub(crate) fn check_transition(run: RunId, from: RunState, to: RunState) -> Result<()> {
    if from.can_become(to) { Ok(()) } else { Err(Error::Transition { run, from, to }) }
}

/// What a change of a run's state must have changed: exactly that run, or its state is not what it was.
pub(crate) fn check_changed(changed: u64, run: RunId, from: RunState, to: RunState) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(Error::Transition { run, from, to }) }
}

const fn mode_word(mode: RunMode) -> &'static str {
    match mode {
        RunMode::Apply => "apply",
        RunMode::Preview => "preview",
    }
}

pub(crate) fn parse(row: &Row) -> Result<Run> {
    let row = row.of("runs", "id");
    Ok(Run {
        id: row.parse("id")?,
        subject: subject(&row)?,
        mode: row.word("mode")?,
        trigger: row.word("origin")?,
        actor: row.get("actor")?,
        schedule: row.parse_opt("schedule")?,
        nominal_time: row.time_opt("nominal_time")?,
        retry_of: row.parse_opt("retry_of")?,
        repair: row.json_opt("repair")?,
        anew: row.get("anew")?,
        only: row.json_opt("only_targets")?,
        state: row.parse("state")?,
        reason: row.get("reason")?,
        waiting_for: row.get("waiting_for")?,
        attempt: row.unsigned("attempt")?,
        node: row.parse_opt("node")?,
        bound_to: row.parse_opt("bound_to")?,
        created_at: row.time("created_at")?,
        not_before: row.time_opt("not_before")?,
        started_at: row.time_opt("started_at")?,
        finished_at: row.time_opt("finished_at")?,
        counts: row.json("counts")?,
        targets: row.json("targets")?,
        progress: row.json("progress")?,
        sizes: row.json("sizes")?,
        excesses: row.json("excesses")?,
        approval: row.json_opt("approval")?,
        failure: row.json_opt("failure")?,
        plugin_digest: row.get("plugin_digest")?,
    })
}
