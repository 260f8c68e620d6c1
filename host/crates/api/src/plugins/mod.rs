//! Plugins: packages taken in, looked at, granted, enabled, taken back.

mod check;
mod grants;
mod lifecycle;
mod limits;
mod read;
mod upload;

pub(crate) use check::*;
pub(crate) use grants::*;
pub(crate) use lifecycle::*;
pub(crate) use limits::*;
pub(crate) use read::*;
pub(crate) use upload::*;

use serde::Deserialize;

/// Which version of a plugin is meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionParams {
    /// A version, or the digest of one. Without it: the enabled one, else the newest.
    version: Option<String>,
}
