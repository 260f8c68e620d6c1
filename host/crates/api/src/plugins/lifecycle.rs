//! Which version is in use.

use axum::{Json, extract::State};
use http::StatusCode;
use syncline_domain::{Name, plugin::PluginVersion};
use syncline_engine::Engine;

use super::VersionParams;
use crate::{
    auth::Admin,
    input::{At, NoParams, Params},
    problem::Result,
};

/// Send the plugin's syncs to a version.
///
/// From their next run on; the version that was enabled before becomes disabled. Refused with 409 while nobody decided
/// on what it wants.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/enable", tag = "plugins",
    params(("name" = Name, Path, description = "The plugin"), VersionParams),
    responses((status = 200, description = "Enabled", body = PluginVersion)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn enable_plugin(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(params): Params<VersionParams>,
) -> Result<Json<PluginVersion>> {
    Ok(Json(engine.enable_plugin(&name, params.version.as_deref(), caller.actor()).await?))
}

/// Stop the plugin's syncs.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/disable", tag = "plugins",
    params(("name" = Name, Path, description = "The plugin")),
    responses((status = 200, description = "Disabled", body = PluginVersion)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn disable_plugin(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<PluginVersion>> {
    Ok(Json(engine.disable_plugin(&name, caller.actor()).await?))
}

/// Go back to the version that was enabled before.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/rollback", tag = "plugins",
    params(("name" = Name, Path, description = "The plugin")),
    responses((status = 200, description = "The version that is enabled now", body = PluginVersion)),
    security(("token" = ["admin"])),
)]
pub(crate) async fn roll_plugin_back(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<PluginVersion>> {
    Ok(Json(engine.roll_plugin_back(&name, caller.actor()).await?))
}

/// Which versions are removed.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RemovalParams {
    /// A version, or the digest of one. Without it: all versions.
    version: Option<String>,
}

/// Remove a version, or all of them.
///
/// Refused with 409 while a sync needs it.
#[utoipa::path(
    delete, path = "/api/v1/plugins/{name}", tag = "plugins",
    params(("name" = Name, Path, description = "The plugin"), RemovalParams),
    responses((status = 204, description = "Removed")),
    security(("token" = ["admin"])),
)]
pub(crate) async fn remove_plugin(
    caller: Admin,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(params): Params<RemovalParams>,
) -> Result<StatusCode> {
    engine.remove_plugin(&name, params.version.as_deref(), caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
