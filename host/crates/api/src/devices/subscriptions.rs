//! Subscriptions of users, and the codes that activate them on a device.

use axum::{Json as Answer, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{device::user::ActivationCode, ids::UserId};
use syncline_engine::Engine;
use syncline_store::Db;

use super::users::{UserView, shown};
use crate::{
    auth::{Operator, Viewer},
    conditional::created,
    input::{At, MaybeJson, NoParams, Params},
    once,
    page::{Items, PageParams},
    problem::Result,
};

/// How long something is good.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Until {
    /// When it ends. A subscription without it has no end, a code is good for a week.
    expires_at: Option<Timestamp>,
}

/// Issue a subscription to a user.
///
/// It takes the place of one that stands. What was activated stays so.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/subscription", tag = "devices",
    params(("id" = UserId, Path, description = "The user")),
    request_body = Option<Until>,
    responses((status = 201, description = "Issued", body = UserView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn issue_subscription(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<UserId>,
    Params(NoParams {}): Params<NoParams>,
    MaybeJson(until): MaybeJson<Until>,
) -> Result<Response> {
    let user = engine.issue_subscription(id, until.expires_at, caller.actor()).await?;
    Ok(created(&format!("/api/v1/users/{id}"), shown(&engine, user).await?))
}

/// Revoke the subscription of a user.
///
/// The activation and all codes end with it, and the device is told that the user is gone.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/subscription", tag = "devices",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 204, description = "Revoked")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn revoke_subscription(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<UserId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<StatusCode> {
    engine.revoke_subscription(id, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An activation code that was made just now.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct MadeActivationCode {
    #[serde(flatten)]
    record: ActivationCode,
    /// The code itself, for `syncline-agent activate`: shown this once, kept as a hash.
    code: String,
}

/// Make an activation code for a user with a subscription.
///
/// It activates the user on the device where it is typed in, and has one use; codes from before that nobody used are over. The
/// answer holds the code, this once. No `Idempotency-Key` here: the answer is not kept.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/activation-codes", tag = "devices",
    params(("id" = UserId, Path, description = "The user")),
    request_body = Option<Until>,
    responses((status = 201, description = "Made", body = MadeActivationCode, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_activation_code(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<UserId>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    MaybeJson(until): MaybeJson<Until>,
) -> Result<Response> {
    once::refuse_key(&headers)?;
    let (record, code) = engine.create_activation_code(id, until.expires_at, caller.actor()).await?;
    let location = format!("/api/v1/users/{id}/activation-codes");
    Ok(created(&location, Answer(MadeActivationCode { record, code })))
}

/// List the activation codes of a user, without their text.
#[utoipa::path(
    get, path = "/api/v1/users/{id}/activation-codes", tag = "devices",
    params(("id" = UserId, Path, description = "The user"), PageParams),
    responses((status = 200, description = "Sorted by id: oldest first", body = Items<ActivationCode>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_activation_codes(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<UserId>,
    Params(params): Params<PageParams>,
) -> Result<Items<ActivationCode>> {
    let page = params.page()?;
    db.user(id).await?;
    Ok(Items::of(db.activation_codes(id).await?, &page, |code: &ActivationCode| code.id.to_string()))
}
