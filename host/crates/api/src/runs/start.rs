//! Starting runs, and trying again what failed.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use syncline_domain::{Name, ids::RunId, run::RunMode};
use syncline_engine::{Engine, runs::StartRun};

use super::under_way;
use crate::{
    auth::Operator,
    input::{At, MaybeJson, NoParams, Params},
    problem::Result,
};

/// How a run is started.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NewRunBody {
    /// Whether it changes anything.
    mode: RunMode,
    /// Whether the plugin is given no cursor, so that it reads everything.
    anew: bool,
}

/// Start a run of a sync.
///
/// Answers at once; the run waits for a node and for its locks. Without a body: a run that changes what differs.
#[utoipa::path(
    post, path = "/api/v1/syncs/{name}/runs", tag = "runs",
    params(("name" = Name, Path, description = "The sync")),
    request_body = Option<NewRunBody>,
    responses((status = 202, description = "Queued", body = super::RunView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn start_run(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    MaybeJson(body): MaybeJson<NewRunBody>,
) -> Result<Response> {
    let start = StartRun { mode: body.mode, anew: body.anew };
    let run = engine.start_run(&name, start, caller.actor()).await?;
    Ok(under_way(run))
}

/// Try again what failed in a run.
///
/// A new run that does only what failed or was not reached in this one.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/retry", tag = "runs",
    params(("id" = RunId, Path, description = "The run that ended")),
    responses((status = 202, description = "Queued", body = super::RunView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn retry_run(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<RunId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    Ok(under_way(engine.retry_run(id, caller.actor()).await?))
}
