//! What this server would say to a package.

use axum::{Json, extract::State};
use serde::Serialize;
use syncline_domain::plugin::{Manifest, PluginState};
use syncline_engine::Engine;

use crate::{
    auth::Viewer,
    input::{NoParams, Params, Wasm},
    problem::{Problem, Result},
    state::Api,
};

/// What a package says of itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PackageReport {
    /// What it says of itself, its wants among it.
    manifest: Manifest,
    /// `blake3:` and 64 hexadecimal digits: BLAKE3 of the package.
    digest: String,
    /// What it imports of the contract and of WASI, wanted or not.
    imports: Vec<String>,
    /// Size, in bytes.
    size: u64,
    /// Where this package stands if it is installed here.
    installed: Option<PluginState>,
}

/// Look at a package without installing it.
///
/// Answers what it is and what it asks for, or the refusal that an upload would meet. Nothing of it is run or stored.
#[utoipa::path(
    post, path = "/api/v1/plugins/check", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The package, at most 32 MiB"),
    responses(
        (status = 200, description = "It would be taken", body = PackageReport),
        (status = 422, description = "It would be refused: `failure` says why and whose fault it is",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn check_package(
    _: Viewer,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    Wasm(package): Wasm,
) -> Result<Json<PackageReport>> {
    // Decoding a package keeps a processor busy.
    let inspect = move || Engine::inspect_package(&package);
    let inspected = tokio::task::spawn_blocking(inspect).await.map_err(Problem::internal)??;
    let installed = match api.db().plugin_by_digest(&inspected.digest).await {
        Ok(plugin) => Some(plugin.state),
        Err(syncline_store::Error::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Json(PackageReport {
        manifest: inspected.manifest,
        digest: inspected.digest,
        imports: inspected.imports,
        size: inspected.size,
        installed,
    }))
}
