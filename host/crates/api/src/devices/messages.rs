//! Messages between the server and devices.

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use syncline_domain::{
    device::message::{Direction, Message, MessageOutcome},
    ids::{DeviceId, MessageId},
};
use syncline_engine::{Engine, devices::messages::NewNotice};
use syncline_store::Db;

use crate::{
    auth::{Admin, Viewer},
    input::{At, AtBoth, Json, NoParams, Params},
    page::{self, Items},
    problem::Result,
};

/// Which messages are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageParams {
    /// Of this direction.
    direction: Option<Direction>,
    /// With this outcome.
    outcome: Option<MessageOutcome>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List the messages between the server and a device, both ways.
#[utoipa::path(
    get, path = "/api/v1/devices/{id}/messages", tag = "devices",
    params(("id" = DeviceId, Path, description = "The device"), MessageParams),
    responses((status = 200, description = "Newest first", body = Items<Message>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_messages(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<DeviceId>,
    Params(params): Params<MessageParams>,
) -> Result<Items<Message>> {
    db.device(id).await?;
    let page = page::page(params.limit, params.after)?;
    Ok(db.messages(id, params.direction, params.outcome, &page).await?.into())
}

/// Look at a message between the server and a device.
#[utoipa::path(
    get, path = "/api/v1/devices/{id}/messages/{message}", tag = "devices",
    params(
        ("id" = DeviceId, Path, description = "The device"),
        ("message" = MessageId, Path, description = "The message"),
    ),
    responses((status = 200, description = "The message", body = Message)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_message(
    _: Viewer,
    State(db): State<Db>,
    AtBoth(id, message): AtBoth<DeviceId, MessageId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<Message>> {
    Ok(Answer(db.message(id, message).await?))
}

/// A message that was sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Sent {
    /// For how many devices it was left.
    devices: u64,
}

/// Send a message to the people at a device.
///
/// It is kept until the device has it or its time is over.
#[utoipa::path(
    post, path = "/api/v1/devices/{id}/messages", tag = "devices",
    params(("id" = DeviceId, Path, description = "The device")),
    request_body = NewNotice,
    responses((status = 200, description = "Left for the device", body = Sent)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn send_message(
    caller: Admin,
    State(engine): State<Engine>,
    At(id): At<DeviceId>,
    Params(NoParams {}): Params<NoParams>,
    Json(notice): Json<NewNotice>,
) -> Result<Answer<Sent>> {
    engine.db().device(id).await?;
    let devices = engine.send_notice(&[id], &notice, caller.actor()).await?;
    Ok(Answer(Sent { devices }))
}
