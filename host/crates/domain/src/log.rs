//! Lines in the log of a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// From least to most pressing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Each step.
    Trace,
    /// For the author of the plugin.
    Debug,
    /// For an operator.
    Info,
    /// An operator should look at it some day.
    Warn,
    /// This run cannot do its work.
    Error,
}

/// A line in the log of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// How pressing it is.
    pub level: LogLevel,
    /// `host`, or `plugin` for what the plugin wrote: never to be taken for the host's words.
    pub source: LogSource,
    /// One line; control characters are visible escapes.
    pub message: String,
    /// Name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The host.
    Host,
    /// The plugin.
    Plugin,
}
