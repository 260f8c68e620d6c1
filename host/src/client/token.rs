//! `syncline token`: who may do what.

use std::{path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::json;
use syncline_domain::{
    access::{Role, TokenRecord},
    ids::TokenId,
};

use super::{Client, Paging, once};
use crate::{
    args,
    outcome::{Exit, Result},
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
    let mut body = json!({ "name": name, "role": role.role() });
    if let Some(after) = expires {
        body["expires_at"] = json!(args::from_now(after)?);
    }
    once::give_out(out, output, "The token", || client.post(PATH, &body), |made: Made| made.token)
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
