//! `syncline server`: what the server does by itself, done now.

use clap::Subcommand;

use super::{
    Client,
    sync_operation::{self, Wait},
};
use crate::{
    outcome::{Exit, Result},
    output::Output,
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Work out all documents anew, publish what waits for that, and look for deliveries that are overdue
    Sync {
        #[command(flatten)]
        wait: Wait,
    },
}

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::Sync { wait } => {
            let answer = client.post_empty("/api/v1/server/sync")?;
            sync_operation::follow(&answer, client, out, wait)
        }
    }
}
