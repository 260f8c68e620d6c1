//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use syncline_device::config::{self, Config};

use crate::{
    outcome::{self, Result},
    run, show, simulate,
};

/// Keeps the applications of this device at the documents that a Syncline server decides.
#[derive(Debug, Parser)]
#[command(name = "syncline-agent", version, about, after_help = outcome::HELP, propagate_version = true)]
pub struct Cli {
    /// The agent's configuration file
    #[arg(long, global = true, env = "SYNCLINE_AGENT_CONFIG", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this device known to a server
    Enrol {
        /// URL of the server's OpAMP endpoint; else that of the configuration
        #[arg(long)]
        server: Option<String>,
        /// File with the enrolment token
        #[arg(long)]
        token_file: PathBuf,
        /// Enrol anew a device that has a credential already
        #[arg(long)]
        again: bool,
    },
    /// Keep the applications at their documents, until told to stop
    Run,
    /// Bring this device up to date now
    Sync,
    /// Activate a user on this device
    Activate {
        /// The activation code
        code: String,
    },
    /// Show how this device stands
    Status,
    /// Show what server and device said to each other
    Messages {
        /// Show the details of each
        #[arg(long)]
        more: bool,
    },
    /// Be many devices at once, to measure a server
    Simulate(simulate::Flags),
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<()> {
    let config = || Config::read(&cli.config);
    match cli.command {
        Command::Enrol { server, token_file, again } => run::enrol(config()?, server, &token_file, again),
        Command::Run => run::run(config()?),
        Command::Sync => show::sync(&config()?, cli.json),
        Command::Activate { code } => show::activate(&config()?, &code),
        Command::Status => show::status(&config()?, cli.json),
        Command::Messages { more } => show::messages(&config()?, more, cli.json),
        Command::Simulate(flags) => simulate::run(flags, cli.json),
    }
}
