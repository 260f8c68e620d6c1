//! Forced synchronisation: of the server, of devices, of one device.

use axum::{Json as Answer, extract::State, response::Response};
use serde::Deserialize;
use syncline_domain::{
    device::operation::{SyncOperation, SyncOutcome, SyncScope, SyncedDevice},
    ids::{DeviceId, SyncOperationId},
};
use syncline_engine::Engine;
use syncline_store::Db;

use crate::{
    auth::{Operator, Viewer},
    conditional::accepted,
    input::{At, Json, NoParams, Params},
    page::{self, Items},
    problem::{Problem, Result},
};

async fn begin(engine: &Engine, scope: SyncScope, actor: &str) -> Result<Response> {
    let operation = engine.force_sync(scope, actor).await?;
    Ok(accepted(&format!("/api/v1/sync-operations/{}", operation.id), Answer(operation)))
}

/// Synchronise the server now: resolve everything again, publish what is staged, look for what is overdue.
///
/// A repeat while one is under way gives that one.
#[utoipa::path(
    post, path = "/api/v1/server/sync", tag = "devices",
    responses((status = 202, description = "Begun", body = SyncOperation, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn sync_server(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    begin(&engine, SyncScope::Server, caller.actor()).await
}

/// Synchronise devices now: `{"devices": [id, …]}`, `{"group": "/sales"}` or `{"selection": "laptops"}`.
///
/// Connected devices are woken, others synchronise at their next contact. A repeat while one of the same scope is under way
/// gives that one.
#[utoipa::path(
    post, path = "/api/v1/devices/sync", tag = "devices",
    request_body = SyncScope,
    responses((status = 202, description = "Begun", body = SyncOperation, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn sync_devices(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(scope): Json<SyncScope>,
) -> Result<Response> {
    if scope == SyncScope::Server {
        let detail = "body: the server is synchronised by POST /api/v1/server/sync: name devices, a group or a selection";
        return Err(Problem::new(http::StatusCode::UNPROCESSABLE_ENTITY, "body", detail));
    }
    begin(&engine, scope, caller.actor()).await
}

/// Synchronise a device now.
#[utoipa::path(
    post, path = "/api/v1/devices/{id}/sync", tag = "devices",
    params(("id" = DeviceId, Path, description = "The device")),
    responses((status = 202, description = "Begun", body = SyncOperation, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn sync_device(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<DeviceId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    begin(&engine, SyncScope::Devices(vec![id]), caller.actor()).await
}

/// Look at a forced synchronisation.
#[utoipa::path(
    get, path = "/api/v1/sync-operations/{id}", tag = "devices",
    params(("id" = SyncOperationId, Path, description = "The synchronisation")),
    responses((status = 200, description = "How far it is", body = SyncOperation)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_sync_operation(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<SyncOperationId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<SyncOperation>> {
    Ok(Answer(db.sync_operation(id).await?))
}

/// Which devices of a synchronisation are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SyncedParams {
    /// With this outcome.
    outcome: Option<SyncOutcome>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List the devices of a forced synchronisation, each with what became of it.
#[utoipa::path(
    get, path = "/api/v1/sync-operations/{id}/devices", tag = "devices",
    params(("id" = SyncOperationId, Path, description = "The synchronisation"), SyncedParams),
    responses((status = 200, description = "Sorted by id", body = Items<SyncedDevice>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_synced_devices(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<SyncOperationId>,
    Params(params): Params<SyncedParams>,
) -> Result<Items<SyncedDevice>> {
    db.sync_operation(id).await?;
    let page = page::page(params.limit, params.after)?;
    Ok(db.synced_devices(id, params.outcome, &page).await?.into())
}
