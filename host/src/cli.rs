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
    /// Distribution servers: stores that are kept up to date from the library
    #[command(subcommand)]
    DistributionServer(client::distribution_server::Action),
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
    /// Devices: what they should hold and how far that is, synchronising them, messages
    #[command(subcommand)]
    Device(client::device::Action),
    /// Groups: the tree in which devices and users sit
    #[command(subcommand)]
    Group(client::group::Action),
    /// Applications: what is configured on devices
    #[command(subcommand)]
    Application(client::application::Action),
    /// Policies: settings of an application, for a group, a selection or a device
    #[command(subcommand)]
    Policy(client::policy::Action),
    /// Selections: saved queries over devices
    #[command(subcommand)]
    Selection(client::selection::Action),
    /// Enrolment tokens: how devices get in
    #[command(subcommand)]
    EnrolmentToken(client::enrolment_token::Action),
    /// Users of devices: subscriptions, activation codes, keys
    #[command(subcommand)]
    User(client::user::Action),
    /// Tasks: actions that devices have configured, run at most once on each
    #[command(subcommand)]
    Task(client::task::Action),
    /// Directory sources: LDAP servers and Active Directory; testing and importing them
    #[command(subcommand)]
    DirectorySource(client::directory_source::Action),
    /// Directory entries: who and what was read, and how it stands to users here
    #[command(subcommand)]
    DirectoryEntry(client::directory_entry::Action),
    /// The server's own synchronisation of devices
    #[command(subcommand)]
    Server(client::server::Action),
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
        Command::DistributionServer(action) => client::distribution_server::run(action, &client()?, out),
        Command::Collection(action) => client::collection::run(action, &client()?, out),
        Command::Sync(action) => client::sync::run(action, &client()?, out),
        Command::Run(action) => client::run::run(action, &client()?, out),
        Command::Schedule(action) => client::schedule::run(action, &client()?, out),
        Command::Device(action) => client::device::run(action, &client()?, out),
        Command::Group(action) => client::group::run(action, &client()?, out),
        Command::Application(action) => client::application::run(action, &client()?, out),
        Command::Policy(action) => client::policy::run(action, &client()?, out),
        Command::Selection(action) => client::selection::run(action, &client()?, out),
        Command::EnrolmentToken(action) => client::enrolment_token::run(action, &client()?, out),
        Command::User(action) => client::user::run(action, &client()?, out),
        Command::Task(action) => client::task::run(action, &client()?, out),
        Command::DirectorySource(action) => client::directory_source::run(action, &client()?, out),
        Command::DirectoryEntry(action) => client::directory_entry::run(action, &client()?, out),
        Command::Server(action) => client::server::run(action, &client()?, out),
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
