//! How much a version may use.

use axum::extract::State;
use syncline_domain::{
    Name,
    plugin::{PluginVersion, SandboxLimits},
};
use syncline_engine::Engine;

use super::VersionParams;
use crate::{
    auth::Admin,
    input::{At, Json, Params},
    problem::Result,
};

/// Set the limits of a version's sandbox.
///
/// In place of what was set before; a limit that is absent gets its default.
#[utoipa::path(
    put, path = "/api/v1/plugins/{name}/limits", tag = "plugins",
    params(("name" = Name, Path, description = "The plugin"), VersionParams),
    request_body = SandboxLimits,
    responses((status = 200, description = "Set", body = PluginVersion)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn set_limits(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(params): Params<VersionParams>,
    Json(limits): Json<SandboxLimits>,
) -> Result<axum::Json<PluginVersion>> {
    let version = params.version.as_deref();
    Ok(axum::Json(engine.set_plugin_limits(&name, version, &limits, caller.actor()).await?))
}
