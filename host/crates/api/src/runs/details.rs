//! What a run did, said and tried.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Failure, Name,
    ids::{NodeId, RunId},
    log::LogLine,
    operation::{Operation, OperationState},
    run::RunState,
};
use syncline_store::{Attempt, Db, OperationFilter};

use crate::{
    auth::Viewer,
    input::{At, Params},
    page::{self, Items, PageParams},
    problem::Result,
};

/// Which operations are wanted: those for which all that is set holds.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OperationParams {
    /// On this target.
    target: Option<Name>,
    /// In this state.
    state: Option<OperationState>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List each change that a run found, and what became of it.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/operations", tag = "runs",
    params(("id" = RunId, Path, description = "The run"), OperationParams),
    responses((status = 200, description = "In the order in which they were found or ended", body = Items<Operation>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_operations(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<RunId>,
    Params(params): Params<OperationParams>,
) -> Result<Items<Operation>> {
    let page = page::page(params.limit, params.after)?;
    let run = db.run(id).await?.id;
    let filter = OperationFilter { target: params.target, state: params.state };
    Ok(db.operations(run, &filter, &page).await?.into())
}

/// Read the log of a run.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/log", tag = "runs",
    params(("id" = RunId, Path, description = "The run"), PageParams),
    responses((status = 200, description = "Oldest first", body = Items<LogLine>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn read_log(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<RunId>,
    Params(params): Params<PageParams>,
) -> Result<Items<LogLine>> {
    let page = params.page()?;
    let run = db.run(id).await?.id;
    Ok(db.log(run, &page).await?.into())
}

/// One try of a run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AttemptView {
    /// Its number, from 1.
    attempt: u32,
    /// The node that made it.
    node: NodeId,
    /// When it began.
    started_at: Timestamp,
    /// When it ended.
    finished_at: Option<Timestamp>,
    /// The state that the run went to.
    state: RunState,
    /// Why, if it did not succeed.
    failure: Option<Failure>,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        let Attempt { attempt, node, started_at, finished_at, state, failure } = attempt;
        Self { attempt, node, started_at, finished_at, state, failure }
    }
}

/// List the attempts of a run.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/attempts", tag = "runs",
    params(("id" = RunId, Path, description = "The run"), PageParams),
    responses((status = 200, description = "Oldest first", body = Items<AttemptView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_attempts(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<RunId>,
    Params(params): Params<PageParams>,
) -> Result<Items<AttemptView>> {
    let page = params.page()?;
    let run = db.run(id).await?.id;
    let attempts = db.attempts(run).await?.into_iter().map(AttemptView::from).collect();
    // Numbers as text that sorts as they do.
    Ok(Items::of(attempts, &page, |one: &AttemptView| format!("{:010}", one.attempt)))
}
