//! How a command ends.

use std::{fmt, process::ExitCode};

use syncline_device::{Error, net::Failure};

/// How a command ended that did not do what was asked; the number is the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and did not work.
    Failed = 1,
    /// The command line or the configuration makes no sense.
    Usage = 2,
    /// The server, or the agent on this device, cannot be reached.
    Unreachable = 6,
}

/// The table of `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  failed: the server refused, or not everything could be applied
  2  the command line or the configuration makes no sense
  6  the server, or the agent on this device, cannot be reached";

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    /// What was wrong, with which value, and what to do.
    pub message: String,
}

/// Result of a command.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// The command line or the configuration makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// The server, or the agent, cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, message: message.into() }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let exit = if matches!(error, Error::Config(_)) { Exit::Usage } else { Exit::Failed };
        Self { exit, message: error.to_string() }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let exit = if matches!(failure, Failure::Refused(_)) { Exit::Failed } else { Exit::Unreachable };
        Self { exit, message: failure.to_string() }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
