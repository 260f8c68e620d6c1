//! Syncs: plugins with settings, sources and targets. Their runs are in `runs/`.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use syncline_domain::{
    Name,
    access::Role,
    directory::import::MAX_DELETE_PERCENT,
    guard::GuardLimits,
    sync::{Sync, SyncSpec},
};
use syncline_engine::Engine;
use syncline_store::Db;

use crate::{
    auth::{Caller, Operator, Viewer},
    conditional::{IfMatch, IfNoneMatch, Tagged, created},
    input::{At, Beside, Edited, Json, NoParams, Params, Shown, With},
    page::{Items, PageParams},
    problem::{Problem, Result},
};

/// What something new is called.
#[derive(Debug, Deserialize)]
pub(crate) struct NewName {
    pub name: Name,
}

impl Beside for NewName {
    const FIELDS: &'static [&'static str] = &["name"];
}

/// What is needed to make a sync, for the document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is used; bodies are read as `With<NewName, SyncSpec>`")]
pub(crate) struct NewSync {
    /// What operators will call it.
    name: Name,
    #[schema(inline)]
    #[serde(flatten)]
    spec: SyncSpec,
}

/// What GET shows of a sync and PUT does not set.
pub(crate) struct SyncShown;

impl Shown for SyncShown {
    const FIELDS: &'static [&'static str] = &["name", "made_by", "created_at", "updated_at", "revision"];
}

/// Held runs are for administrators to approve: below them nobody can have looser limits instead.
async fn may_limit(
    caller: &Caller,
    engine: &Engine,
    wanted: &SyncSpec,
    present: Option<&SyncSpec>,
) -> Result<()> {
    if caller.role >= Role::Admin {
        return Ok(());
    }
    let of_directory = engine.reads_directories(wanted).await?;
    let unset_percent = if of_directory { MAX_DELETE_PERCENT } else { GuardLimits::MAX_DELETE_PERCENT };
    let default = GuardLimits::default();
    let set = present.map(|spec| (&spec.limits, "the limit that is set"));
    // What was set for files says nothing of a directory, and the other way round.
    let same_kind = present.is_some_and(|spec| spec.directory.is_some() == of_directory);
    let mut bounds = set.into_iter().chain((!same_kind).then_some((&default, "the default")));
    let loosened =
        bounds.find_map(|(than, as_what)| Some((wanted.limits.loosens(than, unset_percent)?, as_what)));
    let Some((limit, as_what)) = loosened else { return Ok(()) };
    let detail = format!(
        "{limit} would let pass more than {as_what}: that needs the role admin, as approving held runs does; leave it as it \
         is, or ask an administrator"
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "role", detail))
}

/// Make a sync.
///
/// Limits looser than the defaults need the role admin.
#[utoipa::path(
    post, path = "/api/v1/syncs", tag = "syncs",
    request_body = NewSync,
    responses((status = 201, description = "Made", body = Sync, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_sync(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<With<NewName, SyncSpec>>,
) -> Result<Response> {
    may_limit(&caller.0, &engine, &new.rest, None).await?;
    let sync = engine.create_sync(new.beside.name, new.rest, caller.actor()).await?;
    let location = format!("/api/v1/syncs/{}", sync.name);
    Ok(created(&location, Tagged { revision: sync.revision, body: sync }))
}

/// List syncs.
#[utoipa::path(
    get, path = "/api/v1/syncs", tag = "syncs",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<Sync>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_syncs(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<Sync>> {
    let page = params.page()?;
    Ok(Items::of(db.syncs().await?, &page, |sync: &Sync| sync.name.to_string()))
}

/// Look at a sync.
#[utoipa::path(
    get, path = "/api/v1/syncs/{name}", tag = "syncs",
    params(
        ("name" = Name, Path, description = "The sync"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what the caller has"),
    ),
    responses(
        (status = 200, description = "The sync", body = Sync, headers(("ETag" = String))),
        (status = 304, description = "It is as the caller has it"),
    ),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_sync(
    _: Viewer,
    State(db): State<Db>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfNoneMatch,
) -> Result<Response> {
    let sync = db.sync(&name).await?;
    Ok(Tagged { revision: sync.revision, body: sync }.unless(&known))
}

/// Change a sync.
///
/// All of what can be set, in place of what was; a field that is absent gets its default. What GET answered can be sent
/// back with changes: `name`, times and `revision` in it are ignored. A run under way goes on as it began. Limits looser
/// than those that are set need the role admin.
#[utoipa::path(
    put, path = "/api/v1/syncs/{name}", tag = "syncs",
    params(
        ("name" = Name, Path, description = "The sync"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = SyncSpec,
    responses((status = 200, description = "Changed", body = Sync, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_sync(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(edited): Json<Edited<SyncShown, SyncSpec>>,
) -> Result<Tagged<Sync>> {
    let present = engine.db().sync(&name).await?;
    let mut revision = known.revision("sync", &name, present.revision)?;
    may_limit(&caller.0, &engine, &edited.spec, Some(&present.spec)).await?;
    if caller.0.role < Role::Admin {
        // Limits that were tightened since are not loosened by what was compared with those before.
        revision = Some(present.revision);
    }
    let sync = engine.change_sync(&name, edited.spec, revision, caller.actor()).await?;
    Ok(Tagged { revision: sync.revision, body: sync })
}

/// Remove a sync.
///
/// What it put on its targets stays. Refused with 409 while a schedule or an unfinished run needs it.
#[utoipa::path(
    delete, path = "/api/v1/syncs/{name}", tag = "syncs",
    params(
        ("name" = Name, Path, description = "The sync"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Removed")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_sync(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().sync(&name).await?.revision;
    known.revision("sync", &name, present)?;
    engine.remove_sync(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Throw a sync's cursor away.
///
/// The plugin is given none at the next run and reads everything anew.
#[utoipa::path(
    delete, path = "/api/v1/syncs/{name}/cursor", tag = "syncs",
    params(("name" = Name, Path, description = "The sync")),
    responses((status = 204, description = "Thrown away, or there was none")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn clear_cursor(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<StatusCode> {
    engine.clear_cursor(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
