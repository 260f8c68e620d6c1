//! Directory sources: servers that people, groups, computers and units are read from.

use axum::{Json as Answer, extract::State, response::Response};
use http::StatusCode;
use syncline_domain::{
    Name,
    directory::{DirectorySource, SourceSpec, TestReport},
};
use syncline_engine::Engine;
use syncline_store::Db;

use crate::{
    auth::{Admin, Operator, Viewer},
    conditional::{IfMatch, Tagged, created},
    input::{At, Edited, Json, NoParams, Params, Shown, With},
    page::{Items, PageParams},
    problem::Result,
    syncs::NewName,
};

/// What is needed to register a directory source, for the document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is used; bodies are read as `With<NewName, SourceSpec>`")]
pub(crate) struct NewDirectorySource {
    /// What syncs will call it.
    name: Name,
    #[schema(inline)]
    #[serde(flatten)]
    spec: SourceSpec,
}

/// What GET shows of a source and PUT does not set.
pub(crate) struct SourceShown;

impl Shown for SourceShown {
    const FIELDS: &'static [&'static str] = &["name", "created_at", "updated_at", "revision"];
}

/// Register a directory source.
///
/// Its servers are not asked anything: test it afterwards. The password is a secret, which is set before and named here.
#[utoipa::path(
    post, path = "/api/v1/directory-sources", tag = "directories",
    request_body = NewDirectorySource,
    responses((status = 201, description = "Registered", body = DirectorySource, headers(("Location" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn create_directory_source(
    caller: Admin,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<With<NewName, SourceSpec>>,
) -> Result<Response> {
    let source = engine.create_directory_source(&new.beside.name, &new.rest, caller.actor()).await?;
    let location = format!("/api/v1/directory-sources/{}", source.name);
    Ok(created(&location, Tagged { revision: source.revision, body: source }))
}

/// List directory sources.
#[utoipa::path(
    get, path = "/api/v1/directory-sources", tag = "directories",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<DirectorySource>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_directory_sources(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<DirectorySource>> {
    let page = params.page()?;
    Ok(Items::of(db.directory_sources().await?, &page, |source: &DirectorySource| source.name.to_string()))
}

/// Look at a directory source.
#[utoipa::path(
    get, path = "/api/v1/directory-sources/{name}", tag = "directories",
    params(("name" = Name, Path, description = "The source")),
    responses((status = 200, description = "The source", body = DirectorySource, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_directory_source(
    _: Viewer,
    State(db): State<Db>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<DirectorySource>> {
    let source = db.directory_source(&name).await?;
    Ok(Tagged { revision: source.revision, body: source })
}

/// Change a directory source.
///
/// All of what can be set, in place of what was; a field that is absent gets its default. What GET answered can be sent back
/// with changes.
#[utoipa::path(
    put, path = "/api/v1/directory-sources/{name}", tag = "directories",
    params(
        ("name" = Name, Path, description = "The source"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = SourceSpec,
    responses((status = 200, description = "Changed", body = DirectorySource, headers(("ETag" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn change_directory_source(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(edited): Json<Edited<SourceShown, SourceSpec>>,
) -> Result<Tagged<DirectorySource>> {
    let present = engine.db().directory_source(&name).await?.revision;
    let revision = known.revision("directory source", &name, present)?;
    let source = engine.change_directory_source(&name, edited.spec, revision, caller.actor()).await?;
    Ok(Tagged { revision: source.revision, body: source })
}

/// Forget a directory source.
///
/// Refused with 409 while a sync reads it.
#[utoipa::path(
    delete, path = "/api/v1/directory-sources/{name}", tag = "directories",
    params(
        ("name" = Name, Path, description = "The source"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Forgotten")),
    security(("token" = ["admin"])),
)]
pub(crate) async fn remove_directory_source(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().directory_source(&name).await?.revision;
    known.revision("directory source", &name, present)?;
    engine.remove_directory_source(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Test a directory source.
///
/// Each of its servers is tried as a run would: name, route, certificate, credentials, base, rights. What is wrong is told in
/// the answer, with what to do.
#[utoipa::path(
    post, path = "/api/v1/directory-sources/{name}/test", tag = "directories",
    params(("name" = Name, Path, description = "The source")),
    responses((status = 200, description = "What was found", body = TestReport)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn test_directory_source(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<TestReport>> {
    Ok(Answer(engine.test_directory_source(&name, caller.actor()).await?))
}
