//! Running schedules at once.

use axum::{Json as Answer, extract::State, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Name,
    ids::{OperationId, RunId, ScheduleId},
    run::{Counts, RunState},
    schedule::{Refusal, RunNow, RunNowEntry},
};
use syncline_engine::Engine;

use crate::{
    auth::{Operator, Viewer},
    conditional::accepted,
    input::{At, Json, NoParams, Params},
    problem::Result,
};

/// Which schedules are to run.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunNowBody {
    /// Their ids, 1 to 1,000.
    ids: Vec<ScheduleId>,
}

/// Schedules that were asked to run at once, and how far they are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ScheduleOperation {
    /// Id.
    id: OperationId,
    /// Whether each run has ended, is held, or was not begun.
    done: bool,
    /// Who asked.
    actor: String,
    /// When.
    created_at: Timestamp,
    /// Each schedule.
    entries: Vec<EntryView>,
}

/// What became of one schedule.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct EntryView {
    /// The schedule.
    schedule: ScheduleId,
    /// Its sync; null if there is no such schedule.
    sync: Option<Name>,
    /// The run; null if none was begun.
    run: Option<RunId>,
    /// Where that run stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<RunState>,
    /// Why it waits, or is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What it did so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
    /// Why no run was begun, with the status of the same call for this schedule alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
}

async fn view(operation: RunNow, engine: &Engine) -> Result<ScheduleOperation> {
    let RunNow { id, actor, created_at, entries: asked } = operation;
    let (mut entries, mut done) = (Vec::with_capacity(asked.len()), true);
    for RunNowEntry { schedule, sync, run, refusal } in asked {
        let mut entry = EntryView { schedule, sync, run, state: None, reason: None, counts: None, refusal };
        if let Some(run) = run {
            let run = engine.db().run(run).await?;
            done &= run.state.is_final() || run.state == RunState::Held;
            (entry.state, entry.reason, entry.counts) = (Some(run.state), run.reason, Some(run.counts));
        }
        entries.push(entry);
    }
    Ok(ScheduleOperation { id, done, actor, created_at, entries })
}

async fn begun(operation: RunNow, engine: &Engine) -> Result<Response> {
    let location = format!("/api/v1/schedule-operations/{}", operation.id);
    Ok(accepted(&location, Answer(view(operation, engine).await?)))
}

/// Run schedules at once.
///
/// In the background, and without changing their own times. What cannot be run is told entry by entry: that of another node
/// (403), one whose server is a download source (409), one that is not there (404).
#[utoipa::path(
    post, path = "/api/v1/schedules/run", tag = "schedules",
    request_body = RunNowBody,
    responses((status = 202, description = "Begun", body = ScheduleOperation, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn run_schedules(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(body): Json<RunNowBody>,
) -> Result<Response> {
    begun(engine.run_schedules_now(&body.ids, caller.actor()).await?, &engine).await
}

/// Run a schedule at once.
///
/// One of another node is refused with 403.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/run", tag = "schedules",
    params(("id" = ScheduleId, Path, description = "The schedule")),
    responses((status = 202, description = "Begun", body = ScheduleOperation, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn run_schedule(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<ScheduleId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    begun(engine.run_schedule_now(id, caller.actor()).await?, &engine).await
}

/// Look at schedules that were asked to run at once.
#[utoipa::path(
    get, path = "/api/v1/schedule-operations/{id}", tag = "schedules",
    params(("id" = OperationId, Path, description = "The operation")),
    responses((status = 200, description = "How far they are", body = ScheduleOperation)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_schedule_operation(
    _: Viewer,
    State(engine): State<Engine>,
    At(id): At<OperationId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<ScheduleOperation>> {
    Ok(Answer(view(engine.db().ran_now(id).await?, &engine).await?))
}
