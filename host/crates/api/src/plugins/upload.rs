//! Taking a package in.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use syncline_domain::plugin::PluginVersion;
use syncline_engine::Engine;

use crate::{
    auth::Admin,
    conditional::created,
    input::{NoParams, Params, Wasm},
    problem::Result,
};

/// Install a package.
///
/// It is inspected, compiled and stored beside the versions that are there, and is not enabled. The same package again
/// changes nothing; another one under the same name and version is refused with 409.
#[utoipa::path(
    post, path = "/api/v1/plugins", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The package, at most 32 MiB"),
    responses(
        (status = 201, description = "Installed", body = PluginVersion, headers(("Location" = String))),
        (status = 200, description = "This very package was there already", body = PluginVersion),
        (status = 413, description = "Too large", body = crate::Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused: `failure` says why and whose fault it is", body = crate::Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = ["admin"])),
)]
pub(crate) async fn install_plugin(
    caller: Admin,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Wasm(package): Wasm,
) -> Result<Response> {
    let (plugin, is_new) = engine.install_plugin(package, caller.actor()).await?;
    if !is_new {
        return Ok(Json(plugin).into_response());
    }
    let location =
        format!("/api/v1/plugins/{}?version={}", plugin.name, encoded(&plugin.version.to_string()));
    Ok(created(&location, Json(plugin)))
}

/// A version as it stands in a query: `+` would be read as a space.
fn encoded(version: &str) -> String {
    version.replace('+', "%2B")
}
