//! What is installed.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use syncline_domain::{
    Name,
    plugin::{PluginState, PluginVersion},
};
use syncline_engine::Engine;
use syncline_store::Db;

use super::VersionParams;
use crate::{
    auth::Viewer,
    input::{At, Params},
    page::{Items, PageParams},
    problem::Result,
};

/// A version of a plugin, and which others there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PluginView {
    #[serde(flatten)]
    plugin: PluginVersion,
    /// All installed versions, newest first.
    versions: Vec<VersionSummary>,
}

/// A version in short.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct VersionSummary {
    /// The version.
    version: String,
    /// Digest of its package.
    digest: String,
    /// Where it stands.
    state: PluginState,
    /// When it was uploaded.
    installed_at: Timestamp,
}

impl PluginView {
    fn new(plugin: PluginVersion, mut all: Vec<PluginVersion>) -> Self {
        all.sort_by(|a, b| b.version.cmp(&a.version));
        let versions = all.into_iter().map(|one| VersionSummary {
            version: one.version.to_string(),
            digest: one.digest,
            state: one.state,
            installed_at: one.installed_at,
        });
        Self { plugin, versions: versions.collect() }
    }

    /// Shown for a plugin as a whole: the enabled version, else the newest.
    fn of_all(versions: Vec<PluginVersion>) -> Option<Self> {
        let enabled = |one: &PluginVersion| one.state == PluginState::Enabled;
        let shown = versions.iter().max_by_key(|one| (enabled(one), one.version.clone()))?.clone();
        Some(Self::new(shown, versions))
    }
}

/// List plugins.
///
/// Of each the version that is enabled, else the newest.
#[utoipa::path(
    get, path = "/api/v1/plugins", tag = "plugins",
    params(PageParams),
    responses((status = 200, description = "Sorted by name", body = Items<PluginView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_plugins(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<PluginView>> {
    let page = params.page()?;
    let mut by_name: BTreeMap<Name, Vec<PluginVersion>> = BTreeMap::new();
    for version in db.plugin_versions(None).await? {
        by_name.entry(version.name.clone()).or_default().push(version);
    }
    let views = by_name.into_values().filter_map(PluginView::of_all).collect();
    Ok(Items::of(views, &page, |view: &PluginView| view.plugin.name.to_string()))
}

/// Look at a plugin.
#[utoipa::path(
    get, path = "/api/v1/plugins/{name}", tag = "plugins",
    params(("name" = Name, Path, description = "The plugin"), VersionParams),
    responses((status = 200, description = "The version asked for", body = PluginView)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_plugin(
    _: Viewer,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(params): Params<VersionParams>,
) -> Result<Json<PluginView>> {
    let plugin = engine.plugin_version(&name, params.version.as_deref()).await?;
    let all = engine.db().plugin_versions(Some(&name)).await?;
    Ok(Json(PluginView::new(plugin, all)))
}
