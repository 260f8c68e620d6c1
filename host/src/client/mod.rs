//! The client of the HTTP API, one file a noun.
//!
//! Each noun has its `Action` (what can be asked), a `run` that asks it, and what its answers look like to people. To add
//! a command: add it to the noun's `Action`, call the API through [`Client`], print with [`crate::output::Output`].

mod device_messages;
mod device_views;
mod explanation;
mod http;
mod import;
mod listing;
mod named;
mod once;
mod policy_answers;
mod progress;
mod status_report;
mod summary;
mod sync_operation;

pub mod application;
pub mod collection;
pub mod device;
pub mod directory_entry;
pub mod directory_source;
pub mod distribution_server;
pub mod enrolment_token;
pub mod event;
pub mod group;
pub mod node;
pub mod offline;
pub mod plugin;
pub mod policy;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod selection;
pub mod server;
pub mod store;
pub mod sync;
pub mod task;
pub mod token;
pub mod user;
pub mod user_import;

use std::{env, fs, path::PathBuf};

use clap::Args;

pub use http::{Answer, Client};
pub use listing::Paging;

use crate::outcome::{CliError, Result};

/// Where the server is and who asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Address of the server
    #[arg(long, global = true, env = "SYNCLINE_URL", default_value = Connection::DEFAULT_URL)]
    pub url: String,
    /// File with the access token; without it, the token itself is taken from SYNCLINE_TOKEN
    #[arg(long, global = true, env = "SYNCLINE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for https instead of the well-known ones
    #[arg(long, global = true, env = "SYNCLINE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print the API's JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

impl Connection {
    /// Where `syncline serve` listens unless told otherwise.
    pub const DEFAULT_URL: &'static str = "http://127.0.0.1:7420";

    /// A client for this server. Nothing is sent yet.
    pub fn client(&self) -> Result<Client> {
        let ca = match &self.ca {
            None => None,
            Some(file) => Some(
                fs::read(file)
                    .map_err(|error| CliError::usage(format!("--ca {}: {error}", file.display())))?,
            ),
        };
        Client::new(&self.url, self.token()?, ca.as_deref())
    }

    /// The token: from the file that is named, else from the environment. Never from the command line, which every
    /// user of the machine can read.
    fn token(&self) -> Result<Option<String>> {
        let Some(file) = &self.token_file else {
            return Ok(env::var("SYNCLINE_TOKEN").ok().filter(|token| !token.is_empty()));
        };
        let text = fs::read_to_string(file)
            .map_err(|error| CliError::usage(format!("token file {}: {error}", file.display())))?;
        let token = text.trim();
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(CliError::usage(format!("token file {} holds no token", file.display())));
        }
        Ok(Some(token.to_owned()))
    }
}
