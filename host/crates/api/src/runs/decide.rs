//! Deciding on runs: approve, reject, cancel.

use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use syncline_domain::ids::RunId;
use syncline_engine::Engine;

use super::{RunView, under_way};
use crate::{
    auth::{Admin, Operator},
    input::{At, MaybeJson, NoParams, Params},
    problem::{Problem, Result},
};

/// Let a held run go on.
///
/// The difference is taken anew, and held again if it has grown by then.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/approve", tag = "runs",
    params(("id" = RunId, Path, description = "The held run")),
    responses((status = 202, description = "Queued", body = RunView, headers(("Location" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn approve_run(
    caller: Admin,
    State(engine): State<Engine>,
    At(id): At<RunId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    Ok(under_way(engine.approve_run(id, caller.actor()).await?))
}

/// Why a held run is rejected.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rejection {
    /// For those who look at the run later; at most 1,000 characters.
    reason: Option<String>,
}

/// End a held run.
///
/// Nothing of its difference is done.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/reject", tag = "runs",
    params(("id" = RunId, Path, description = "The held run")),
    request_body = Option<Rejection>,
    responses((status = 200, description = "Cancelled", body = RunView)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn reject_run(
    caller: Admin,
    State(engine): State<Engine>,
    At(id): At<RunId>,
    Params(NoParams {}): Params<NoParams>,
    MaybeJson(body): MaybeJson<Rejection>,
) -> Result<Json<RunView>> {
    if let Some(reason) = &body.reason {
        check_reason(reason)?;
    }
    Ok(Json(engine.reject_run(id, body.reason.as_deref(), caller.actor()).await?.into()))
}

/// A reason is one sentence that somebody reads in a list.
pub(crate) fn check_reason(reason: &str) -> Result<()> {
    const MOST: usize = 1_000;
    let count = reason.chars().count();
    if (1..=MOST).contains(&count) && !reason.contains(char::is_control) {
        return Ok(());
    }
    let detail = format!(
        "a reason of {count} characters: use 1 to {MOST}, without line breaks and control characters"
    );
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason", detail))
}

/// End a run.
///
/// At once while it waits, at a safe point while it is under way: look at it again for its final state.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "runs",
    params(("id" = RunId, Path, description = "The run")),
    responses(
        (status = 202, description = "Cancelled, or on its way to it", body = RunView, headers(("Location" = String))),
    ),
    security(("token" = ["operator"])),
)]
pub(crate) async fn cancel_run(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<RunId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    Ok(under_way(engine.cancel_run(id, caller.actor()).await?))
}
