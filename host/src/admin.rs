//! `syncline admin`: work on a data folder, without talking to its server.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use serde_json::json;
use syncline_domain::clock::SystemClock;
use syncline_engine::admin::{self, Place};

use crate::{
    outcome::{CliError, Exit, Result},
    output::{Output, bytes, moment},
    serve::config::Values,
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a new admin token in place of a lost one and write it to admin.token in the data folder
    Token {
        #[command(flatten)]
        place: Where,
    },
    /// Write database, key and identity to one file; the server may go on working
    Backup {
        #[command(flatten)]
        place: Where,
        /// The new file; whoever reads it can read all secrets
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Unpack a backup into a new data folder
    Restore {
        /// The backup
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// A folder that is new or empty
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Bring the database up to this version, with a backup made first; the server must be stopped
    Upgrade {
        #[command(flatten)]
        place: Where,
    },
    /// Encrypt all secrets under a new key; the server must be stopped
    RotateKey {
        #[command(flatten)]
        place: Where,
    },
}

/// Which data folder, as `syncline serve` is told.
#[derive(Debug, Args)]
pub struct Where {
    /// Configuration file of the server
    #[arg(long, env = "SYNCLINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder of the server
    #[arg(long, env = "SYNCLINE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Database of the server, if it is not the embedded one
    #[arg(long, env = "SYNCLINE_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
}

/// A place that was looked up.
struct Found {
    data: PathBuf,
    database: Option<String>,
}

impl Where {
    fn find(self) -> Result<Found> {
        let file = self.config.as_deref().map(Values::read).transpose()?.unwrap_or_default();
        let data = self.data.or(file.data).ok_or_else(|| {
            CliError::usage(
                "a data folder is missing: give --data, SYNCLINE_DATA, or --config with `data` in it",
            )
        })?;
        Ok(Found { data, database: self.database.or(file.database) })
    }
}

impl Found {
    fn place(&self) -> Place<'_> {
        Place { data: &self.data, database: self.database.as_deref(), clock: Arc::new(SystemClock) }
    }
}

/// Does it.
pub fn run(action: Action, out: Output) -> Result<Exit> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed(format!("no threads can be started: {error}")))?;
    runtime.block_on(async {
        match action {
            Action::Token { place } => token(&place.find()?, out).await,
            Action::Backup { place, output } => backup(&place.find()?, &output, out).await,
            Action::Restore { input, data } => restore(&input, &data, out).await,
            Action::Upgrade { place } => upgrade(&place.find()?, out).await,
            Action::RotateKey { place } => rotate_key(&place.find()?, out).await,
        }
    })
}

async fn token(found: &Found, out: Output) -> Result<Exit> {
    let file = admin::replace_token(&found.place()).await.map_err(failed)?;
    report(
        out,
        &json!({ "file": file }),
        &format!("The new admin token is in {}; the one before has ended.", file.display()),
    )
}

async fn backup(found: &Found, output: &Path, out: Output) -> Result<Exit> {
    let made = admin::backup(&found.place(), output).await.map_err(failed)?;
    if !made.with_database {
        out.note("The database is not in it: back PostgreSQL up with pg_dump, and keep both together.");
    }
    let said = format!(
        "Wrote {} ({}). It holds the key of the secrets: keep it safe.",
        output.display(),
        bytes(made.size)
    );
    report(out, &json!({ "file": output, "size": made.size, "with_database": made.with_database }), &said)
}

async fn restore(input: &Path, data: &Path, out: Output) -> Result<Exit> {
    let restored = admin::restore(input, data, Arc::new(SystemClock)).await.map_err(failed)?;
    if !restored.with_database {
        out.note("The database was not in it: restore PostgreSQL from the dump that belongs to it.");
    }
    let said = format!(
        "{} is as of {} (version {}). The server it came from must not run any more.",
        data.display(),
        moment(restored.made_at),
        restored.made_by
    );
    let json = json!({
        "data": data, "made_at": restored.made_at, "made_by": restored.made_by, "with_database": restored.with_database,
    });
    report(out, &json, &said)
}

async fn upgrade(found: &Found, out: Output) -> Result<Exit> {
    let done = admin::upgrade(&found.place()).await.map_err(failed)?;
    let said = match &done.backup {
        None => format!("The database has schema {} already: nothing to do.", done.to),
        Some(backup) => {
            format!("From schema {} to {}. The state before is in {}.", done.from, done.to, backup.display())
        }
    };
    report(out, &json!({ "from": done.from, "to": done.to, "backup": done.backup }), &said)
}

async fn rotate_key(found: &Found, out: Output) -> Result<Exit> {
    let count = admin::rotate_key(&found.place()).await.map_err(failed)?;
    if found.database.is_some() {
        out.note("Copy secret.key to the data folders of the other nodes before they start again.");
    }
    report(out, &json!({ "secrets": count }), &format!("{count} secrets are encrypted under a new key."))
}

fn report(out: Output, json: &serde_json::Value, said: &str) -> Result<Exit> {
    if out.is_json() {
        out.line(json)?
    } else {
        out.line(said)?
    }
    Ok(Exit::Ok)
}

fn failed(error: syncline_engine::Error) -> CliError {
    CliError::failed(error.to_string())
}
