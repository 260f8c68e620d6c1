//! Runs, one and many.

use axum::{Json, extract::State};
use serde::Deserialize;
use syncline_domain::{
    Name,
    ids::{RunId, ScheduleId},
    run::{RunMode, RunState},
};
use syncline_store::{Db, RunFilter};

use super::RunView;
use crate::{
    auth::Viewer,
    input::{At, NoParams, Params},
    page::{self, Items, PageParams},
    problem::Result,
};

/// Which runs are wanted: those for which all that is set holds.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunParams {
    /// Of this sync.
    sync: Option<Name>,
    /// Refreshing this collection.
    collection: Option<Name>,
    /// In this state.
    state: Option<RunState>,
    /// Of this schedule.
    schedule: Option<ScheduleId>,
    /// Of this mode.
    mode: Option<RunMode>,
    /// Trying this run's failed operations again.
    retry_of: Option<RunId>,
    /// `true`: those that have not ended.
    unfinished: Option<bool>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List runs.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs",
    params(RunParams),
    responses((status = 200, description = "Newest first", body = Items<RunView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_runs(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<RunParams>,
) -> Result<Items<RunView>> {
    let page = page::page(params.limit, params.after)?;
    let filter = RunFilter {
        sync: params.sync,
        collection: params.collection,
        state: params.state,
        schedule: params.schedule,
        mode: params.mode,
        retry_of: params.retry_of,
        unfinished: params.unfinished.unwrap_or(false),
    };
    Ok(Items::from(db.runs(&filter, &page).await?).map(RunView::from))
}

/// List the runs of a sync.
#[utoipa::path(
    get, path = "/api/v1/syncs/{name}/runs", tag = "runs",
    params(("name" = Name, Path, description = "The sync"), PageParams),
    responses((status = 200, description = "Newest first", body = Items<RunView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_runs_of_sync(
    _: Viewer,
    State(db): State<Db>,
    At(name): At<Name>,
    Params(params): Params<PageParams>,
) -> Result<Items<RunView>> {
    let page = params.page()?;
    let sync = db.sync(&name).await?.name;
    let filter = RunFilter { sync: Some(sync), ..RunFilter::default() };
    Ok(Items::from(db.runs(&filter, &page).await?).map(RunView::from))
}

/// Look at a run.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "runs",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run as it stands", body = RunView)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_run(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<RunId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<RunView>> {
    Ok(Json(db.run(id).await?.into()))
}
