//! Looking back.

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use syncline_domain::{
    Name,
    event::Event,
    ids::{DeviceId, RunId},
    log::LogLevel,
};
use syncline_store::{Db, EventFilter};

use crate::{
    auth::Viewer,
    input::Params,
    page::{self, Items},
    problem::Result,
};

/// Which events are wanted: those for which all that is set holds.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Written at this time or later.
    since: Option<Timestamp>,
    /// Written before this time.
    before: Option<Timestamp>,
    /// About this store; `server` is another word for it.
    #[serde(alias = "server")]
    store: Option<Name>,
    /// About this sync.
    sync: Option<Name>,
    /// About this run.
    run: Option<RunId>,
    /// About this plugin.
    plugin: Option<Name>,
    /// About this device.
    device: Option<DeviceId>,
    /// Of this kind; with a `.` at its end, of all kinds that begin so.
    kind: Option<String>,
    /// Caused by this actor.
    actor: Option<String>,
    /// At least this pressing.
    level: Option<LogLevel>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter. For a time use `since`.
    after: Option<String>,
}

/// List events.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(EventParams),
    responses((status = 200, description = "Newest first", body = Items<Event>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_events(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<EventParams>,
) -> Result<Items<Event>> {
    let page = page::page(params.limit, params.after)?;
    let filter = EventFilter {
        after: params.since,
        before: params.before,
        store: params.store,
        sync: params.sync,
        run: params.run,
        plugin: params.plugin,
        device: params.device,
        kind: params.kind,
        actor: params.actor,
        level: params.level,
    };
    Ok(db.events(&filter, &page).await?.into())
}
