//! Schedules: when syncs run by themselves.

use axum::{extract::State, response::Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Name,
    ids::{NodeId, ScheduleId},
    schedule::{Owner, Schedule, ScheduleSpec},
};
use syncline_engine::Engine;

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, Tagged, created},
    input::{At, Beside, Edited, Json, NoParams, Params, Shown, With},
    nodes::NodeView,
    page::{self, Items},
    problem::Result,
    runs::check_reason,
};

/// A schedule, and who fires it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ScheduleView {
    /// Id.
    id: ScheduleId,
    #[serde(flatten)]
    spec: ScheduleSpec,
    /// Who fires it.
    owner: OwnerView,
    /// When it was made.
    created_at: Timestamp,
    /// The next tick by the rule, without jitter; null if there is none.
    next_nominal: Option<Timestamp>,
    /// When that tick fires.
    next_run: Option<Timestamp>,
    /// The last tick that fired or was skipped.
    last_nominal: Option<Timestamp>,
    /// Counts changes; the `ETag`.
    revision: i64,
}

/// Who fires a schedule.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum OwnerView {
    /// One node; only there it can be changed.
    Node {
        /// The node.
        node: NodeId,
        /// What people call it; null if nobody knows it any more.
        name: Option<String>,
        /// When it last gave a sign.
        last_seen: Option<Timestamp>,
        /// Whether it gives none any more: then nothing fires, and the schedule can only be removed and made anew.
        gone: bool,
    },
    /// Any node, one of them each time.
    Cluster,
}

impl ScheduleView {
    fn new(schedule: Schedule, nodes: &[NodeView]) -> Self {
        let owner = match schedule.owner {
            Owner::Cluster => OwnerView::Cluster,
            Owner::Node(node) => {
                let known = nodes.iter().find(|one| one.id == node);
                OwnerView::Node {
                    node,
                    name: known.map(|one| one.name.clone()),
                    last_seen: known.map(|one| one.last_seen),
                    gone: known.is_none_or(|one| one.gone),
                }
            }
        };
        let Schedule { id, spec, created_at, next_nominal, next_run, last_nominal, revision, .. } = schedule;
        Self { id, spec, owner, created_at, next_nominal, next_run, last_nominal, revision }
    }
}

async fn nodes(engine: &Engine) -> Result<Vec<NodeView>> {
    let nodes = engine.db().nodes().await?;
    Ok(nodes.into_iter().map(|node| NodeView::new(node, engine)).collect())
}

async fn shown(schedule: Schedule, engine: &Engine) -> Result<Tagged<ScheduleView>> {
    let revision = schedule.revision;
    Ok(Tagged { revision, body: ScheduleView::new(schedule, &nodes(engine).await?) })
}

/// Who a new schedule belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewOwner {
    owner: OwnerChoice,
}

impl Beside for NewOwner {
    const FIELDS: &'static [&'static str] = &["owner"];
}

/// Who fires a new schedule.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OwnerChoice {
    /// The node that answers this request.
    #[default]
    Node,
    /// Any node, one of them each time.
    Cluster,
}

/// What is needed to make a schedule, for the document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is used; bodies are read as `With<NewOwner, ScheduleSpec>`")]
pub(crate) struct NewSchedule {
    /// Who fires it; the node that answers this request if absent.
    owner: Option<OwnerChoice>,
    #[serde(flatten)]
    spec: ScheduleSpec,
}

/// What GET shows of a schedule and PUT does not set.
pub(crate) struct ScheduleShown;

impl Shown for ScheduleShown {
    const FIELDS: &'static [&'static str] =
        &["id", "owner", "created_at", "next_nominal", "next_run", "last_nominal", "revision"];
}

