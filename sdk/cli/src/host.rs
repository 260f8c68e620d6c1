//! Finding and running the host's program, `syncline`: what a host accepts and does, only a host can say.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result};

/// Where the host's program is.
#[derive(Debug, clap::Args)]
pub(crate) struct Location {
    /// The host's program. Without it: beside this one, then in the PATH.
    #[arg(long, env = "SYNCLINE_BIN", value_name = "PROGRAM")]
    syncline: Option<PathBuf>,
}

impl Location {
    /// The program, or `None` if it is nowhere.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        if let Some(named) = &self.syncline {
            return Some(named.clone());
        }
        let beside = env::current_exe().ok().and_then(|this| Some(this.parent()?.join("syncline")));
        let path = env::var_os("PATH").unwrap_or_default();
        let in_path = env::split_paths(&path).map(|folder| folder.join("syncline"));
        beside.into_iter().chain(in_path).find(|program| program.is_file())
    }

    /// What to do if it is nowhere.
    pub(crate) const MISSING: &'static str = "the program `syncline` was found neither beside this one nor in the PATH: install the host, or name it with \
         --syncline or SYNCLINE_BIN";
}

/// Runs it with our standard streams, and answers with its exit code.
pub(crate) fn run(program: &Path, command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("{} cannot be run", program.display()))?;
    Ok(code(status))
}

fn code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
