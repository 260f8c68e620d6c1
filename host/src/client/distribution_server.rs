//! `syncline distribution-server`: what servers should hold and do not.

use clap::Subcommand;

use super::{
    Client,
    status_report::{self, Repair, Report},
};
use crate::{
    outcome::{Exit, Result},
    output::Output,
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Report which downloaded patches are missing or out of date
    Report(Report),
    /// Copy just the patches that are missing or out of date
    Repair(Repair),
}

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::Report(report) => status_report::report(&report, client, out),
        Action::Repair(repair) => status_report::repair(repair, client, out),
    }
}
