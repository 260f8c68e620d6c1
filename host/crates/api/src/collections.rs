//! Collections: named parts of the library.

use axum::{extract::State, response::Response};
use http::StatusCode;
use syncline_domain::{Name, access::Role, guard::GuardLimits, place::Collection, refresh::CollectionSource};
use syncline_engine::{Engine, places::NewCollection, refresh::CollectionChange};
use syncline_store::Db;

use crate::{
    auth::{Caller, Operator, Viewer},
    conditional::{IfMatch, IfNoneMatch, Tagged, created},
    input::{At, Json, NoParams, Params},
    page::{Items, PageParams},
    problem::{Problem, Result},
    runs::{RunView, under_way},
};

/// Whom the server asks, with which secret, is for administrators to say; and held runs are theirs to approve: below them nobody
/// can have looser limits instead.
fn may_set(
    caller: &Caller,
    source: Option<&CollectionSource>,
    limits: Option<&GuardLimits>,
    present: Option<&Collection>,
) -> Result<()> {
    if caller.role >= Role::Admin {
        return Ok(());
    }
    let refuse = |detail: String| Err(Problem::new(StatusCode::FORBIDDEN, "role", detail));
    let kept = |source: &CollectionSource| present.is_some_and(|present| present.source == *source);
    if source.is_some_and(|source| matches!(source, CollectionSource::Http(_)) && !kept(source)) {
        return refuse(
            "a source on the network needs the role admin: ask an administrator to set it".to_owned(),
        );
    }
    let default = GuardLimits::default();
    let than = present.map_or(&default, |present| &present.limits);
    match limits.and_then(|limits| limits.loosens(than, GuardLimits::MAX_DELETE_PERCENT)) {
        None => Ok(()),
        Some(limit) => refuse(format!(
            "{limit} would let pass more than what is set: that needs the role admin, as approving held runs does; leave it \
             as it is, or ask an administrator"
        )),
    }
}

/// Register a part of a store as a collection.
///
/// The folder need not be there yet. A source on the network, and limits looser than the defaults, need the role admin. One that
/// the server came with, and that nobody changed or uses, gives way to a new one of its name.
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
    may_set(&caller.0, Some(&new.source), Some(&new.limits), None)?;
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

/// Change a collection.
///
/// What is absent stays. A source on the network, and looser limits, need the role admin.
#[utoipa::path(
    patch, path = "/api/v1/collections/{name}", tag = "collections",
    params(
        ("name" = Name, Path, description = "The collection"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = CollectionChange,
    responses((status = 200, description = "Changed", body = Collection, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_collection(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(change): Json<CollectionChange>,
) -> Result<Tagged<Collection>> {
    let present = engine.db().collection(&name).await?;
    let revision = known.revision("collection", &name, present.revision)?;
    may_set(&caller.0, change.source.as_ref(), change.limits.as_ref(), Some(&present))?;
    let collection = engine.change_collection(&name, change, revision, caller.actor()).await?;
    Ok(Tagged { revision: collection.revision, body: collection })
}

/// Refresh a collection from its source.
///
/// Answers at once with the run that does it: the one that is under way, if one is. Refused with 409 where the collection has no
/// source.
#[utoipa::path(
    post, path = "/api/v1/collections/{name}/refresh", tag = "collections",
    params(("name" = Name, Path, description = "The collection")),
    responses((status = 202, description = "Queued, or under way", body = RunView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn refresh_collection(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    Ok(under_way(engine.start_refresh(&name, caller.actor()).await?.run))
}

/// Forget a collection.
///
/// Its files stay. Refused with 409 while a sync uses it or a refresh is under way.
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
