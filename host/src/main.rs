//! `syncline`: the server, its offline commands, and the client for it, in one program.
//!
//! Where to look: [`cli`] for what there is, [`serve`] for the server, [`admin`] for commands on a data folder,
//! [`client`] for everything that talks to a server.

mod admin;
mod args;
mod cli;
mod client;
mod outcome;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

/// What herds of devices leave free between what stays goes back to the system, which glibc's allocator keeps: half the
/// memory of a connected device.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::print_error(&error);
            error.exit.into()
        }
    }
}
