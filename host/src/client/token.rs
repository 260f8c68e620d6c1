//! `syncline token`: who may do what.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use syncline_domain::{
    access::{Role, TokenRecord},
    clock::{Clock, SystemClock},
    ids::TokenId,
};

use super::{Client, Paging};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, moment, moment_or},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List tokens, never their texts
    List,
    /// Make a token; its text is given out this once
    Add {
        /// Whose it is or what for; shown in events as who did it
        name: String,
        /// What it allows; each role includes those before it
        #[arg(long, value_enum)]
        role: Allowed,
        /// Let it end after this time, such as 90d; never if absent
        #[arg(long, value_name = "TIME", value_parser = args::duration)]
        expires: Option<Duration>,
        /// Write it to a new file with mode 0600 instead of printing it
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// End a token
    Revoke {
        /// Id of the token
        id: TokenId,
    },
}

/// Roles.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Allowed {
    /// Looks
    Viewer,
    /// Makes syncs, collections and schedules, starts runs
    Operator,
    /// Installs and grants plugins, registers stores, approves runs, owns secrets and tokens
    Admin,
}

#[derive(Deserialize)]
struct Made {
    token: String,
}

const PATH: &str = "/api/v1/tokens";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Add { name, role, expires, output } => add(&name, role, expires, output, client, out),
        Action::Revoke { id } => {
            client.delete(&format!("{PATH}/{id}"))?;
            out.done(format!("Token {id} was revoked."))
        }
    }
}

fn add(
    name: &str,
    role: Allowed,
    expires: Option<Duration>,
    output: Option<PathBuf>,
    client: &Client,
    out: Output,
) -> Result<Exit> {
    let expires_at = expires.map(|after| end(SystemClock.now(), after)).transpose()?;
    let mut body = json!({ "name": name, "role": role.role() });
    if let Some(at) = expires_at {
        body["expires_at"] = json!(at);
    }
    // Before the token is made: one that cannot be written down would be lost and go on to be valid.
    let file = match &output {
        None => None,
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Some(file.map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?)
        }
    };
    let answer = client.post(PATH, &body).inspect_err(|_| discard(output.as_ref()))?;
    let made: Made = answer.parse()?;
    match (file, output) {
        (Some(mut file), Some(path)) => {
            let written = writeln!(file, "{}", made.token).and_then(|()| file.sync_all());
            written.map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
            out.done(format!("The token is in {}.", path.display()))
        }
        _ if out.is_json() => out.show(&answer, |_: &Made| String::new()),
        _ => {
            out.line(&made.token)?;
            out.note("This is the only time it is shown.");
            Ok(Exit::Ok)
        }
    }
}

fn discard(file: Option<&PathBuf>) {
    if let Some(file) = file {
        // It is empty, and the error that is reported says what went wrong.
        let _ = std::fs::remove_file(file);
    }
}

fn end(now: Timestamp, after: Duration) -> Result<Timestamp> {
    now.checked_add(after).map_err(|error| CliError::usage(format!("--expires is too far: {error}")))
}

impl Allowed {
    const fn role(self) -> Role {
        match self {
            Self::Viewer => Role::Viewer,
            Self::Operator => Role::Operator,
            Self::Admin => Role::Admin,
        }
    }
}

/// A role as people read it.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn table(tokens: &[TokenRecord]) -> String {
    let mut rows = Rows::new(&["ID", "NAME", "ROLE", "MADE", "EXPIRES", "LAST USED"], "There are no tokens.");
    for one in tokens {
        rows.add([
            one.id.to_string(),
            one.name.clone(),
            role(one.role).to_owned(),
            moment(one.created_at),
            moment_or(one.expires_at, "never"),
            moment_or(one.last_used_at, "never"),
        ]);
    }
    rows.render()
}
