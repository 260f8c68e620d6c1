//! One attempt, from its claim to its end: all that the node writes while it has the run.

use syncline_domain::{
    event::NewEvent,
    ids::{NodeId, RunId},
    run::{Counts, Ending, Progress, Run, RunState, TargetResult, Waits},
};

use super::{
    Lock, check_changed, check_transition,
    claim::{Claim, forget_locks, hold, release_locks},
    find, want_locks,
};
use crate::{
    db::{Db, Tx},
    dialect::sql,
    error::{Error, Result},
    servers, syncs,
};

impl Db {
    /// The run begins, with this version of its plugin if it has one. Fails with [`Error::Transition`] if it was cancelled
    /// meanwhile.
    pub async fn begin_run(&self, claim: &Claim, plugin_digest: impl Into<Option<&str>>) -> Result<Run> {
        let plugin_digest: Option<&str> = plugin_digest.into();
        let mut tx = self.begin().await?;
        let from = hold(&mut tx, claim).await?;
        check_transition(claim.run.id, from, RunState::Running)?;
        let query = sql("UPDATE runs SET state = 'running', plugin_digest = $2
            WHERE id = $1 AND node = $3 AND fencing = $4 AND state = $5");
        let query = query.bind(claim.run.id).bind(plugin_digest);
        let query = query.bind(claim.run.node).bind(claim.fencing).bind(from);
        check_changed(query.execute(&mut tx).await?, claim.run.id, from, RunState::Running)?;
        let query = sql("UPDATE run_attempts SET state = 'running' WHERE run = $1 AND attempt = $2");
        query.bind(claim.run.id).bind(claim.run.attempt).execute(&mut tx).await?;
        let run = find(&mut tx, claim.run.id).await?;
        tx.commit().await?;
        Ok(run)
    }

    /// Says how far the run has come.
    pub async fn save_progress(
        &self,
        claim: &Claim,
        progress: &Progress,
        counts: &Counts,
        targets: &[TargetResult],
    ) -> Result<()> {
        let query = sql("UPDATE runs SET progress = $4, counts = $5, targets = $6
            WHERE id = $1 AND node = $2 AND fencing = $3 AND state IN ('claimed', 'running', 'cancelling')");
        let query = query.bind(claim.run.id).bind(claim.run.node).bind(claim.fencing);
        let query = query.bind_json(progress).bind_json(counts).bind_json(&targets);
        match query.execute(&mut self.write_once().await?).await? {
            1 => Ok(()),
            _ => Err(Error::Fenced { run: claim.run.id }),
        }
    }

    /// Writes events of the run while it is under way.
    pub async fn tell_of_run(&self, claim: &Claim, events: Vec<NewEvent>) -> Result<()> {
        let mut tx = self.begin().await?;
        hold(&mut tx, claim).await?;
        for event in events {
            tx.event(event);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Ends the attempt: state, counts, cursor and events in one transaction with the end of lease and locks.
    ///
    /// State `queued` means another attempt later, `held` that an administrator decides. [`Error::Transition`] if the run
    /// cannot go there; above all, one that is `cancelling` by now has to be ended as cancelled (or as it ended, if it
    /// did before it noticed).
    pub async fn end_attempt(&self, claim: &Claim, ending: &Ending, events: &[NewEvent]) -> Result<Run> {
        let mut tx = self.begin().await?;
        let from = hold(&mut tx, claim).await?;
        check_transition(claim.run.id, from, ending.state)?;
        let now = self.now();
        let query =
            sql("UPDATE runs SET state = $5, reason = $6, failure = $7, not_before = $8, counts = $9,
                targets = $10, sizes = $11, excesses = $12, finished_at = $13, lease_until = NULL
            WHERE id = $1 AND node = $2 AND fencing = $3 AND state = $4");
        let query = query
            .bind(claim.run.id)
            .bind(claim.run.node)
            .bind(claim.fencing)
            .bind(from)
            .bind(ending.state)
            .bind(ending.reason.as_ref())
            .bind_json_opt(ending.failure.as_ref())
            .bind((ending.state == RunState::Queued).then_some(ending.not_before).flatten())
            .bind_json(&ending.counts)
            .bind_json(&ending.targets)
            .bind_json(&ending.sizes)
            .bind_json(&ending.excesses)
            .bind(ending.state.is_final().then_some(now));
        check_changed(query.execute(&mut tx).await?, claim.run.id, from, ending.state)?;
        release_locks(&mut tx, claim.run.id, ending.state).await?;
        close_attempt(&mut tx, claim.run.id, ending.state, ending.failure.as_ref(), now).await?;
        if let (Some(cursor), Some(sync)) = (&ending.cursor, claim.run.subject.sync()) {
            syncs::set_cursor(&mut tx, sync, cursor.as_deref(), now).await?;
        }
        if let Some(sync) = claim.run.subject.sync() {
            servers::leave(&mut tx, sync, claim.run.id, &ending.backlog, now).await?;
        }
        let run = find(&mut tx, claim.run.id).await?;
        for event in events {
            tx.event(event.clone());
        }
        tx.commit().await?;
        Ok(run)
    }

    /// Puts a claimed run that has not begun back into the queue with other locks, because its sync was changed since it was
    /// queued, or because its time has not come (`waits`). This attempt does not count.
    pub async fn requeue(
        &self,
        claim: &Claim,
        locks: &[Lock],
        bound_to: Option<NodeId>,
        waits: Option<&Waits>,
    ) -> Result<Run> {
        let mut tx = self.begin().await?;
        let from = hold(&mut tx, claim).await?;
        if from != RunState::Claimed {
            return Err(Error::Transition { run: claim.run.id, from, to: RunState::Queued });
        }
        let query = sql(
            "UPDATE runs SET state = 'queued', bound_to = $4, uncounted = uncounted + 1, lease_until = NULL,
                not_before = $5, reason = $6
            WHERE id = $1 AND node = $2 AND fencing = $3 AND state = 'claimed'",
        );
        let query = query.bind(claim.run.id).bind(claim.run.node).bind(claim.fencing).bind(bound_to);
        let query = query.bind(waits.map(|waits| waits.until)).bind(waits.map(|waits| waits.reason.clone()));
        check_changed(query.execute(&mut tx).await?, claim.run.id, from, RunState::Queued)?;
        forget_locks(&mut tx, claim.run.id).await?;
        want_locks(&mut tx, claim.run.id, locks).await?;
        close_attempt(&mut tx, claim.run.id, RunState::Queued, None, self.now()).await?;
        let run = find(&mut tx, claim.run.id).await?;
        tx.commit().await?;
        Ok(run)
    }
}

/// Writes down how the attempt that is open ended.
pub(crate) async fn close_attempt(
    tx: &mut Tx,
    run: RunId,
    state: RunState,
    failure: Option<&syncline_domain::Failure>,
    now: jiff::Timestamp,
) -> Result<()> {
    let query = sql("UPDATE run_attempts SET finished_at = $2, state = $3, failure = $4
        WHERE run = $1 AND finished_at IS NULL");
    query.bind(run).bind(now).bind(state).bind_json_opt(failure).execute(tx).await?;
    Ok(())
}
