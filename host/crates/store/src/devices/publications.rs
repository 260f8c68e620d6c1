//! What runs of device policies publish.

use syncline_domain::{
    device::Publication,
    event::NewEvent,
    ids::RunId,
    run::{Run, RunState},
};

use crate::{NewRun, db::Db, dialect::sql, error::Result, runs};

impl Db {
    /// Queues a run that publishes this, and no more than this.
    pub async fn enqueue_publication(
        &self,
        run: &NewRun,
        what: &Publication,
        event: NewEvent,
    ) -> Result<Run> {
        let mut tx = self.begin().await?;
        runs::must_exist(&mut tx, &run.subject).await?;
        runs::insert(&mut tx, run, RunState::Queued, None, self.now()).await?;
        let query = sql("INSERT INTO publications (run, what) VALUES ($1, $2)");
        query.bind(run.id).bind_json(what).execute(&mut tx).await?;
        let queued = runs::find(&mut tx, run.id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(queued)
    }

    /// What a run publishes.
    pub async fn publication(&self, run: RunId) -> Result<Publication> {
        let query = sql("SELECT run, what FROM publications WHERE run = $1").bind(run);
        let row = query.row(&mut self.read().await?).await?;
        row.map_or_else(|| Ok(Publication::default()), |row| row.of("publications", "run").json("what"))
    }
}
