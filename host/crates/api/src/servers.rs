//! Distribution servers: stores that are kept up to date from the library.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State, response::Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{Name, ids::ScheduleId, server::ServerSpec};
use syncline_engine::{
    Engine,
    servers::{KnownServer, NewServer, ServerChange, ServerTest},
};
use syncline_store::Backlog;

use crate::{
    auth::{Admin, Operator, Viewer},
    conditional::{IfMatch, Tagged, created},
    input::{At, Json, NoParams, Params},
    page::{Items, PageParams},
    problem::Result,
};

/// A distribution server, and what is known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ServerView {
    /// What operators call it.
    name: Name,
    /// The store that syncs fill.
    store: Name,
    /// The folder of that store.
    path: String,
    /// What an operator set.
    #[serde(flatten)]
    spec: ServerSpec,
    /// Who reads and writes there.
    credentials: Credentials,
    /// Most bytes a second that are written to it; no limit if null.
    bytes_per_second: Option<u64>,
    /// Whether a schedule may fill it.
    can_schedule: bool,
    /// Why none may.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Schedules that fill it.
    schedules: Vec<ScheduleId>,
    /// What runs left of it for later.
    left: Vec<LeftView>,
    /// When it was registered.
    created_at: Timestamp,
    /// Counts changes; the `ETag`.
    revision: i64,
}

/// Who reads and writes on a server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Credentials {
    /// The secret; null where the host's own account is used.
    secret: Option<Name>,
    /// The account, which needs read and write.
    account: String,
}

/// What runs of a sync left of a server for later.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LeftView {
    /// The sync.
    sync: Name,
    /// Since when.
    since: Timestamp,
    /// When that is done next.
    next_try: Timestamp,
    /// How often it was left.
    times: u32,
    /// Why.
    reason: String,
}

/// What is looked up once for all servers of an answer.
struct Around {
    backlog: Vec<Backlog>,
    schedules: BTreeMap<Name, Vec<ScheduleId>>,
}

impl Around {
    async fn look(engine: &Engine) -> Result<Self> {
        let db = engine.db();
        let syncs = db.syncs().await?;
        let mut schedules: BTreeMap<Name, Vec<ScheduleId>> = BTreeMap::new();
        for schedule in db.schedules().await? {
            let Some(sync) = syncs.iter().find(|sync| sync.name == schedule.spec.sync) else { continue };
            for store in &sync.spec.targets {
                schedules.entry(store.clone()).or_default().push(schedule.id);
            }
        }
        Ok(Self { backlog: db.backlog().await?, schedules })
    }

    fn view(&self, known: KnownServer) -> ServerView {
        let KnownServer { server, store, forbidden } = known;
        let of_server = self.backlog.iter().filter(|one| one.store == store.name).cloned();
        let left = of_server.map(|one| {
            let Backlog { sync, since, times, next_try, reason, .. } = one;
            LeftView { sync, since, next_try, times, reason }
        });
        ServerView {
            name: server.name,
            path: store.path,
            spec: server.spec,
            credentials: Credentials { secret: None, account: syncline_engine::servers::account() },
            bytes_per_second: store.bytes_per_second,
            can_schedule: forbidden.is_none(),
            reason: forbidden,
            schedules: self.schedules.get(&store.name).cloned().unwrap_or_default(),
            left: left.collect(),
            created_at: server.created_at,
            revision: server.revision,
            store: store.name,
        }
    }
}

async fn shown(known: KnownServer, engine: &Engine) -> Result<Tagged<ServerView>> {
    let revision = known.server.revision;
    Ok(Tagged { revision, body: Around::look(engine).await?.view(known) })
}

/// Register a distribution server.
///
/// Of a store that is there (`store`), or of a folder (`path`), which becomes a store of the same name and is given a mark by
/// which it is known again.
#[utoipa::path(
    post, path = "/api/v1/distribution-servers", tag = "distribution-servers",
    request_body = NewServer,
    responses((status = 201, description = "Registered", body = ServerView, headers(("Location" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn create_server(
    caller: Admin,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<NewServer>,
) -> Result<Response> {
    let known = engine.create_server(new, caller.actor()).await?;
    let location = format!("/api/v1/distribution-servers/{}", known.server.name);
    Ok(created(&location, shown(known, &engine).await?))
}

/// List distribution servers.
#[utoipa::path(
    get, path = "/api/v1/distribution-servers", tag = "distribution-servers",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<ServerView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_servers(
    _: Viewer,
    State(engine): State<Engine>,
    Params(params): Params<PageParams>,
) -> Result<Items<ServerView>> {
    let page = params.page()?;
    let around = Around::look(&engine).await?;
    let known = engine.known_servers().await?;
    let items = Items::of(known, &page, |one: &KnownServer| one.server.name.to_string());
    Ok(items.map(|known| around.view(known)))
}

/// Look at a distribution server.
#[utoipa::path(
    get, path = "/api/v1/distribution-servers/{name}", tag = "distribution-servers",
    params(("name" = Name, Path, description = "The server")),
    responses((status = 200, description = "The server", body = ServerView, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_server(
    _: Viewer,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<ServerView>> {
    shown(engine.known_server(&name).await?, &engine).await
}

/// Change a distribution server.
///
/// What is absent stays; `site` and `window` are taken away by null. Schedules follow its components.
#[utoipa::path(
    patch, path = "/api/v1/distribution-servers/{name}", tag = "distribution-servers",
    params(
        ("name" = Name, Path, description = "The server"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = ServerChange,
    responses((status = 200, description = "Changed", body = ServerView, headers(("ETag" = String)))),
    security(("token" = ["admin"])),
)]
pub(crate) async fn change_server(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(change): Json<ServerChange>,
) -> Result<Tagged<ServerView>> {
    let present = engine.db().server(&name).await?.revision;
    let revision = known.revision("distribution server", &name, present)?;
    shown(engine.change_server(&name, change, revision, caller.actor()).await?, &engine).await
}

/// Whether what uses a server is left without it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RemoveParams {
    /// Take it out of the schedules that use it: those that have no other server are removed, and schedules of other syncs that
    /// fill it are paused.
    #[serde(default)]
    force: bool,
}

/// Forget a distribution server.
///
/// Its files stay. Refused with 409, which names them, while schedules, syncs or policies use it, unless `force` is set.
#[utoipa::path(
    delete, path = "/api/v1/distribution-servers/{name}", tag = "distribution-servers",
    params(
        ("name" = Name, Path, description = "The server"),
        RemoveParams,
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Forgotten")),
    security(("token" = ["admin"])),
)]
pub(crate) async fn remove_server(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(params): Params<RemoveParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().server(&name).await?.revision;
    known.revision("distribution server", &name, present)?;
    engine.remove_server(&name, params.force, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Test a distribution server.
///
/// Reads and writes there, as the account that runs will use. What is wrong is told in the answer: the account, and the right
/// that it lacks.
#[utoipa::path(
    post, path = "/api/v1/distribution-servers/{name}/test", tag = "distribution-servers",
    params(("name" = Name, Path, description = "The server")),
    responses((status = 200, description = "What was found", body = ServerTest)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn test_server(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<ServerTest>> {
    Ok(Answer(engine.test_server(&name, caller.actor()).await?))
}
