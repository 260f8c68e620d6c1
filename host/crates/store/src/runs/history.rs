//! What is recorded of a run: its operations, its log, its attempts.

use jiff::Timestamp;
use syncline_domain::{
    Failure, Name,
    ids::{NodeId, RunId},
    log::LogLine,
    operation::{Operation, OperationState},
    run::RunState,
};

use super::{
    chunk::{CHUNK, decode, encode},
    claim::{Claim, hold},
};
use crate::{
    db::Db,
    dialect::{Query, Session, sql},
    error::{OrNotFound, Result},
    page::{ChunkPosition, Listed, Page},
};

/// Which operations are wanted: those for which all that is set holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// On this target.
    pub target: Option<Name>,
    /// In this state.
    pub state: Option<OperationState>,
}

impl OperationFilter {
    fn fits(&self, operation: &Operation) -> bool {
        self.target.as_ref().is_none_or(|target| *target == operation.target)
            && self.state.is_none_or(|state| state == operation.state)
    }
}

/// One try of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// From 1.
    pub attempt: u32,
    /// Who had it.
    pub node: NodeId,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it ended; absent while it is under way.
    pub finished_at: Option<Timestamp>,
    /// `claimed` or `running` while it is under way; then what the run became, or `lost` if its node went away.
    pub state: RunState,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
}

