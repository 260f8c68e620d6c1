//! Whether the server lives, and whether it can be sent requests.

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;

use crate::{
    problem::{Problem, Result},
    state::Api,
};

/// A word on the server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// Version of the program.
    version: &'static str,
}

const OK: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses((status = 200, description = "It does", body = Health)),
)]
pub(crate) async fn is_alive() -> Json<Health> {
    Json(OK)
}

/// Whether the server can be sent requests: its database answers, and it is not shutting down.
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn is_ready(State(api): State<Api>) -> Result<Json<Health>> {
    let not_ready = |code, detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
    if api.is_stopping() {
        return Err(not_ready("stopping", "the server is shutting down"));
    }
    if let Err(error) = api.db().ping().await {
        tracing::warn!(%error, "The database does not answer");
        return Err(not_ready("database", "the database does not answer; the server's log says more"));
    }
    Ok(Json(OK))
}
