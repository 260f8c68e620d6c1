//! Leases that are over: what becomes of runs whose node went away.

use syncline_domain::{
    Failure,
    event::NewEvent,
    ids::NodeId,
    log::LogLevel,
    run::{Run, RunState},
};

use super::{
    attempt::close_attempt,
    check_changed, check_transition,
    claim::{SELECT_LEASED, release_locks},
    find, parse,
};
use crate::{
    db::{Db, Tx},
    dialect::{Query, Turn, sql},
    error::Result,
    row::Row,
};

/// How often a run may lose its node and be tried again. Not a failure of the run, so `max_attempts` does not count it; but a
/// run that takes its node down with it each time must come to an end.
pub const MAX_LOSSES: u32 = 25;

impl Db {
    /// Takes back the runs whose lease is over, on the database's time: they go back to the queue, or are lost if they may not
    /// be tried again, or cancelled if they were asked to end. Writes an event for each, and gives them as they are now.
    pub async fn expire_leases(&self) -> Result<Vec<Run>> {
        let condition = "state IN ('claimed', 'running', 'cancelling') AND lease_until <= {now}";
        self.take_back(sql(SELECT_LEASED).push(condition), "its lease ran out").await
    }

    /// Takes back what `node` had, whatever its leases say. For a node that starts and knows that it has nothing.
    pub async fn release_leases_of_node(&self, node: NodeId) -> Result<Vec<Run>> {
        let condition = "state IN ('claimed', 'running', 'cancelling') AND node = $?";
        self.take_back(sql(SELECT_LEASED).push_with(condition, node), "it stopped without ending the run")
            .await
    }

    async fn take_back(&self, query: Query, why: &str) -> Result<Vec<Run>> {
        let mut tx = self.begin().await?;
        tx.take_turn(Turn::Runs).await?;
        let rows = query.push(" ORDER BY id {for update}").rows(&mut tx).await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in &rows {
            taken.push(take_back_one(&mut tx, row, why, self.now()).await?);
        }
        tx.commit().await?;
        Ok(taken)
    }
}

async fn take_back_one(tx: &mut Tx, row: &Row, why: &str, now: jiff::Timestamp) -> Result<Run> {
    let run = parse(row)?;
    let columns = row.of("runs", "id");
    let losses: u32 = columns.unsigned("losses")?;
    let max_attempts: u32 = columns.unsigned("max_attempts")?;
    let next = match run.state {
        RunState::Cancelling => RunState::Cancelled,
        // One attempt at most is an operator's word that nothing is tried twice.
        _ if max_attempts > 1 && losses < MAX_LOSSES => RunState::Queued,
        _ => RunState::Lost,
    };
    check_transition(run.id, run.state, next)?;
    let node = run.node.map_or_else(|| "its node".to_owned(), |node| format!("node {node}"));
    let told = format!("{node} went away in attempt {}: {why}", run.attempt);
    let failure = (next != RunState::Cancelled)
        .then(|| Failure::host("node-lost", format!("{told}; look at the node's own log for the cause")));

    let query =
        sql("UPDATE runs SET state = $3, reason = $4, failure = $5, finished_at = $6, lease_until = NULL,
            uncounted = uncounted + 1, losses = losses + 1
        WHERE id = $1 AND state = $2");
    let query = query
        .bind(run.id)
        .bind(run.state)
        .bind(next)
        .bind(&told)
        .bind_json_opt(failure.as_ref())
        .bind(next.is_final().then_some(now));
    check_changed(query.execute(tx).await?, run.id, run.state, next)?;
    release_locks(tx, run.id, next).await?;
    let ended = if next == RunState::Queued { RunState::Lost } else { next };
    close_attempt(tx, run.id, ended, failure.as_ref(), now).await?;
    tx.event(event(&run, next, &told));
    find(tx, run.id).await
}

fn event(run: &Run, next: RunState, told: &str) -> NewEvent {
    let (kind, level, then) = match next {
        RunState::Queued => ("run.requeued", LogLevel::Warn, "it will be tried again"),
        RunState::Cancelled => ("run.cancelled", LogLevel::Info, "it is cancelled, as it was asked to be"),
        _ => ("run.lost", LogLevel::Error, "it is not tried again"),
    };
    NewEvent::new(kind, "system", format!("run of {}: {told}; {then}", run.subject))
        .of_run(run.id, &run.subject)
        .level(level)
}