impl Db {
    /// Adds lines to the log of the run.
    pub async fn append_log(&self, claim: &Claim, lines: &[LogLine]) -> Result<()> {
        let mut encoded = Vec::new();
        for chunk in lines.chunks(CHUNK) {
            encoded.push((encode(chunk)?, u64::try_from(chunk.len()).unwrap_or(u64::MAX)));
        }
        let mut tx = self.begin().await?;
        hold(&mut tx, claim).await?;
        for (body, count) in encoded {
            let query = sql("INSERT INTO run_log (run, chunk, lines, body)
                VALUES ($1, (SELECT COALESCE(MAX(chunk), 0) + 1 FROM run_log WHERE run = $1), $2, $3)");
            query.bind(claim.run.id).bind_u64(count).bind(body).execute(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets the operations of the run: another attempt finds the difference anew.
    pub async fn clear_operations(&self, claim: &Claim) -> Result<()> {
        let mut tx = self.begin().await?;
        hold(&mut tx, claim).await?;
        sql("DELETE FROM run_operations WHERE run = $1").bind(claim.run.id).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Adds operations to the run, in this order. Cheapest in thousands.
    pub async fn append_operations(&self, claim: &Claim, operations: &[Operation]) -> Result<()> {
        let mut encoded = Vec::new();
        for chunk in operations.chunks(CHUNK) {
            encoded.push((Summary::of(chunk), encode(chunk)?));
            // Encoding a chunk takes a millisecond or two: let others have the thread in between.
            tokio::task::yield_now().await;
        }
        let mut tx = self.begin().await?;
        hold(&mut tx, claim).await?;
        for (summary, body) in encoded {
            summary.insert(claim.run.id, body).execute(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Operations of a run, in the order in which they were added.
    pub async fn operations(
        &self,
        run: RunId,
        filter: &OperationFilter,
        page: &Page,
    ) -> Result<Listed<Operation>> {
        let mut session = self.read().await?;
        must_exist(&mut session, run).await?;
        let mut at: ChunkPosition = page.position()?.unwrap_or_default();
        let mut items = Vec::new();
        while let Some((chunk, operations)) = next_operations(&mut session, run, filter, at.chunk).await? {
            let skip = if chunk == at.chunk { at.offset } else { 0 };
            for (offset, operation) in operations.into_iter().enumerate().skip(skip) {
                if !filter.fits(&operation) {
                    continue;
                }
                if items.len() == page.limit() {
                    // This one is the first of the next page.
                    return Ok(Listed { items, next: Some(ChunkPosition { chunk, offset }.to_string()) });
                }
                items.push(operation);
            }
            at = ChunkPosition { chunk: chunk + 1, offset: 0 };
        }
        Ok(Listed { items, next: None })
    }

    /// All operations of a run that failed, or were skipped because something before them did: what a retry is about.
    pub async fn failed_operations(&self, run: RunId) -> Result<Vec<Operation>> {
        let mut session = self.read().await?;
        must_exist(&mut session, run).await?;
        let mut failed = Vec::new();
        let mut from = 0;
        loop {
            let query = sql("SELECT chunk, body FROM run_operations
                WHERE run = $1 AND chunk >= $2 AND failed + skipped > 0 ORDER BY chunk LIMIT 1");
            let Some((chunk, operations)) = one_chunk(&mut session, query.bind(run).bind(from)).await? else {
                return Ok(failed);
            };
            from = chunk + 1;
            failed.extend(operations.into_iter().filter(|operation: &Operation| {
                matches!(operation.state, OperationState::Failed | OperationState::Skipped)
            }));
        }
    }

    /// The log of a run, oldest line first.
    pub async fn log(&self, run: RunId, page: &Page) -> Result<Listed<LogLine>> {
        let mut session = self.read().await?;
        must_exist(&mut session, run).await?;
        let mut at: ChunkPosition = page.position()?.unwrap_or_default();
        let mut items = Vec::new();
        loop {
            let query =
                sql("SELECT chunk, body FROM run_log WHERE run = $1 AND chunk >= $2 ORDER BY chunk LIMIT 1");
            let query = query.bind(run).bind(at.chunk);
            let Some((chunk, lines)) = one_chunk::<LogLine>(&mut session, query).await? else {
                return Ok(Listed { items, next: None });
            };
            let skip = if chunk == at.chunk { at.offset } else { 0 };
            for (offset, line) in lines.into_iter().enumerate().skip(skip) {
                if items.len() == page.limit() {
                    return Ok(Listed { items, next: Some(ChunkPosition { chunk, offset }.to_string()) });
                }
                items.push(line);
            }
            at = ChunkPosition { chunk: chunk + 1, offset: 0 };
        }
    }

    /// The attempts of a run, oldest first.
    pub async fn attempts(&self, run: RunId) -> Result<Vec<Attempt>> {
        let mut session = self.read().await?;
        must_exist(&mut session, run).await?;
        let query = sql("SELECT attempt, node, started_at, finished_at, state, failure FROM run_attempts
            WHERE run = $1 ORDER BY attempt");
        let rows = query.bind(run).rows(&mut session).await?;
        let parse = |row: &crate::row::Row| {
            let row = row.of("run_attempts", "attempt");
            Ok(Attempt {
                attempt: row.unsigned("attempt")?,
                node: row.parse("node")?,
                started_at: row.time("started_at")?,
                finished_at: row.time_opt("finished_at")?,
                state: row.parse("state")?,
                failure: row.json_opt("failure")?,
            })
        };
        rows.iter().map(parse).collect()
    }
}

async fn must_exist(session: &mut Session, run: RunId) -> Result<()> {
    sql("SELECT id FROM runs WHERE id = $1").bind(run).row(session).await?.or_not_found("run", run)?;
    Ok(())
}

/// The first chunk from `from` on in which the filter can find something.
async fn next_operations(
    session: &mut Session,
    run: RunId,
    filter: &OperationFilter,
    from: i64,
) -> Result<Option<(i64, Vec<Operation>)>> {
    let mut query = sql("SELECT chunk, body FROM run_operations WHERE run = $1 AND chunk >= $2");
    query = query.bind(run).bind(from);
    // A `_` in a name stands for any character here: a chunk too many is read, and none is missed.
    let target = filter.target.as_ref().map(|target| format!("% {target} %"));
    query = query.push_some(" AND targets LIKE $?", target);
    query = match filter.state {
        None => query,
        Some(OperationState::Planned) => query.push(" AND planned > 0"),
        Some(OperationState::Done) => query.push(" AND done > 0"),
        Some(OperationState::Failed) => query.push(" AND failed > 0"),
        Some(OperationState::Skipped) => query.push(" AND skipped > 0"),
    };
    one_chunk(session, query.push(" ORDER BY chunk LIMIT 1")).await
}

async fn one_chunk<T: serde::de::DeserializeOwned>(
    session: &mut Session,
    query: Query,
) -> Result<Option<(i64, Vec<T>)>> {
    let Some(row) = query.row(session).await? else { return Ok(None) };
    let row = row.of("run_operations or run_log", "chunk");
    let body: Vec<u8> = row.get("body")?;
    Ok(Some((row.get("chunk")?, row.check("body", decode(&body))?)))
}

/// What a filter has to know of a chunk.
#[derive(Default)]
struct Summary {
    targets: std::collections::BTreeSet<Name>,
    planned: u64,
    done: u64,
    failed: u64,
    skipped: u64,
}

impl Summary {
    fn of(operations: &[Operation]) -> Self {
        let mut summary = Self::default();
        for operation in operations {
            if !summary.targets.contains(&operation.target) {
                summary.targets.insert(operation.target.clone());
            }
            match operation.state {
                OperationState::Planned => summary.planned += 1,
                OperationState::Done => summary.done += 1,
                OperationState::Failed => summary.failed += 1,
                OperationState::Skipped => summary.skipped += 1,
            }
        }
        summary
    }

    fn insert(self, run: RunId, body: Vec<u8>) -> Query {
        let mut targets = String::from(" ");
        for target in &self.targets {
            targets.push_str(target.as_str());
            targets.push(' ');
        }
        sql("INSERT INTO run_operations (run, chunk, targets, planned, done, failed, skipped, body)
            VALUES ($1, (SELECT COALESCE(MAX(chunk), 0) + 1 FROM run_operations WHERE run = $1),
                $2, $3, $4, $5, $6, $7)")
        .bind(run)
        .bind(targets)
        .bind_u64(self.planned)
        .bind_u64(self.done)
        .bind_u64(self.failed)
        .bind_u64(self.skipped)
        .bind(body)
    }
}
