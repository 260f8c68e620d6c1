//! Logs: lines for people or JSON for programs, on standard error.

use std::io;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::config::LogFormat;
use crate::outcome::{CliError, Result};

/// Starts logging for the whole process.
pub fn start(format: LogFormat, filter: &str) -> Result<()> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| {
        CliError::usage(format!(
            "log-level {filter:?}: {error}: use error, warn, info, debug, trace or a filter"
        ))
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
        }
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(fmt::layer().with_ansi(colours).with_writer(io::stderr)).try_init()
        }
    };
    started.map_err(|error| CliError::failed(format!("logging cannot be started: {error}")))
}
