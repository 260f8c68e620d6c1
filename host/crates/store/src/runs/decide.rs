//! What people decide about a run: approve, reject, cancel.

use syncline_domain::{
    event::NewEvent,
    ids::RunId,
    run::{Approval, Run, RunState},
};

use super::{check_changed, check_transition, claim::release_locks, find, find_for_update};
use crate::{
    db::{Db, Tx},
    dialect::sql,
    error::{Error, Result},
};

impl Db {
    /// Lets a held run go on, up to the sizes of `approval`: it is queued again, and takes the difference anew. The attempt
    /// that follows does not count against the most attempts.
    pub async fn approve_run(&self, id: RunId, approval: &Approval, event: NewEvent) -> Result<Run> {
        let mut tx = self.begin().await?;
        let from = find_for_update(&mut tx, id).await?.state;
        if from != RunState::Held {
            return Err(Error::Transition { run: id, from, to: RunState::Queued });
        }
        let query = sql("UPDATE runs SET state = 'queued', reason = NULL, excesses = '[]', approval = $2,
                not_before = NULL, uncounted = uncounted + 1
            WHERE id = $1 AND state = 'held'");
        let changed = query.bind(id).bind_json(approval).execute(&mut tx).await?;
        check_changed(changed, id, from, RunState::Queued)?;
        let run = find(&mut tx, id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(run)
    }

    /// Ends a held run without applying it.
    pub async fn reject_run(&self, id: RunId, actor: &str, reason: &str, event: NewEvent) -> Result<Run> {
        let mut tx = self.begin().await?;
        let from = find_for_update(&mut tx, id).await?.state;
        if from != RunState::Held {
            return Err(Error::Transition { run: id, from, to: RunState::Cancelled });
        }
        let reason = if reason.is_empty() {
            format!("rejected by {actor}")
        } else {
            format!("rejected by {actor}: {reason}")
        };
        let run = end_now(&mut tx, id, from, &reason, self.now()).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(run)
    }

    /// Ends a run that no node has (it is cancelled at once), or asks the node that has it to end it (it is `cancelling`
    /// until the node did). One that is asked already is given as it is, without the event; one that has ended is
    /// [`Error::Transition`].
    pub async fn cancel_run(&self, id: RunId, actor: &str, event: NewEvent) -> Result<Run> {
        let mut tx = self.begin().await?;
        let run = find_for_update(&mut tx, id).await?;
        if run.state == RunState::Cancelling {
            return Ok(run);
        }
        let run = cancel(&mut tx, &run, &format!("cancelled by {actor}"), self.now()).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(run)
    }
}

/// Cancels a run that was read for update in this transaction, or has its node cancel it.
pub(crate) async fn cancel(tx: &mut Tx, run: &Run, reason: &str, now: jiff::Timestamp) -> Result<Run> {
    if !run.state.is_leased() {
        return end_now(tx, run.id, run.state, reason, now).await;
    }
    check_transition(run.id, run.state, RunState::Cancelling)?;
    let query = sql("UPDATE runs SET state = 'cancelling', reason = $3 WHERE id = $1 AND state = $2");
    let changed = query.bind(run.id).bind(run.state).bind(reason).execute(tx).await?;
    check_changed(changed, run.id, run.state, RunState::Cancelling)?;
    find(tx, run.id).await
}

async fn end_now(tx: &mut Tx, id: RunId, from: RunState, reason: &str, now: jiff::Timestamp) -> Result<Run> {
    check_transition(id, from, RunState::Cancelled)?;
    let query = sql("UPDATE runs SET state = 'cancelled', reason = $3, finished_at = $4, not_before = NULL,
            waiting_for = NULL
        WHERE id = $1 AND state = $2");
    let changed = query.bind(id).bind(from).bind(reason).bind(now).execute(tx).await?;
    check_changed(changed, id, from, RunState::Cancelled)?;
    release_locks(tx, id, RunState::Cancelled).await?;
    find(tx, id).await
}
