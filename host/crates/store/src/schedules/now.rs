//! Schedules that somebody asked to run at once: what became of each.

use syncline_domain::{event::NewEvent, ids::OperationId, schedule::RunNow};

use crate::{
    db::Db,
    dialect::sql,
    error::{OrNotFound, Result},
    runs::{self, NewRun},
};

/// Newest of these that are kept.
const KEPT: i64 = 1_000;

impl Db {
    /// Queues the runs of schedules, whose own times stay, and writes down what became of each, in one transaction. Old ones
    /// are forgotten.
    pub async fn run_now(&self, operation: &RunNow, runs: &[NewRun], events: Vec<NewEvent>) -> Result<()> {
        let mut tx = self.begin().await?;
        for run in runs {
            runs::must_exist(&mut tx, &run.subject).await?;
            runs::insert(&mut tx, run, syncline_domain::run::RunState::Queued, None, self.now()).await?;
        }
        let query = sql("INSERT INTO run_now (id, actor, created_at, entries) VALUES ($1, $2, $3, $4)");
        let query = query.bind(operation.id).bind(&operation.actor).bind(operation.created_at);
        query.bind_json(&operation.entries).execute(&mut tx).await?;
        let query = sql(
            "DELETE FROM run_now WHERE id IN (SELECT id FROM run_now ORDER BY id DESC LIMIT 1000 OFFSET $1)",
        );
        query.bind(KEPT).execute(&mut tx).await?;
        for event in events {
            tx.event(event);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Schedules that were asked to run at once.
    pub async fn ran_now(&self, id: OperationId) -> Result<RunNow> {
        let query = sql("SELECT id, actor, created_at, entries FROM run_now WHERE id = $1");
        let row =
            query.bind(id).row(&mut self.read().await?).await?.or_not_found("schedule operation", id)?;
        let row = row.of("run_now", "id");
        Ok(RunNow {
            id: row.parse("id")?,
            actor: row.get("actor")?,
            created_at: row.time("created_at")?,
            entries: row.json("entries")?,
        })
    }
}
