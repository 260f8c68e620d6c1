//! How a command ends: exit codes, and errors that say what to do.

use std::{fmt, process::ExitCode};

use syncline_domain::run::RunState;

/// How a command ended; the number is the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// The server refused, or the run failed, was lost, timed out or was skipped.
    Failed = 1,
    /// The command line or the configuration makes no sense.
    Usage = 2,
    /// The run did a part of its work, or some devices synchronised and some did not.
    Partial = 3,
    /// The run is held and waits for an administrator.
    Held = 4,
    /// The run was cancelled or rejected.
    Cancelled = 5,
    /// The server cannot be reached.
    Unreachable = 6,
}

impl Exit {
    /// The table of `--help` and docs/cli.md.
    pub const HELP: &'static str = "\
Exit codes:
  0  done; the run succeeded
  1  failed: the server refused, or the run failed, was lost, timed out or was skipped
  2  the command line or the configuration makes no sense
  3  the run did a part of its work, or not all devices synchronised
  4  the run is held and waits for an administrator
  5  the run was cancelled or rejected
  6  the server cannot be reached";

    /// What a run that is over, or held, means for whoever waited for it.
    pub const fn of_run(state: RunState) -> Self {
        match state {
            RunState::Succeeded => Self::Ok,
            RunState::Partial => Self::Partial,
            RunState::Held => Self::Held,
            RunState::Cancelled | RunState::Cancelling => Self::Cancelled,
            RunState::Failed | RunState::Lost | RunState::TimedOut | RunState::Skipped => Self::Failed,
            RunState::Queued | RunState::Claimed | RunState::Running => Self::Ok,
        }
    }

    /// Of two ends the one that needs somebody more.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Ok => 0,
            Self::Partial => 1,
            Self::Cancelled => 2,
            Self::Held => 3,
            Self::Failed | Self::Usage | Self::Unreachable => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    /// What was wrong, with which value.
    pub message: String,
    /// What to do, if the message does not say it.
    pub hint: Option<String>,
}

/// Result of a command.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), hint: None }
    }

    /// The command line or the configuration makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: None }
    }

    /// The server cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, message: message.into(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_run_has_an_exit_code_and_the_help_names_it() {
        for state in RunState::ALL {
            let code = Exit::of_run(state) as u8;
            assert!(Exit::HELP.contains(&format!("\n  {code}  ")), "{state}: {code}");
            assert_eq!(state == RunState::Succeeded, code == 0 && state.is_final(), "{state}");
        }
    }
}
