//! Collections: named parts of the library.

use axum::{extract::State, response::Response};
use http::StatusCode;
use syncline_domain::{Name, place::Collection};
use syncline_engine::{Engine, places::NewCollection};
use syncline_store::Db;

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, IfNoneMatch, Tagged, created},
    input::{At, Json, NoParams, Params},
    page::{Items, PageParams},
    problem::Result,
};

/// Register a part of a store as a collection.
///
/// The folder need not be there yet.
#[utoipa::path(
    post, path = "/api/v1/collections", tag = "collections",
    request_body = NewCollection,
    responses((status = 201, description = "Registered", body = Collection, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_collection(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<NewCollection>,
) -> Result<Response> {
    let collection = engine.create_collection(new, caller.actor()).await?;
    let location = format!("/api/v1/collections/{}", collection.name);
    Ok(created(&location, Tagged { revision: collection.revision, body: collection }))
}

/// List collections.
#[utoipa::path(
    get, path = "/api/v1/collections", tag = "collections",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<Collection>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_collections(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<Collection>> {
    let page = params.page()?;
    Ok(Items::of(db.collections().await?, &page, |one: &Collection| one.name.to_string()))
}

/// Look at a collection.
#[utoipa::path(
    get, path = "/api/v1/collections/{name}", tag = "collections",
    params(
        ("name" = Name, Path, description = "The collection"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what the caller has"),
    ),
    responses(
        (status = 200, description = "The collection", body = Collection, headers(("ETag" = String))),
        (status = 304, description = "It is as the caller has it"),
    ),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_collection(
    _: Viewer,
    State(db): State<Db>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfNoneMatch,
) -> Result<Response> {
    let collection = db.collection(&name).await?;
    Ok(Tagged { revision: collection.revision, body: collection }.unless(&known))
}

/// Forget a collection.
///
/// Its files stay. Refused with 409 while a sync uses it.
#[utoipa::path(
    delete, path = "/api/v1/collections/{name}", tag = "collections",
    params(
        ("name" = Name, Path, description = "The collection"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Forgotten")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_collection(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().collection(&name).await?.revision;
    known.revision("collection", &name, present)?;
    engine.remove_collection(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
