//! Enrolment tokens: how devices get in.

use axum::{Json as Answer, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    device::enrolment::{Admits, EnrolmentToken},
    ids::EnrolmentTokenId,
};
use syncline_engine::Engine;
use syncline_store::{Db, NewEnrolmentToken};

use crate::{
    auth::Admin,
    conditional::created,
    input::{At, Json, NoParams, Params},
    once,
    page::{Items, PageParams},
    problem::Result,
};

/// What is needed to make an enrolment token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEnrolmentTokenBody {
    /// What it is for.
    name: String,
    /// Whom it lets in: `{"group": "/sales"}` or `{"device": id}`. An agent that takes no credential of its own needs one for
    /// its device alone, which stays its credential.
    admits: Admits,
    /// Whether one device uses it up. One for a device always is.
    #[serde(default)]
    single_use: bool,
    /// When it ends.
    expires_at: Timestamp,
}

/// An enrolment token that was made just now.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct MadeEnrolmentToken {
    #[serde(flatten)]
    record: EnrolmentToken,
    /// The token itself: shown this once, kept as a hash.
    token: String,
}

/// Make an enrolment token.
///
/// The answer holds the token, this once. No `Idempotency-Key` here: the answer is not kept.
#[utoipa::path(
    post, path = "/api/v1/enrolment-tokens", tag = "devices",
    request_body = NewEnrolmentTokenBody,
    responses((status = 201, description = "Made", body = MadeEnrolmentToken, headers(("Location" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn create_enrolment_token(
    caller: Admin,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    Json(body): Json<NewEnrolmentTokenBody>,
) -> Result<Response> {
    once::refuse_key(&headers)?;
    let NewEnrolmentTokenBody { name, admits, single_use, expires_at } = body;
    let new = NewEnrolmentToken { name, admits, single_use, expires_at };
    let (record, token) = engine.create_enrolment_token(new, caller.actor()).await?;
    let location = format!("/api/v1/enrolment-tokens/{}", record.id);
    Ok(created(&location, Answer(MadeEnrolmentToken { record, token })))
}

/// List enrolment tokens, those that ended included.
#[utoipa::path(
    get, path = "/api/v1/enrolment-tokens", tag = "devices",
    params(PageParams),
    responses((status = 200, description = "Sorted by id: oldest first", body = Items<EnrolmentToken>)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn list_enrolment_tokens(
    _: Admin,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<EnrolmentToken>> {
    let page = params.page()?;
    Ok(Items::of(db.enrolment_tokens().await?, &page, |token: &EnrolmentToken| token.id.to_string()))
}

/// Revoke an enrolment token.
///
/// Devices that came with it and whose own credential was not accepted yet get no further.
#[utoipa::path(
    delete, path = "/api/v1/enrolment-tokens/{id}", tag = "devices",
    params(("id" = EnrolmentTokenId, Path, description = "The token")),
    responses((status = 204, description = "Revoked")),
    security(("token" = ["admin"])),
)]
pub(crate) async fn revoke_enrolment_token(
    caller: Admin,
    State(engine): State<Engine>,
    At(id): At<EnrolmentTokenId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<StatusCode> {
    engine.revoke_enrolment_token(id, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
