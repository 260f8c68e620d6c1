//! Applications: what is configured on devices.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use syncline_domain::{
    Name,
    device::policy::{Application, ApplicationSpec},
};
use syncline_engine::Engine;
use syncline_store::Db;

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, IfNoneMatch, Tagged, created},
    input::{At, Beside, Edited, Json, NoParams, Params, Shown, With},
    page::{Items, PageParams},
    problem::Result,
};

/// The name of a new application.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplicationName {
    name: Name,
}

impl Beside for ApplicationName {
    const FIELDS: &'static [&'static str] = &["name"];
}

/// What is needed to make an application, for the document.
#[derive(utoipa::ToSchema)]
#[allow(
    dead_code,
    reason = "only its schema is used; bodies are read as `With<ApplicationName, ApplicationSpec>`"
)]
pub(crate) struct NewApplication {
    /// Its name; the key of its document in a device's configuration.
    name: Name,
    #[serde(flatten)]
    spec: ApplicationSpec,
}

/// What GET shows of an application and PUT does not set.
pub(crate) struct ApplicationShown;

impl Shown for ApplicationShown {
    const FIELDS: &'static [&'static str] = &["name", "created_at", "updated_at", "revision"];
}

/// Make an application.
#[utoipa::path(
    post, path = "/api/v1/applications", tag = "devices",
    request_body = NewApplication,
    responses((status = 201, description = "Made", body = Application, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_application(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<With<ApplicationName, ApplicationSpec>>,
) -> Result<Response> {
    let application = engine.create_application(&new.beside.name, &new.rest, caller.actor()).await?;
    let location = format!("/api/v1/applications/{}", application.name);
    Ok(created(&location, Tagged { revision: application.revision, body: application }))
}

/// List applications.
#[utoipa::path(
    get, path = "/api/v1/applications", tag = "devices",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<Application>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_applications(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<Application>> {
    let page = params.page()?;
    Ok(Items::of(db.applications().await?, &page, |one: &Application| one.name.to_string()))
}

/// Look at an application.
#[utoipa::path(
    get, path = "/api/v1/applications/{name}", tag = "devices",
    params(("name" = Name, Path, description = "The application")),
    responses((status = 200, description = "The application", body = Application, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_application(
    _: Viewer,
    State(db): State<Db>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfNoneMatch,
) -> Result<Response> {
    let application = db.application(&name).await?;
    Ok(Tagged { revision: application.revision, body: application }.unless(&known))
}

/// Change an application.
///
/// All of what can be set, in place of what was. What devices should hold by that is published.
#[utoipa::path(
    put, path = "/api/v1/applications/{name}", tag = "devices",
    params(
        ("name" = Name, Path, description = "The application"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = ApplicationSpec,
    responses((status = 200, description = "Changed", body = Application, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_application(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(edited): Json<Edited<ApplicationShown, ApplicationSpec>>,
) -> Result<Tagged<Application>> {
    let present = engine.db().application(&name).await?.revision;
    let revision = known.revision("application", &name, present)?;
    let changed = engine.change_application(&name, edited.spec, revision, caller.actor()).await?;
    Ok(Tagged { revision: changed.revision, body: changed })
}

/// Remove an application.
///
/// Refused with 409 while it has policies, or a device holds a document of it.
#[utoipa::path(
    delete, path = "/api/v1/applications/{name}", tag = "devices",
    params(
        ("name" = Name, Path, description = "The application"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Removed")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_application(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().application(&name).await?.revision;
    known.revision("application", &name, present)?;
    engine.remove_application(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
