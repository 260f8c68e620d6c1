//! What a plugin that is run gets and leaves, whatever its world.

/// What the host asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Id of the run, to tell runs apart in what the plugin logs.
    pub run: String,
    /// What the last run whose effects were all written gave to [`Outcome::with_cursor`]. `None` at first, and when an
    /// administrator asked for everything anew: then read everything.
    pub cursor: Option<Vec<u8>>,
}

/// What a run leaves to the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    pub(crate) cursor: Option<Vec<u8>>,
}

impl Outcome {
    /// Nothing to go on from: the next run reads everything again. What most plugins want.
    pub fn done() -> Self {
        Self::default()
    }

    /// Where the next run goes on, at most 64 KiB. Begin it with a version of your own, and treat one that you do not
    /// know as none.
    pub fn with_cursor(cursor: impl Into<Vec<u8>>) -> Self {
        Self { cursor: Some(cursor.into()) }
    }

    /// The cursor, if there is one.
    pub fn cursor(&self) -> Option<&[u8]> {
        self.cursor.as_deref()
    }
}
