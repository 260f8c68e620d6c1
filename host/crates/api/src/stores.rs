//! Stores: places with files.

use std::time::Duration;

use axum::{extract::State, response::Response};
use futures::{StreamExt, stream};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Failure, Name,
    place::{StoreRecord, StoreStatus},
};
use syncline_engine::{
    Engine,
    places::{NewStore, StoreChange},
};

use crate::{
    auth::{Admin, Viewer},
    conditional::{IfMatch, Tagged, created},
    input::{At, Json, NoParams, Params},
    page::{self, Items},
    problem::Result,
};

/// A store, and whether it can be used now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StoreView {
    #[serde(flatten)]
    store: StoreRecord,
    /// Whether it can be used now, as this node sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StoreStatus>,
}

/// Which part of the list is wanted, and how much of it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StoreParams {
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
    /// Whether each store is looked at, for its `status`. One that does not answer within two seconds is unavailable.
    #[serde(default)]
    status: bool,
}

/// Register a store.
///
/// The folder must be there; it is given a mark by which it is known again.
#[utoipa::path(
    post, path = "/api/v1/stores", tag = "stores",
    request_body = NewStore,
    responses((status = 201, description = "Registered", body = StoreRecord, headers(("Location" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn create_store(
    caller: Admin,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<NewStore>,
) -> Result<Response> {
    let store = engine.create_store(new, caller.actor()).await?;
    let location = format!("/api/v1/stores/{}", store.name);
    Ok(created(&location, Tagged { revision: store.revision, body: store }))
}

/// List stores.
#[utoipa::path(
    get, path = "/api/v1/stores", tag = "stores",
    params(StoreParams),
    responses((status = 200, description = "Sorted by name", body = Items<StoreView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_stores(
    _: Viewer,
    State(engine): State<Engine>,
    Params(params): Params<StoreParams>,
) -> Result<Items<StoreView>> {
    let page = page::page(params.limit, params.after)?;
    let stores = Items::of(engine.db().stores().await?, &page, |store: &StoreRecord| store.name.to_string());
    if !params.status {
        return Ok(stores.map(|store| StoreView { store, status: None }));
    }
    let looks = stores.items.into_iter().map(|store| looked_at(&engine, store));
    let items = stream::iter(looks).buffered(LOOKS_AT_A_TIME).collect().await;
    Ok(Items { items, next: stores.next })
}

const LOOKS_AT_A_TIME: usize = 32;
/// A share whose server is gone can keep whoever looks at it for ever: the others are shown all the same.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

async fn looked_at(engine: &Engine, store: StoreRecord) -> StoreView {
    let status = tokio::time::timeout(LONGEST_LOOK, engine.store_status(&store)).await;
    let status = status.unwrap_or_else(|_| {
        let message = format!("store {} did not answer within {} s", store.name, LONGEST_LOOK.as_secs());
        StoreStatus::Unavailable { failure: Failure::unavailable("no-answer", message) }
    });
    StoreView { store, status: Some(status) }
}

/// Look at a store, and whether it can be used now.
#[utoipa::path(
    get, path = "/api/v1/stores/{name}", tag = "stores",
    params(("name" = Name, Path, description = "The store")),
    responses((status = 200, description = "The store", body = StoreView, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_store(
    _: Viewer,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<StoreView>> {
    let store = engine.db().store(&name).await?;
    let status = Some(engine.store_status(&store).await);
    Ok(Tagged { revision: store.revision, body: StoreView { store, status } })
}

/// Change a store.
///
/// What is absent stays. To move a store, register the other folder.
#[utoipa::path(
    patch, path = "/api/v1/stores/{name}", tag = "stores",
    params(
        ("name" = Name, Path, description = "The store"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = StoreChange,
    responses((status = 200, description = "Changed", body = StoreRecord, headers(("ETag" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn change_store(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(change): Json<StoreChange>,
) -> Result<Tagged<StoreRecord>> {
    let present = engine.db().store(&name).await?.revision;
    let revision = known.revision("store", &name, present)?;
    let store = engine.change_store(&name, change, revision, caller.actor()).await?;
    Ok(Tagged { revision: store.revision, body: store })
}

/// Leave a new mark in the store's folder.
///
/// An administrator says: what stands there now is the store. For a disk that was replaced, or a folder restored from
/// a backup; never for a share that is just not mounted.
#[utoipa::path(
    post, path = "/api/v1/stores/{name}/adopt", tag = "stores",
    params(("name" = Name, Path, description = "The store")),
    responses((status = 200, description = "Adopted", body = StoreRecord)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn adopt_store(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<StoreRecord>> {
    let store = engine.adopt_store(&name, caller.actor()).await?;
    Ok(Tagged { revision: store.revision, body: store })
}

/// Forget a store.
///
/// Its files and its mark stay. Refused with 409 while a collection or a sync uses it.
#[utoipa::path(
    delete, path = "/api/v1/stores/{name}", tag = "stores",
    params(
        ("name" = Name, Path, description = "The store"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Forgotten")),
    security(("token" = ["admin"])),
)]
pub(crate) async fn remove_store(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().store(&name).await?.revision;
    known.revision("store", &name, present)?;
    engine.remove_store(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
