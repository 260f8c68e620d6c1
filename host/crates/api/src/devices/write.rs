//! Devices made known, changed, taken out; and what failed on them tried again.

use axum::{Json as Answer, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use syncline_domain::{device::GroupPath, ids::DeviceId};
use syncline_engine::Engine;

use super::read::{DeviceParams, DeviceView, view};
use crate::{
    auth::{Admin, Operator},
    conditional::{IfMatch, Tagged, created},
    input::{At, Json, MaybeJson, NoParams, Params},
    problem::Result,
};

async fn shown(engine: &Engine, id: DeviceId) -> Result<Tagged<DeviceView>> {
    let device = engine.db().device(id).await?;
    Ok(Tagged { revision: device.revision, body: view(engine, device).await? })
}

/// What is needed to make a device known.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDevice {
    /// What to call it.
    name: String,
    /// Where it sits.
    #[serde(default = "GroupPath::root")]
    group: GroupPath,
}

/// Make a device known before it ever comes.
///
/// It gets in with an enrolment token for it alone.
#[utoipa::path(
    post, path = "/api/v1/devices", tag = "devices",
    request_body = NewDevice,
    responses((status = 201, description = "Registered", body = DeviceView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn register_device(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<NewDevice>,
) -> Result<Response> {
    let device = engine.register_device(&new.name, &new.group, caller.actor()).await?;
    let location = format!("/api/v1/devices/{}", device.id);
    Ok(created(&location, shown(&engine, device.id).await?))
}

/// What is to change of a device. What is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceChange {
    /// What to call it.
    name: Option<String>,
    /// Where it sits.
    group: Option<GroupPath>,
}

/// Rename a device, or put it into another group.
///
/// What it should hold by that is published.
#[utoipa::path(
    patch, path = "/api/v1/devices/{id}", tag = "devices",
    params(
        ("id" = DeviceId, Path, description = "The device"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = DeviceChange,
    responses((status = 200, description = "Changed", body = DeviceView, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_device(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<DeviceId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(body): Json<DeviceChange>,
) -> Result<Tagged<DeviceView>> {
    let present = engine.db().device(id).await?.revision;
    let revision = known.revision("device", id, present)?;
    engine.change_device(id, body.name, body.group, revision, caller.actor()).await?;
    shown(&engine, id).await
}

/// Why a device is taken out.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decommission {
    /// For those who look for it.
    reason: String,
}

/// Take a device out of management.
///
/// Its credentials, and the tokens that were made for it, are revoked. It stays in the list.
#[utoipa::path(
    post, path = "/api/v1/devices/{id}/decommission", tag = "devices",
    params(("id" = DeviceId, Path, description = "The device")),
    request_body = Decommission,
    responses((status = 200, description = "Taken out", body = DeviceView)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn decommission_device(
    caller: Admin,
    State(engine): State<Engine>,
    At(id): At<DeviceId>,
    Params(NoParams {}): Params<NoParams>,
    Json(body): Json<Decommission>,
) -> Result<Tagged<DeviceView>> {
    engine.decommission_device(id, &body.reason, caller.actor()).await?;
    shown(&engine, id).await
}

/// What was tried again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Retried {
    /// Deliveries that wait again.
    deliveries: u64,
}

/// Try again what failed.
///
/// The body is a filter as that of the list; `limit` and `after` mean nothing in it.
#[utoipa::path(
    post, path = "/api/v1/devices/retry", tag = "devices",
    request_body = Option<DeviceParams>,
    responses((status = 200, description = "Tried again", body = Retried)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn retry_deliveries(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    MaybeJson(body): MaybeJson<DeviceParams>,
) -> Result<Answer<Retried>> {
    let (filter, _) = body.split()?;
    let application = filter.application.clone();
    let deliveries = engine.retry_deliveries(&filter, application.as_ref(), caller.actor()).await?;
    Ok(Answer(Retried { deliveries }))
}
