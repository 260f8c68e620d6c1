//! Tasks: named actions that devices have configured, run at most once on each.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::Deserialize;
use syncline_domain::{
    Name,
    device::{
        operation::SyncScope,
        task::{DeviceTask, Task, TaskState},
    },
    ids::TaskId,
};
use syncline_engine::Engine;
use syncline_store::Db;

use crate::{
    auth::{Operator, Viewer},
    conditional::created,
    input::{At, Beside, Json, NoParams, Params, With},
    page::{self, Items, PageParams},
    problem::Result,
};

/// What is to be done, beside for whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct What {
    action: Name,
    #[serde(default)]
    parameters: serde_json::Value,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

impl Beside for What {
    const FIELDS: &'static [&'static str] = &["action", "parameters", "expires_at"];
}

/// What is needed to make a task, for the document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is used; bodies are read as `With<What, SyncScope>`")]
pub(crate) struct NewTaskBody {
    /// The action, as the devices have configured it. The server can choose no command.
    action: Name,
    /// What the action is given: any JSON, on the input of its command.
    #[schema(value_type = Option<Object>)]
    parameters: serde_json::Value,
    /// Devices that have not begun by then do not run it.
    expires_at: Option<Timestamp>,
    #[serde(flatten)]
    scope: SyncScope,
}

/// Have an action run on devices: `"devices": [id, …]`, `"group": "/sales"` or `"selection": "laptops"`, once on each.
///
/// Connected devices are woken, others run it at their next contact. Where it cannot be run, it has failed at once.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "devices",
    request_body = NewTaskBody,
    responses((status = 201, description = "Made", body = Task, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_task(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<With<What, SyncScope>>,
) -> Result<Response> {
    let What { action, parameters, expires_at } = new.beside;
    let task = engine.create_task(&action, parameters, expires_at, &new.rest, caller.actor()).await?;
    Ok(created(&format!("/api/v1/tasks/{}", task.id), axum::Json(task)))
}

/// List tasks.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "devices",
    params(PageParams),
    responses((status = 200, description = "Newest first", body = Items<Task>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_tasks(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<Task>> {
    Ok(db.tasks(&params.page()?).await?.into())
}

/// Look at a task, and at how many devices stand where.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "devices",
    params(("id" = TaskId, Path, description = "The task")),
    responses((status = 200, description = "The task", body = Task)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_task(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<TaskId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<axum::Json<Task>> {
    Ok(axum::Json(db.task(id).await?))
}

/// Which devices of a task are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TaskDeviceParams {
    /// Where it is so far.
    state: Option<TaskState>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List the devices of a task, each with how far it is and what came out.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/devices", tag = "devices",
    params(("id" = TaskId, Path, description = "The task"), TaskDeviceParams),
    responses((status = 200, description = "Sorted by id", body = Items<DeviceTask>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_task_devices(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<TaskId>,
    Params(params): Params<TaskDeviceParams>,
) -> Result<Items<DeviceTask>> {
    db.task(id).await?;
    let page = page::page(params.limit, params.after)?;
    Ok(db.task_devices(id, params.state, &page).await?.into())
}
