//! What can go wrong in the store, and the few helpers that turn a database's words into it.

use syncline_domain::{ids::RunId, run::RunState};

/// A result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thing named does not exist.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// What it is, in a word.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The name or id is taken.
    #[error("{what} {name:?} exists already")]
    Exists {
        /// What it is, in a word.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// It does not fit what is there; the sentence says what and what to do.
    #[error("{0}")]
    Conflict(String),
    /// It was changed since it was read: read it again and repeat the change.
    #[error("{what} {name:?} was changed since it was read: read it again")]
    Stale {
        /// What it is, in a word.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// Something else needs it.
    #[error("{what} {name:?} is in use by {}", by.join(", "))]
    InUse {
        /// What it is, in a word.
        what: &'static str,
        /// Its name or id.
        name: String,
        /// What needs it, each with its kind.
        by: Vec<String>,
    },
    /// The lease on the run is lost: it may be elsewhere by now. Stop working on it and write nothing more.
    #[error("run {run} is not held by this claim any more")]
    Fenced {
        /// The run.
        run: RunId,
    },
    /// The run's state does not allow that.
    #[error("run {run} is {from} and cannot become {to}")]
    Transition {
        /// The run.
        run: RunId,
        /// Where it stands.
        from: RunState,
        /// Where it should have gone.
        to: RunState,
    },
    /// What is stored makes no sense: written by another version, or damaged.
    #[error("table {table}, column {column}, row {row:?}: {why}")]
    Row {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Value of the row's key.
        row: String,
        /// What is wrong with the value.
        why: String,
    },
    /// The database was migrated by a newer version of this program.
    #[error("the database has schema {found}, this program knows {known}: start the newer version")]
    NewerSchema {
        /// Schema of the database.
        found: i64,
        /// Newest schema that this program knows.
        known: i64,
    },
    /// The key of the secrets is wrong, missing or open to others.
    #[error("{0}")]
    Key(String),
    /// The text that should continue a list was not made by it.
    #[error("{0:?} continues no list: use the `next` of the page before, unchanged and with the same filter")]
    Cursor(String),
    /// The database does not answer, or not as expected.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Nobody writes any more what was to be written.
    pub(crate) fn stopping() -> Self {
        Self::Conflict("nothing was written: the server is stopping".to_owned())
    }

    /// A thing that does not exist.
    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    /// `self`, or [`Error::Exists`] where it is a violation of uniqueness.
    pub(crate) fn or_exists(self, what: &'static str, name: impl ToString) -> Self {
        match &self {
            Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Self::Exists { what, name: name.to_string() }
            }
            _ => self,
        }
    }

    /// A value that cannot be written down.
    pub(crate) fn encode(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Database(sqlx::Error::Encode(Box::new(error)))
    }
}

/// Turns an empty answer into [`Error::NotFound`].
pub(crate) trait OrNotFound<T> {
    /// The value, or that there is no `what` of this name.
    fn or_not_found(self, what: &'static str, name: impl ToString) -> Result<T>;
}

impl<T> OrNotFound<T> for Option<T> {
    fn or_not_found(self, what: &'static str, name: impl ToString) -> Result<T> {
        self.ok_or_else(|| Error::not_found(what, name))
    }
}
