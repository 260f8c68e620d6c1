//! Schedules: when syncs run by themselves.

mod body;
mod now;

pub(crate) use now::*;

use axum::{extract::State, response::Response};
use body::{EditedBody, NewBody, NewParts};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Name,
    ids::{NodeId, ScheduleId},
    schedule::{Overlap, Owner, Schedule, ScheduleSpec, When},
    sync::{MadeBy, Pace, Sync},
};
use syncline_engine::Engine;

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, Tagged, created},
    input::{At, Json, NoParams, Params},
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
    /// Collections that it brings to its servers, where it was made of components and servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<Vec<Name>>,
    /// Its distribution servers, where it was made of components and servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<Vec<Name>>,
    /// Servers that could not be tried when it was made, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
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
    fn new(schedule: Schedule, around: &Around) -> Self {
        let (nodes, made) = (&around.nodes, around.made_of(&schedule));
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
        let (components, servers) = made.map(|made| (made.components, made.servers)).unzip();
        let warnings = Vec::new();
        Self {
            id,
            spec,
            components,
            servers,
            warnings,
            owner,
            created_at,
            next_nominal,
            next_run,
            last_nominal,
            revision,
        }
    }
}

/// What is looked up once for all schedules of an answer.
struct Around {
    nodes: Vec<NodeView>,
    syncs: Vec<Sync>,
}

impl Around {
    async fn look(engine: &Engine) -> Result<Self> {
        let nodes = engine.db().nodes().await?;
        let nodes = nodes.into_iter().map(|node| NodeView::new(node, engine)).collect();
        Ok(Self { nodes, syncs: engine.db().syncs().await? })
    }

    fn made_of(&self, schedule: &Schedule) -> Option<MadeBy> {
        let sync = self.syncs.iter().find(|sync| sync.name == schedule.spec.sync)?;
        sync.made_by.clone().filter(|made| made.schedule == schedule.id)
    }
}

async fn shown(schedule: Schedule, engine: &Engine) -> Result<Tagged<ScheduleView>> {
    let revision = schedule.revision;
    Ok(Tagged { revision, body: ScheduleView::new(schedule, &Around::look(engine).await?) })
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

/// What is needed to make a schedule, for the document: `sync`, or `components` and `servers`.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is used; bodies are read as `NewBody`")]
pub(crate) struct NewSchedule {
    /// Who fires it; the node that answers this request if absent.
    owner: Option<OwnerChoice>,
    /// The sync that runs, in place of `components` and `servers`.
    sync: Option<Name>,
    /// Collections to bring to the servers, of which a sync is made; `engines-and-definitions` is both of these.
    components: Option<Vec<String>>,
    /// Distribution servers.
    servers: Option<Vec<Name>>,
    /// What that sync is called; after the schedule if absent.
    name: Option<Name>,
    /// How many servers that sync fills at once.
    pace: Option<Pace>,
    /// When.
    when: When,
    /// Each tick is moved later by up to so many seconds.
    jitter_seconds: Option<u32>,
    /// What happens to a tick while an earlier run has not ended.
    overlap: Option<Overlap>,
    /// A tick that is late by more than this many seconds is skipped.
    catch_up_seconds: Option<u32>,
    /// Why it is paused.
    paused: Option<String>,
    /// For people.
    description: Option<String>,
}

/// A changed schedule, for the document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is used; bodies are read as `EditedBody`")]
pub(crate) struct EditedSchedule {
    #[serde(flatten)]
    spec: ScheduleSpec,
    /// With `servers`, where it was made of these: what it brings there from now on.
    components: Option<Vec<String>>,
    /// With `components`: the distribution servers.
    servers: Option<Vec<Name>>,
}

/// Make a schedule, of a sync or of components and servers.
///
/// Of components and servers, the sync behind it is made too, and goes with it. The account of its runs must be able to read
/// and write on each server, which is tried; servers that are away are named in `warnings`, and catch up when they are back.
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
    Json(new): Json<NewBody>,
) -> Result<Response> {
    let (cluster, actor) = (new.owner == OwnerChoice::Cluster, caller.actor());
    let (schedule, warnings) = match new.of_parts {
        None => (engine.create_schedule(new.spec, cluster, actor).await?, Vec::new()),
        Some(NewParts { parts, name, pace }) => {
            engine.create_schedule_of_parts(parts, name, pace, new.spec, cluster, actor).await?
        }
    };
    let location = format!("/api/v1/schedules/{}", schedule.id);
    let mut shown = shown(schedule, &engine).await?;
    shown.body.warnings = warnings;
    Ok(created(&location, shown))
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
    let around = Around::look(&engine).await?;
    let items = Items::of(schedules, &page, |one: &Schedule| one.id.to_string());
    Ok(items.map(|schedule| ScheduleView::new(schedule, &around)))
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
    request_body = EditedSchedule,
    responses((status = 200, description = "Changed", body = ScheduleView, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_schedule(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<ScheduleId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(edited): Json<EditedBody>,
) -> Result<Tagged<ScheduleView>> {
    let present = engine.db().schedule(id).await?.revision;
    let revision = known.revision("schedule", id, present)?;
    let EditedBody { spec, parts } = edited;
    shown(engine.change_schedule(id, spec, parts, revision, caller.actor()).await?, &engine).await
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
/// Runs that it began go on. A sync that was made for it goes too, after its last run.
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