/// Make a schedule.
#[utoipa::path(
    post, path = "/api/v1/schedules", tag = "schedules",
    request_body = NewSchedule,
    responses((status = 201, description = "Made", body = ScheduleView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_schedule(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<With<NewOwner, ScheduleSpec>>,
) -> Result<Response> {
    let cluster = new.beside.owner == OwnerChoice::Cluster;
    let schedule = engine.create_schedule(new.rest, cluster, caller.actor()).await?;
    let location = format!("/api/v1/schedules/{}", schedule.id);
    Ok(created(&location, shown(schedule, &engine).await?))
}

/// Which schedules are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScheduleParams {
    /// Of this sync.
    sync: Option<Name>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List schedules, those of other nodes among them.
#[utoipa::path(
    get, path = "/api/v1/schedules", tag = "schedules",
    params(ScheduleParams),
    responses((status = 200, description = "Sorted by id: oldest first", body = Items<ScheduleView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_schedules(
    _: Viewer,
    State(engine): State<Engine>,
    Params(params): Params<ScheduleParams>,
) -> Result<Items<ScheduleView>> {
    let page = page::page(params.limit, params.after)?;
    let mut schedules = engine.db().schedules().await?;
    if let Some(sync) = params.sync {
        schedules.retain(|one| one.spec.sync == sync);
    }
    let nodes = nodes(&engine).await?;
    let items = Items::of(schedules, &page, |one: &Schedule| one.id.to_string());
    Ok(items.map(|schedule| ScheduleView::new(schedule, &nodes)))
}

/// Look at a schedule.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}", tag = "schedules",
    params(("id" = ScheduleId, Path, description = "The schedule")),
    responses((status = 200, description = "The schedule", body = ScheduleView, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_schedule(
    _: Viewer,
    State(engine): State<Engine>,
    At(id): At<ScheduleId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<ScheduleView>> {
    shown(engine.db().schedule(id).await?, &engine).await
}

/// Change a schedule.
///
/// All of what can be set, in place of what was; a field that is absent gets its default. What GET answered can be sent
/// back with changes: `id`, `owner`, times and `revision` in it are ignored. One of another node is refused with 403.
#[utoipa::path(
    put, path = "/api/v1/schedules/{id}", tag = "schedules",
    params(
        ("id" = ScheduleId, Path, description = "The schedule"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = ScheduleSpec,
    responses((status = 200, description = "Changed", body = ScheduleView, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_schedule(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<ScheduleId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(edited): Json<Edited<ScheduleShown, ScheduleSpec>>,
) -> Result<Tagged<ScheduleView>> {
    let present = engine.db().schedule(id).await?.revision;
    let revision = known.revision("schedule", id, present)?;
    shown(engine.change_schedule(id, edited.spec, revision, caller.actor()).await?, &engine).await
}

/// Why a schedule is paused.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pause {
    /// For those who wonder why nothing runs; at most 1,000 characters.
    reason: String,
}

/// Pause a schedule.
///
/// It has no ticks until it goes on, and does not make up for them then.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/pause", tag = "schedules",
    params(("id" = ScheduleId, Path, description = "The schedule")),
    request_body = Pause,
    responses((status = 200, description = "Paused", body = ScheduleView)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn pause_schedule(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<ScheduleId>,
    Params(NoParams {}): Params<NoParams>,
    Json(pause): Json<Pause>,
) -> Result<Tagged<ScheduleView>> {
    check_reason(&pause.reason)?;
    shown(engine.pause_schedule(id, Some(pause.reason), caller.actor()).await?, &engine).await
}

/// Let a paused schedule go on.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/resume", tag = "schedules",
    params(("id" = ScheduleId, Path, description = "The schedule")),
    responses((status = 200, description = "It fires again", body = ScheduleView)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn resume_schedule(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<ScheduleId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<ScheduleView>> {
    shown(engine.pause_schedule(id, None, caller.actor()).await?, &engine).await
}

/// Remove a schedule, whoever owns it.
///
/// Runs that it began go on.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{id}", tag = "schedules",
    params(
        ("id" = ScheduleId, Path, description = "The schedule"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Removed")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_schedule(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<ScheduleId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().schedule(id).await?.revision;
    known.revision("schedule", id, present)?;
    engine.remove_schedule(id, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
