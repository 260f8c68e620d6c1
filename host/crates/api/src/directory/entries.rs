//! Directory entries: what was read, and what people decide about it.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;
use syncline_domain::{
    Name,
    directory::{EntryKind, EntryRecord, LinkState, RejectionRecord},
    ids::{DirectoryEntryId, UserId},
};
use syncline_engine::{Engine, directory::entries::Decision};
use syncline_store::{Db, EntryFilter};

use crate::{
    auth::{Operator, Viewer},
    conditional::Tagged,
    input::{At, MaybeJson, NoParams, Params},
    page::{self, Items, PageParams},
    problem::Result,
};

/// Which entries are wanted: those for which all that is set holds.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EntryParams {
    /// In this state.
    state: Option<LinkState>,
    /// Of this kind.
    kind: Option<EntryKind>,
    /// Read by this sync.
    sync: Option<Name>,
    /// Read by a sync of this source.
    source: Option<Name>,
    /// Whether a person has to decide about it.
    held: Option<bool>,
    /// Whose user this is.
    user: Option<UserId>,
    /// With this text in its name or e-mail, in any case, or known by it in the directory.
    q: Option<String>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List directory entries.
#[utoipa::path(
    get, path = "/api/v1/directory-entries", tag = "directories",
    params(EntryParams),
    responses((status = 200, description = "In the order in which they were first read", body = Items<EntryRecord>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_directory_entries(
    _: Viewer,
    State(engine): State<Engine>,
    Params(params): Params<EntryParams>,
) -> Result<Items<EntryRecord>> {
    let EntryParams { state, kind, sync, source, held, user, q, limit, after } = params;
    let page = page::page(limit, after)?;
    let mut syncs = sync.map(|sync| vec![sync]);
    if let Some(source) = source {
        let mut of_source = engine.syncs_of_source(&source).await?;
        if let Some(syncs) = syncs {
            of_source.retain(|sync| syncs.contains(sync));
        }
        syncs = Some(of_source);
    }
    let filter = EntryFilter { state, kind, syncs, user, held, text: q };
    Ok(engine.db().directory_entries(&filter, &page).await?.into())
}

/// Look at a directory entry.
#[utoipa::path(
    get, path = "/api/v1/directory-entries/{id}", tag = "directories",
    params(("id" = DirectoryEntryId, Path, description = "The entry")),
    responses((status = 200, description = "The entry", body = EntryRecord, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_directory_entry(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<DirectoryEntryId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<EntryRecord>> {
    let entry = db.directory_entry(id).await?;
    Ok(Tagged { revision: entry.revision, body: entry })
}

/// Whom to link an entry to.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkBody {
    /// A user that is there; a new one if absent.
    user: Option<UserId>,
}

/// Link a person of a directory to a user.
///
/// The user is kept as the entry is from then on.
#[utoipa::path(
    post, path = "/api/v1/directory-entries/{id}/link", tag = "directories",
    params(("id" = DirectoryEntryId, Path, description = "The entry")),
    request_body = Option<LinkBody>,
    responses((status = 200, description = "As it is now", body = EntryRecord)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn link_directory_entry(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<DirectoryEntryId>,
    Params(NoParams {}): Params<NoParams>,
    MaybeJson(body): MaybeJson<LinkBody>,
) -> Result<Response> {
    decide(&engine, id, Decision::Link(body.user), caller.actor()).await
}

/// Let the user of an entry go.
///
/// It stays as it is, and no run links the entry again by itself. One that was gone in the directory is forgotten.
#[utoipa::path(
    post, path = "/api/v1/directory-entries/{id}/unlink", tag = "directories",
    params(("id" = DirectoryEntryId, Path, description = "The entry")),
    responses(
        (status = 200, description = "As it is now", body = EntryRecord),
        (status = 204, description = "Nothing is known of it any more"),
    ),
    security(("token" = ["operator"])),
)]
pub(crate) async fn unlink_directory_entry(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<DirectoryEntryId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    decide(&engine, id, Decision::Unlink, caller.actor()).await
}

/// Ignore an entry.
///
/// It is not imported again until it is un-ignored; its user is let go.
#[utoipa::path(
    post, path = "/api/v1/directory-entries/{id}/ignore", tag = "directories",
    params(("id" = DirectoryEntryId, Path, description = "The entry")),
    responses((status = 200, description = "As it is now", body = EntryRecord)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn ignore_directory_entry(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<DirectoryEntryId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    decide(&engine, id, Decision::Ignore, caller.actor()).await
}

/// Take an entry back that was ignored.
///
/// It is unlinked; the next run links it where imports are automatic.
#[utoipa::path(
    post, path = "/api/v1/directory-entries/{id}/unignore", tag = "directories",
    params(("id" = DirectoryEntryId, Path, description = "The entry")),
    responses((status = 200, description = "As it is now", body = EntryRecord)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn unignore_directory_entry(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<DirectoryEntryId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    decide(&engine, id, Decision::Unignore, caller.actor()).await
}

/// Delete an entry here, with its user.
///
/// One that is still in the directory is ignored from then on; an orphan is forgotten.
#[utoipa::path(
    delete, path = "/api/v1/directory-entries/{id}", tag = "directories",
    params(("id" = DirectoryEntryId, Path, description = "The entry")),
    responses(
        (status = 200, description = "Ignored from now on", body = EntryRecord),
        (status = 204, description = "Forgotten"),
    ),
    security(("token" = ["operator"])),
)]
pub(crate) async fn delete_directory_entry(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<DirectoryEntryId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response> {
    decide(&engine, id, Decision::Delete, caller.actor()).await
}

async fn decide(engine: &Engine, id: DirectoryEntryId, decision: Decision, actor: &str) -> Result<Response> {
    Ok(match engine.decide_directory_entry(id, decision, actor).await? {
        Some(entry) => Answer(entry).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// List what a sync read of a directory and could not take over.
///
/// It is tried again in every run, until it can be taken over or is gone.
#[utoipa::path(
    get, path = "/api/v1/syncs/{name}/rejections", tag = "directories",
    params(("name" = Name, Path, description = "The sync"), PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<RejectionRecord>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_rejections(
    _: Viewer,
    State(db): State<Db>,
    At(name): At<Name>,
    Params(params): Params<PageParams>,
) -> Result<Items<RejectionRecord>> {
    let page = params.page()?;
    db.sync(&name).await?;
    let key = |one: &RejectionRecord| {
        format!("{} {}", one.name, one.entry.as_ref().map_or("", |entry| entry.as_str()))
    };
    Ok(Items::of(db.directory_rejections(&name).await?, &page, key))
}
