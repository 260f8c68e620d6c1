//! Access: tokens, secrets, and who the caller is. Values go in or out once, and are never shown again.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use syncline_domain::{
    Name,
    access::{Role, TokenRecord},
    ids::TokenId,
    secret::SecretRecord,
};
use syncline_engine::{Engine, Error};
use syncline_store::Db;
use zeroize::Zeroizing;

use crate::{
    auth::{Admin, Caller, Viewer},
    conditional::created,
    input::{At, Json, NoParams, Params},
    once,
    page::{Items, PageParams},
    problem::Result,
};

/// Who am I?
#[utoipa::path(
    get, path = "/api/v1/me", tag = "access",
    responses((status = 200, description = "The token that asks", body = Caller)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_me(caller: Viewer, Params(NoParams {}): Params<NoParams>) -> Answer<Caller> {
    Answer(caller.0)
}

/// What is needed to make a token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// Whose it is or what for; shown in events as who did it. 1 to 100 printable characters.
    name: String,
    /// What it allows.
    role: Role,
    /// When it ends; never if absent.
    expires_at: Option<Timestamp>,
}

/// A token that was made just now.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct MadeToken {
    #[serde(flatten)]
    record: TokenRecord,
    /// The token itself: shown this once, kept as a hash.
    token: String,
}

/// Make a token.
///
/// The answer holds the token, this once. No `Idempotency-Key` here: the answer is not kept.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "access",
    request_body = NewToken,
    responses((status = 201, description = "Made", body = MadeToken, headers(("Location" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn create_token(
    caller: Admin,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    Json(new): Json<NewToken>,
) -> Result<Response> {
    once::refuse_key(&headers)?;
    let (record, token) = engine.create_token(&new.name, new.role, new.expires_at, caller.actor()).await?;
    let location = format!("/api/v1/tokens/{}", record.id);
    Ok(created(&location, Answer(MadeToken { record, token })))
}

/// List tokens.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "access",
    params(PageParams),
    responses((status = 200, description = "Sorted by id: oldest first", body = Items<TokenRecord>)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn list_tokens(
    _: Admin,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<TokenRecord>> {
    let page = params.page()?;
    Ok(Items::of(db.tokens().await?, &page, |token: &TokenRecord| token.id.to_string()))
}

/// Revoke a token.
///
/// It ends at once, the streams that it opened included.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "access",
    params(("id" = TokenId, Path, description = "The token")),
    responses((status = 204, description = "Revoked")),
    security(("token" = ["admin"])),
)]
pub(crate) async fn remove_token(
    caller: Admin,
    State(engine): State<Engine>,
    At(id): At<TokenId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<StatusCode> {
    engine.remove_token(id, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The value of a secret on its way in. A mistake in it is told without repeating it.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 65536)]
pub(crate) struct Value(Zeroizing<String>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(Zeroizing::new(text))),
            _ => Err(D::Error::custom("the value of a secret must be a string")),
        }
    }
}

/// What is needed to make a secret.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    /// What settings and stores will call it.
    name: Name,
    /// Its value.
    value: Value,
    /// For people.
    #[serde(default)]
    description: String,
}

/// Make a secret.
///
/// Its value can be used afterwards, and never read back. Refused with 409 if there is one of that name.
#[utoipa::path(
    post, path = "/api/v1/secrets", tag = "access",
    request_body = NewSecret,
    responses((status = 201, description = "Made", body = SecretRecord, headers(("Location" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn create_secret(
    caller: Admin,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<NewSecret>,
) -> Result<Response> {
    if known_secret(engine.db(), &new.name).await?.is_some() {
        return Err(Error::Exists { what: "secret", name: new.name.to_string() }.into());
    }
    let value = new.value.0.as_bytes();
    let secret = engine.put_secret(&new.name, value, &new.description, caller.actor()).await?;
    Ok(created(&format!("/api/v1/secrets/{}", secret.name), Answer(secret)))
}

/// A new value for a secret.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretChange {
    /// Its value.
    value: Value,
    /// For people; as it was if absent.
    description: Option<String>,
}

/// Set a secret, be it there or not.
#[utoipa::path(
    put, path = "/api/v1/secrets/{name}", tag = "access",
    params(("name" = Name, Path, description = "The secret")),
    request_body = SecretChange,
    responses(
        (status = 200, description = "It has a new value", body = SecretRecord),
        (status = 201, description = "Made", body = SecretRecord, headers(("Location" = String))),
    ),
    security(("token" = ["admin"])),
)]
pub(crate) async fn set_secret(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    Json(change): Json<SecretChange>,
) -> Result<Response> {
    let known = known_secret(engine.db(), &name).await?;
    let is_new = known.is_none();
    let description = change.description.or(known.map(|one| one.description)).unwrap_or_default();
    let secret = engine.put_secret(&name, change.value.0.as_bytes(), &description, caller.actor()).await?;
    if is_new {
        return Ok(created(&format!("/api/v1/secrets/{name}"), Answer(secret)));
    }
    Ok(Answer(secret).into_response())
}

async fn known_secret(db: &Db, name: &Name) -> Result<Option<SecretRecord>> {
    Ok(db.secrets().await?.into_iter().find(|one| one.name == *name))
}

/// List secrets, without their values.
#[utoipa::path(
    get, path = "/api/v1/secrets", tag = "access",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<SecretRecord>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_secrets(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<SecretRecord>> {
    let page = params.page()?;
    Ok(Items::of(db.secrets().await?, &page, |secret: &SecretRecord| secret.name.to_string()))
}

/// Forget a secret.
#[utoipa::path(
    delete, path = "/api/v1/secrets/{name}", tag = "access",
    params(("name" = Name, Path, description = "The secret")),
    responses((status = 204, description = "Forgotten")),
    security(("token" = ["admin"])),
)]
pub(crate) async fn remove_secret(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<StatusCode> {
    engine.remove_secret(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
