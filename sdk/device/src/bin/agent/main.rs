//! `syncline-agent`: keeps the applications of a device at the documents that a Syncline server decides.

mod cli;
mod outcome;
mod run;
mod show;
mod simulate;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show::error(&error);
            error.exit.into()
        }
    }
}
