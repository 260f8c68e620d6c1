//! Why a use case did not do what was asked.

use syncline_domain::{Failure, name::BadName, path::BadPath, schedule::BadSchedule};

/// Result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case did not do what was asked. Each case but the last two is the caller's to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("there is no {what} named {name:?}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// Something of that name is there already.
    #[error("there is a {what} named {name:?} already")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// What was given makes no sense.
    #[error("{message}")]
    Invalid {
        /// Stable word, kebab-case.
        code: &'static str,
        /// What was wrong, with which value, what to do.
        message: String,
    },
    /// It cannot be done in the present state.
    #[error("{message}")]
    Conflict {
        /// Stable word, kebab-case.
        code: &'static str,
        /// What stands in the way, what to do.
        message: String,
    },
    /// It was changed since it was read.
    #[error("{what} {name:?} was changed by someone else since it was read: read it again")]
    Stale {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A package, a folder or a plugin refused; says whose fault it is.
    #[error("{0}")]
    Failed(Failure),
    /// The host itself failed. Shown to operators of the host only.
    #[error(transparent)]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What was given makes no sense.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { code, message: message.into() }
    }

    /// It cannot be done in the present state.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict { code, message: message.into() }
    }

    /// The host itself failed.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// As what ends a run.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Internal(error) => Failure::host("internal", error.to_string()),
            other => Failure::settings("settings", other.to_string()),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<BadName> for Error {
    fn from(error: BadName) -> Self {
        Self::invalid("name", error.to_string())
    }
}

impl From<BadPath> for Error {
    fn from(error: BadPath) -> Self {
        Self::invalid("path", error.to_string())
    }
}

impl From<BadSchedule> for Error {
    fn from(error: BadSchedule) -> Self {
        Self::invalid("schedule", error.to_string())
    }
}

impl From<syncline_store::Error> for Error {
    fn from(error: syncline_store::Error) -> Self {
        use syncline_store::Error as E;
        match error {
            E::NotFound { what, name } => Self::NotFound { what, name },
            E::Exists { what, name } => Self::Exists { what, name },
            E::Stale { what, name } => Self::Stale { what, name },
            E::Conflict(message) => Self::conflict("conflict", message),
            E::InUse { what, name, by } => Self::conflict(
                "in-use",
                format!("{what} {name:?} is used by {}: change or remove these first", by.join(", ")),
            ),
            E::Transition { run, from, to } => Self::conflict(
                "run-state",
                format!("run {run} is {from} and cannot become {to}: look at its state and try what fits it"),
            ),
            other => Self::internal(other),
        }
    }
}
