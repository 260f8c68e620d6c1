//! Why something did not work, in words for whoever looks after the device.

use std::{io, path::Path};

/// What was wrong, with which value, and what to do. Never with a secret in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something with a file or folder.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration of the agent makes no sense.
    #[error("{0}")]
    Config(String),
    /// The agent's own records on this device cannot be read.
    #[error("{path} is damaged: {why}; move it away, and the agent gets anew from the server what it needs")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another agent works on the same folder.
    #[error("another agent works with the state folder {0}: stop it first, or name another folder")]
    Busy(String),
    /// An offer of the server was not taken.
    #[error("the offer was not taken: {0}")]
    Offer(String),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err` of what is done with a file.
    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { doing, path, source }
    }
}
