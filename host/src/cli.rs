//! The command line: every command that there is, and which module does it.

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    admin,
    client::{self, Connection},
    outcome::{Exit, Result},
    output::Output,
    serve,
};

/// Keeps many places the same as one intended state that plugins declare.
#[derive(Debug, Parser)]
#[command(name = "syncline", version, about, after_help = Exit::HELP)]
pub struct Cli {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Box<serve::Flags>),
    /// Work on the data folder of a server that is not running: token, backup, restore, upgrade, key
    #[command(subcommand)]
    Admin(admin::Action),
    /// Plugins: upload, look at, grant, enable
    #[command(subcommand)]
    Plugin(client::plugin::Action),
    /// Stores: folders that syncs read or fill
    #[command(subcommand)]
    Store(client::store::Action),
    /// Collections: named parts of the library
    #[command(subcommand)]
    Collection(client::collection::Action),
    /// Syncs: a plugin with settings, sources and targets; and starting them
    #[command(subcommand)]
    Sync(client::sync::Action),
    /// Runs: look at, wait for, approve, cancel, retry
    #[command(subcommand)]
    Run(client::run::Action),
    /// Schedules: when syncs run by themselves
    #[command(subcommand)]
    Schedule(client::schedule::Action),
    /// The Event History
    #[command(subcommand)]
    Event(client::event::Action),
    /// Access tokens
    #[command(subcommand)]
    Token(client::token::Action),
    /// Secrets: set, never shown
    #[command(subcommand)]
    Secret(client::secret::Action),
    /// Nodes that share the database
    #[command(subcommand)]
    Node(client::node::Action),
    /// Show whose token this is and what it allows
    Whoami,
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<Exit> {
    let out = Output::new(cli.connection.json);
    let client = || cli.connection.client();
    match cli.command {
        Command::Serve(flags) => serve::run(*flags),
        Command::Admin(action) => admin::run(action, out),
        Command::Plugin(action) => client::plugin::run(action, &client, out),
        Command::Store(action) => client::store::run(action, &client()?, out),
        Command::Collection(action) => client::collection::run(action, &client()?, out),
        Command::Sync(action) => client::sync::run(action, &client()?, out),
        Command::Run(action) => client::run::run(action, &client()?, out),
        Command::Schedule(action) => client::schedule::run(action, &client()?, out),
        Command::Event(action) => client::event::run(action, &client()?, out),
        Command::Token(action) => client::token::run(action, &client()?, out),
        Command::Secret(action) => client::secret::run(action, &client()?, out),
        Command::Node(action) => client::node::run(action, &client()?, out),
        Command::Whoami => client::node::whoami(&client()?, out),
        Command::Completions { shell } => completions(shell, out),
    }
}

fn completions(shell: Shell, out: Output) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "syncline", &mut script);
    out.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_flags_or_commands_of_the_same_name_meet() {
        Cli::command().debug_assert();
    }
}
