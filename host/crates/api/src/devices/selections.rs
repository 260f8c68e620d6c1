//! Selections: saved queries over devices.

use axum::{Json as Answer, extract::State, response::Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Name,
    device::selection::{Condition, Selection},
    ids::DeviceId,
};
use syncline_engine::Engine;
use syncline_store::Db;

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, IfNoneMatch, Tagged, created},
    input::{At, Edited, Json, NoParams, Params, Shown},
    page::{Items, PageParams},
    problem::Result,
};

/// What is needed to save a selection.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSelection {
    /// Its name.
    name: Name,
    /// What devices are selected by, such as `{"fact": {"name": "os.type", "equals": "linux"}}`.
    #[schema(value_type = Object)]
    condition: Condition,
    /// For people.
    #[serde(default)]
    description: String,
}

/// What can be changed of a selection.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SelectionBody {
    /// What devices are selected by.
    #[schema(value_type = Object)]
    condition: Condition,
    /// For people.
    #[serde(default)]
    description: String,
}

/// What GET shows of a selection and PUT does not set.
pub(crate) struct SelectionShown;

impl Shown for SelectionShown {
    const FIELDS: &'static [&'static str] = &["name", "created_at", "updated_at", "revision"];
}

fn tagged(selection: Selection) -> Tagged<Selection> {
    Tagged { revision: selection.revision, body: selection }
}

/// Save a selection.
#[utoipa::path(
    post, path = "/api/v1/selections", tag = "devices",
    request_body = NewSelection,
    responses((status = 201, description = "Saved", body = Selection, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_selection(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<NewSelection>,
) -> Result<Response> {
    let made = engine.create_selection(&new.name, &new.condition, &new.description, caller.actor()).await?;
    Ok(created(&format!("/api/v1/selections/{}", made.name), tagged(made)))
}

/// List selections.
#[utoipa::path(
    get, path = "/api/v1/selections", tag = "devices",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<Selection>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_selections(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<Selection>> {
    let page = params.page()?;
    Ok(Items::of(db.selections().await?, &page, |one: &Selection| one.name.to_string()))
}

/// Look at a selection.
#[utoipa::path(
    get, path = "/api/v1/selections/{name}", tag = "devices",
    params(("name" = Name, Path, description = "The selection")),
    responses((status = 200, description = "The selection", body = Selection, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_selection(
    _: Viewer,
    State(db): State<Db>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfNoneMatch,
) -> Result<Response> {
    Ok(tagged(db.selection(&name).await?).unless(&known))
}

/// Change a selection.
///
/// What devices should hold by that is published.
#[utoipa::path(
    put, path = "/api/v1/selections/{name}", tag = "devices",
    params(
        ("name" = Name, Path, description = "The selection"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = SelectionBody,
    responses((status = 200, description = "Changed", body = Selection, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_selection(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(edited): Json<Edited<SelectionShown, SelectionBody>>,
) -> Result<Tagged<Selection>> {
    let present = engine.db().selection(&name).await?.revision;
    let revision = known.revision("selection", &name, present)?;
    let SelectionBody { condition, description } = edited.spec;
    Ok(tagged(engine.change_selection(&name, condition, description, revision, caller.actor()).await?))
}

/// Remove a selection.
///
/// Refused with 409 while policies hold on it.
#[utoipa::path(
    delete, path = "/api/v1/selections/{name}", tag = "devices",
    params(
        ("name" = Name, Path, description = "The selection"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Removed")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_selection(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().selection(&name).await?.revision;
    known.revision("selection", &name, present)?;
    engine.remove_selection(&name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a selection gives.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Selected {
    /// The devices, in the order in which they were made known.
    devices: Vec<DeviceId>,
}

/// Run a selection: the devices that it gives now.
#[utoipa::path(
    post, path = "/api/v1/selections/{name}/run", tag = "devices",
    params(("name" = Name, Path, description = "The selection")),
    responses((status = 200, description = "The devices", body = Selected)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn run_selection(
    _: Viewer,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<Selected>> {
    let selection = engine.db().selection(&name).await?;
    engine.fold_contacts_to_look().await;
    Ok(Answer(Selected { devices: engine.devices_where(&selection.condition).await? }))
}
