//! What a version may do.

use axum::extract::State;
use serde::Deserialize;
use syncline_domain::{
    Name,
    plugin::{Capability, PluginVersion},
};
use syncline_engine::Engine;

use super::VersionParams;
use crate::{
    auth::Admin,
    input::{At, Json, Params},
    problem::Result,
};

/// What a version may do.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grants {
    /// Each within one of the version's `wants`, as it stands there or narrower. An empty list grants nothing.
    grants: Vec<Capability>,
}

/// Set what a version may do.
///
/// In place of what it was granted before. Grants belong to the digest of one package: a later version brings its own
/// wants, and takes the grants over only if it wants nothing more.
#[utoipa::path(
    put, path = "/api/v1/plugins/{name}/grants", tag = "plugins",
    params(("name" = Name, Path, description = "The plugin"), VersionParams),
    request_body = Grants,
    responses((status = 200, description = "Granted", body = PluginVersion)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn set_grants(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(params): Params<VersionParams>,
    Json(body): Json<Grants>,
) -> Result<axum::Json<PluginVersion>> {
    let version = params.version.as_deref();
    Ok(axum::Json(engine.grant(&name, version, &body.grants, caller.actor()).await?))
}
