//! Looking back.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use syncline_domain::event::Event;
use syncline_store::Db;

use super::{export::export, filter::event_params};
use crate::{
    auth::Viewer,
    format::Format,
    input::Params,
    page::{self, Items},
    problem::Result,
};

event_params! {
    /// Which events are wanted: those for which all that is set holds.
    EventParams {
        /// Most items of the answer; 100 if absent. An export has no such limit.
        #[param(minimum = 1, maximum = 1000)]
        limit: Option<u32>,
        /// The `next` of the page before, unchanged and with the same filter. For a time use `since`.
        after: Option<String>,
        /// `csv` and `ndjson`: all events that the filter wants in one answer. If absent, the header `Accept` says it.
        #[param(inline)]
        format: Option<Format>,
    }
}

/// List events, or export them.
///
/// As JSON a page of them. As CSV or NDJSON (`format`, or the header `Accept`) all of them, sent while they are read. In CSV a
/// text that a spreadsheet would take for a formula has a `'` before it.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(EventParams),
    responses((status = 200, description = "Newest first", content(
        (Items<Event> = "application/json"),
        (String = "text/csv"),
        (String = "application/x-ndjson"),
    ))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_events(
    _: Viewer,
    State(db): State<Db>,
    headers: HeaderMap,
    Params(params): Params<EventParams>,
) -> Result<Response> {
    let filter = params.filter();
    match Format::wanted(params.format, &headers) {
        Format::Json => {
            let page = page::page(params.limit, params.after)?;
            Ok(Items::from(db.events(&filter, &page).await?).into_response())
        }
        format => export(db, filter, format, (params.limit, params.after)).await,
    }
}
